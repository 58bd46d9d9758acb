"""The `longtake` command: a group whose commands are loaded when they are called.

So `longtake --help` answers at once, and `longtake submit` loads no tensors. What goes wrong in a known
way ends here as one sentence and exit code 1.
"""

from __future__ import annotations

import importlib

import click
from pydantic import ValidationError

from models.model import CatalogError, CheckpointError
from service.errors import ServiceError

#: name -> module with a click command of that name, and the line that `--help` shows.
COMMANDS = {
    "serve": ("longtake.serve", "Run everything on this machine: API, workers, queue."),
    "submit": ("longtake.submit", "Ask a running service for a video."),
    "watch": ("longtake.watch", "Follow a video of a running service, and fetch it."),
    "generate": ("longtake.generate", "Make a video here, without the service."),
    "train": ("longtake.train", "Train the bundled model, or CAM and APM of any checkpoint."),
    "convert": ("longtake.convert", "Convert the published weights of StreamingT2V."),
    "evaluate": ("longtake.evaluate", "Measure video files, or how well a model follows prompts."),
    "ablate": ("longtake.ablate", "Make the ablation tables of the paper."),
    "models": ("longtake.models", "List, describe and check the models and their weights."),
    "keys": ("longtake.keys", "Create, list and revoke API keys."),
    "tenants": ("longtake.tenants", "Show tenants and set what each may take."),
    "doctor": ("longtake.doctor", "Say what is missing here for videos, and how to mend it."),
    "rebuild": ("longtake.rebuild", "Bring a lost job store back from object storage."),
}


class Commands(click.Group):
    """The commands of `COMMANDS`, imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[name][0]), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (CatalogError, CheckpointError, ServiceError) as error:
            raise click.ClickException(str(error)) from error
        except ValidationError as error:
            if not error.title.endswith("Settings"):
                raise
            wrong = "; ".join(f"LONGTAKE_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
            raise click.ClickException(f"{wrong}.") from error


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="longtake")
def main() -> None:
    """Longtake makes one unbroken long video from a prompt.

    \b
    Example:
      longtake serve
      longtake generate "a red circle moving right on a black background" -o circle.mp4
    """
