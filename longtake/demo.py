"""`make demo`: one video through the whole service, as a stranger would use it. Run as `python -m longtake.demo`.

Starts `longtake serve` on a free port, submits over HTTP, follows the progress, receives the webhook and
verifies its signature with the library of the specification. Exits non-zero when anything of that fails.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import click
import httpx
from standardwebhooks import Webhook

from longtake.client import Client
from longtake.progress import VideoProgress
from longtake.supervisor import die_with_parent
from longtake.valkey import free_port
from longtake.watch import describe, states

PROMPT = "a red circle moving right on a black background"
NUM_FRAMES = 80
WEBHOOK_WITHIN_S = 60.0

Received = tuple[dict[str, str], bytes]


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=Path("out/demo"), show_default=True)
@click.option("--prompt", default=PROMPT, show_default=True)
def demo(data: Path, prompt: str) -> None:
    """Make one video through the whole service."""
    with receiver() as (address, inbox), service(data, address) as (url, key):
        client = Client(url, key)
        hook = {"url": f"http://{address}/hook"}
        video = client.create({"prompt": prompt, "num_frames": NUM_FRAMES, "seed": 7, "webhook": hook})
        click.echo(f"\n202 Accepted: {video['id']}, {NUM_FRAMES} frames of {video['size']}: {prompt!r}")
        video = follow(client, video["id"])
        target = data / f"{video['id']}.mp4"
        client.download(video["id"], target)
        show_webhook(client, inbox)
        show_metrics(url)
        click.echo(f"\n{video['frames']} frames, {video['seconds']} s of video: {target}")


@contextmanager
def service(data: Path, receiver_address: str) -> Iterator[tuple[str, str]]:
    """`longtake serve` on a free port; its address and a key. It may post to our receiver."""
    data.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "LONGTAKE_WEBHOOK_ALLOW_PRIVATE": receiver_address,
        "LONGTAKE_BOOTSTRAP_KEY": "ltk_demo",
    }
    command = [sys.executable, "-m", "longtake", "serve", "--port", str(free_port()), "--data", str(data)]
    with (data / "serve.log").open("w") as log:
        serving = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        click.echo("starting the service ...")
        assert serving.stdout is not None
        line = serving.stdout.readline()
        if not line.startswith("ready "):
            raise click.ClickException(f"The service did not start; see {data}/serve.log.")
        click.echo(line.rstrip())
        _, url, _, key = line.split()
        yield url, key
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.wait()


@contextmanager
def receiver() -> Iterator[tuple[str, Queue[Received]]]:
    """A receiver of webhooks on this machine: its address, and what it gets."""
    inbox: Queue[Received] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            inbox.put(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", inbox
    finally:
        server.shutdown()
        server.server_close()


def follow(client: Client, video_id: str) -> dict[str, Any]:
    """Live progress until the video is done."""
    video: dict[str, Any] = {}
    began = time.monotonic()
    with VideoProgress() as progress:
        for video in states(client, video_id):
            progress.show(video["progress"], 100, describe(video))
    if video["status"] != "completed":
        raise click.ClickException(f"The video {video['status']}: {video['error']}")
    click.echo(f"completed in {time.monotonic() - began:.1f} s")
    return video


def show_webhook(client: Client, inbox: Queue[Received]) -> None:
    """The event that was posted, its signature verified."""
    try:
        headers, body = inbox.get(timeout=WEBHOOK_WITHIN_S)
    except Empty:
        raise click.ClickException(f"No webhook came within {WEBHOOK_WITHIN_S:g} s.") from None
    event = Webhook(client.webhook_secret()).verify(body, headers)
    click.echo("\nPOST /hook, signature verified with the standardwebhooks library")
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        click.echo(f"  {name}: {headers[name]}")
    click.echo(f"  {json.dumps({'type': event['type'], 'data.id': event['data']['id']})}")


def show_metrics(url: str) -> None:
    """A few lines of what Prometheus would read."""
    text = httpx.get(f"{url}/metrics", trust_env=False).raise_for_status().text
    wanted = ("longtake_jobs_total", "longtake_unit_pace_seconds", "longtake_webhook_attempts_total")
    click.echo("\nGET /metrics")
    for line in text.splitlines():
        if line.startswith(wanted):
            click.echo(f"  {line}")


if __name__ == "__main__":
    demo()
