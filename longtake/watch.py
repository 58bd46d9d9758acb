"""`longtake watch`: follow a video of a running service to its end, and fetch it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from longtake.client import TERMINAL, Client, service_options
from longtake.progress import VideoProgress

POLL_S = 0.5


@click.command()
@click.argument("video_id", metavar="ID")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the video here.")
@service_options
def watch(video_id: str, output: Path | None, url: str, key: str) -> None:
    """Follow the video ID until it is done; Ctrl-C stops the watching, not the video.

    \b
    Example:
      longtake watch video_01J... -o circle.mp4 --key ltk_...
    """
    client = Client(url, key)
    video: dict[str, Any] = {}
    with VideoProgress() as progress:
        for video in states(client, video_id):
            progress.show(video["progress"], 100, describe(video))
    if video["status"] == "failed":
        raise click.ClickException(f"{video_id} failed: {video['error']['message']}")
    if output is not None:
        client.download(video_id, output)
    if video["status"] == "cancelled":
        raise click.ClickException(f"{video_id} was cancelled after {video['frames']} frames.")
    click.echo(f"{video_id} is done: {video['frames']} frames" + (f", in {output}" if output else ""))


def states(client: Client, video_id: str) -> Iterator[dict[str, Any]]:
    """The video as it is now, twice a second, until it has reached a terminal state."""
    while True:
        video = client.video(video_id)
        yield video
        if video["status"] in TERMINAL:
            return
        time.sleep(POLL_S)


def describe(video: dict[str, Any]) -> str:
    """What is being done, in a few words: 'stream, 40 frames to see'."""
    if video["status"] == "queued":
        position = video.get("queue_position")
        return "queued" if position is None else f"queued, {position} before it"
    if video["status"] != "in_progress":
        return str(video["status"])
    return f"{video['stage']}, {video['frames']} frames to see"
