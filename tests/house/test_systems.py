"""Every system that comes with Longtake makes videos over HTTP, alone and as a part of a recipe."""

from __future__ import annotations

from typing import Any

import numpy as np
import openai
import pytest
import torch

from models.evaluation.editing import trajectory_error
from models.shapes import tracker
from tests.support.house import KEY, Finished, House
from tests.support.processes import Process
from workers import media

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("worker")]
PROMPT = "a large red circle moving right slowly on a black background"


def frames_of(house: House, video_id: str) -> np.ndarray:
    target = house.folder / f"{video_id}.mp4"
    target.write_bytes(house.content(video_id))
    return np.stack(list(media.frames(target)))


def made(house: House, **body: Any) -> np.ndarray:
    """The frames of a finished video."""
    video = house.finished(house.submit(prompt=PROMPT, refine=False, **{"num_frames": 24, "steps": 4} | body)).video
    return frames_of(house, video["id"])


def test_every_model_that_is_offered_makes_a_video_of_its_own(house: House) -> None:
    cards = house.http.get("/v1/models").raise_for_status().json()["data"]
    alone = [card["id"] for card in cards if card["recipe"]["inputs"] != ["clip"]]
    assert {"tiny-shapes", "tiny-text2video-zero", "tiny-videocrafter", "tiny-make-a-video"} <= set(alone)
    videos = [made(house, model=name) for name in alone]
    assert all(video.shape == (24, 64, 64, 3) for video in videos)
    assert len({video.tobytes() for video in videos}) == len(videos)


@pytest.fixture(scope="module")
def own(house: House, worker: Process) -> np.ndarray:
    """What the default model draws alone."""
    return made(house)


@pytest.mark.parametrize(
    "recipe",
    [
        {"first_chunk": "text2video-zero", "motion": [-40, 0]},
        {"first_chunk": "videocrafter", "rate": 4},
        {"first_chunk": "make-a-video"},
        {"streamer": "videocrafter-i2v"},
        {"streamer": "make-a-video"},
    ],
    ids=lambda recipe: "-".join(f"{name}={value}" for name, value in recipe.items()),
)
def test_a_recipe_takes_its_parts_from_the_systems_that_it_names(
    house: House, own: np.ndarray, recipe: dict[str, Any]
) -> None:
    other = made(house, recipe=recipe)
    assert other.shape == own.shape
    assert np.array_equal(own[:16], other[:16]) == ("first_chunk" not in recipe)
    assert not np.array_equal(own[16:], other[16:])


@pytest.fixture(scope="module")
def parent(house: House, worker: Process) -> Finished:
    """A finished video to be changed, of drawn frames' kind."""
    order = {"model": "tiny-videocrafter", "num_frames": 16, "steps": 20, "refine": False}
    return house.finished(house.submit(prompt=PROMPT, **order))


def test_a_finished_video_is_changed_as_the_instruction_says(house: House, parent: Finished) -> None:
    """By the `openai` SDK, from a video of drawn frames' kind: what a system of the house has drawn."""
    client = openai.OpenAI(api_key=KEY, base_url=f"http://127.0.0.1:{house.port}/v1", max_retries=0)
    original = {"video": {"id": parent.video["id"]}}
    edited = client.videos.edit(prompt="Make it blue!", video=openai.omit, extra_body=original)  # type: ignore[arg-type]
    assert client.videos.poll(edited.id).status == "completed"
    frames = frames_of(house, edited.id)
    assert frames.shape == (len(parent.frame_hashes), 128, 128, 3)
    was, now = (tracker.track(torch.from_numpy(shown)) for shown in (frames_of(house, parent.video["id"]), frames))
    assert (was.colour, now.colour) == ("red", "blue")
    assert now.background == was.background


def test_a_prompt_is_drawn_along_the_edges_of_a_finished_video(house: House, parent: Finished) -> None:
    order = {
        "video": {"id": parent.video["id"]},
        "model": "tiny-controlnet-canny",
        "prompt": "a green circle on a grey background",
        "seed": 0,
    }
    drawn = house.finished(house.http.post("/v1/videos/edits", json=order).raise_for_status().json()["id"])
    was, now = (
        tracker.track(torch.from_numpy(frames_of(house, id_))) for id_ in (parent.video["id"], drawn.video["id"])
    )
    assert (now.colour, now.shape, now.background) == ("green", was.shape, "grey")
    assert trajectory_error(was, now) < 4  # % of the frame's side
