"""Images without an engine: a Dockerfile's stages, one of them done in a folder, a process kept as in a container.

What an image calls /opt/longtake and /src is in the folder. Knows nothing of what the images are for.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from string import Template

from dockerfile_parse import DockerfileParser

from tests.support.processes import ROOT

USER = 10001


@dataclass(frozen=True)
class Stage:
    """What follows one FROM: instructions and their values, in order."""

    base: str
    lines: list[tuple[str, str]]

    def all(self, instruction: str) -> list[str]:
        return [value for name, value in self.lines if name == instruction]

    def words(self, instruction: str) -> list[str]:
        """The command of the only line of that instruction, which is written as a list."""
        (value,) = self.all(instruction)
        found: list[str] = json.loads(value[value.index("[") :])
        return found

    @cached_property
    def environment(self) -> dict[str, str]:
        """ARG and ENV; a name may be used in those after it."""
        made = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
        for name, value in self.lines:
            if name in ("ARG", "ENV"):
                for word in shlex.split(value):
                    key, _, text = word.partition("=")
                    made[key] = Template(text).substitute(made)
        return made


def stages(dockerfile: Path) -> list[Stage]:
    made: list[Stage] = []
    for line in DockerfileParser(fileobj=BytesIO(dockerfile.read_bytes())).structure:
        if line["instruction"] == "FROM":
            made.append(Stage(line["value"].split()[0], []))
        elif line["instruction"] != "COMMENT":
            made[-1].lines.append((line["instruction"], line["value"]))
    return made


# The build context


def sent() -> set[str]:
    """What .dockerignore lets into an image."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*", "everything is left out but what is named"
    return {line[1:] for line in lines if line.startswith("!")}


def copy(source: str, target: Path, leave_out: Callable[[Path], bool]) -> None:
    """As COPY does: links stay links, and what the context lacks is an error."""
    if source not in sent():
        raise FileNotFoundError(f".dockerignore leaves {source} out")

    def ignored(folder: str, names: list[str]) -> set[str]:
        return {n for n in names if n == "__pycache__" or n.endswith(".pyc") or leave_out(Path(folder, n))}

    if (ROOT / source).is_dir():
        shutil.copytree(ROOT / source, target, symlinks=True, ignore=ignored)
    else:
        shutil.copy(ROOT / source, target)


@dataclass(frozen=True)
class Build:
    """A stage that is done in `folder`."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / "opt/bin"

    def here(self, text: str) -> str:
        return text.replace("/opt/longtake", str(self.folder / "opt"))

    def do(
        self,
        stage: Stage,
        skip: Callable[[str], bool] = lambda run: False,
        leave_out: Callable[[Path], bool] = lambda path: False,
    ) -> Build:
        """Every COPY and every RUN that is not skipped. pip may use its cache: an image has none to keep, we have."""
        source = self.folder / "src"
        source.mkdir(parents=True)
        own = {name: self.here(value) for name, value in stage.environment.items() if name != "PIP_NO_CACHE_DIR"}
        path = f"{self.bin}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        for name, value in stage.lines:
            if name == "COPY":
                *sources, target = value.split()
                for each in sources:
                    copy(each, source / (each if target == "./" else target), leave_out)
            elif name == "RUN" and not skip(value):
                environment = {**os.environ, **own, "PATH": path}
                command = ["sh", "-euc", self.here(value)]
                done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True)
                assert done.returncode == 0, f"RUN {value}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        return self

    def files(self) -> Iterator[Path]:
        return (path for path in (self.folder / "opt").rglob("*") if path.is_file())


# A container's walls


def can_contain() -> bool:
    """Whether this machine lets us have mounts of our own; else a process runs as any other."""
    tried = ["unshare", "--mount", "mount", "-o", "remount,ro,bind", "/"]
    return bool(shutil.which("setpriv")) and subprocess.run(tried, capture_output=True).returncode == 0


def user() -> int:
    """The images' user, where it could read this Python at all; else whoever we are, without capabilities."""
    base = Path(sys.executable).resolve()
    return USER if all(folder.stat().st_mode & 0o001 for folder in base.parents) else os.getuid()


def contained(command: list[str], home: Path) -> list[str]:
    """The command with a root that is read-only but for `home`, which is empty memory, and with no capability."""
    mounts = f"mount -o remount,ro,bind / && mount -t tmpfs -o mode=1777 tmpfs {shlex.quote(str(home))}"
    who = [f"--reuid={user()}", f"--regid={user()}", "--clear-groups"]
    bare = ["setpriv", *who, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--", *command]
    return ["unshare", "--mount", "sh", "-c", f"{mounts} && exec {shlex.join(bare)}"]


def pinned(reference: str) -> bool:
    """Whether an image is named by a whole version."""
    return bool(re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+\.\d+[a-z0-9.-]*(@sha256:[0-9a-f]{64})?", reference))
