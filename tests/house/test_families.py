"""Every family of models goes through the whole service as StreamingT2V does, at a tiny size, with no part left out.

Watched, steered, extended, branched, and gone on with by another worker after a kill: the same to the frame.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from playwright.sync_api import Browser

from longtake.command import main
from tests.house.test_hls_js import watched
from tests.support import tiny
from tests.support.house import House, until
from tests.support.listening import heard_of
from tests.support.tiny import drift

pytestmark = pytest.mark.processes
FAMILIES = tiny.families()
PROMPT, OTHER = "a boat on a calm lake", "a storm at night"
WHOLE = 5  # chunks


class Studio:
    """A house whose catalogue has one model of each family, added by the command."""

    def __init__(self, folder: Path):
        environment = {
            "LONGTAKE_MODELS_FILE": str(folder / "models.json"),
            "LONGTAKE_FAMILIES_DIR": str(drift.write_family(folder / "families")),
        }
        for name, family in FAMILIES.items():
            options = [f"--set={option}={value}" for option, value in family.OPTIONS.items()]
            options += [f"--family={family.FAMILY}"] if hasattr(family, "FAMILY") else []
            asked = ["models", "add", str(family.build(folder / name)), "--size", str(family.SIZE), *options]
            told = CliRunner().invoke(main, asked, env=environment)
            assert told.exit_code == 0, told.output
        self.house = House(folder, LONGTAKE_PRELOAD="", **environment)
        cards = self.house.http.get("/v1/models").raise_for_status().json()["data"]
        self.cards: dict[str, dict[str, Any]] = {card["id"]: card for card in cards}

    def frames_in(self, family: str, chunks: int) -> int:
        limits = self.cards[family]["limits"]
        return int(limits["chunk_frames"] + (chunks - 1) * limits["new_frames"])

    def seconds_in(self, family: str, chunks: int) -> float:
        return self.frames_in(family, chunks) / float(self.cards[family]["limits"]["fps"])

    def order(self, family: str, chunks: int = WHOLE, **body: Any) -> str:
        given = {"prompt": PROMPT, "num_frames": self.frames_in(family, chunks), "seed": 7, "steps": 2}
        if "text" not in self.cards[family]["recipe"]["inputs"]:
            given["input_reference"] = {"image_url": picture()}
        return self.post("/v1/videos", {"model": family, **given, **body})

    def post(self, path: str, body: dict[str, Any]) -> str:
        answer = self.house.http.post(path, json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def hashes(self, video: str) -> list[str]:
        return self.house.finished(video).frame_hashes


def picture() -> str:
    ramp = np.tile(np.linspace(0, 255, 64), (48, 1))
    body = io.BytesIO()
    Image.fromarray(np.stack([ramp, ramp[:, ::-1], 0 * ramp + 90], axis=-1).astype(np.uint8)).save(body, "PNG")
    return f"data:image/png;base64,{base64.b64encode(body.getvalue()).decode()}"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    studio = Studio(tmp_path_factory.mktemp("studio"))
    yield studio
    studio.house.close()


@pytest.fixture(scope="module")
def bereft(studio: Studio) -> dict[str, str]:
    """Videos, one a family, whose worker was killed in the middle of all of them; another one is there then.

    Each is ordered when one before it has its first chunk, and comes before it.
    """
    house, videos = studio.house, dict[str, str]()
    doomed = house.worker("doomed")
    doomed.pause()
    for priority, family in enumerate(FAMILIES):
        video = videos[family] = studio.order(family, WHOLE - 1, priority=priority)
        doomed.resume()
        until(lambda video=video: house.video(video)["frames"], f"the first chunk of {family}")
        doomed.pause()
    states = {family: house.video(video)["status"] for family, video in videos.items()}
    doomed.kill()
    assert set(states.values()) == {"in_progress"}, states
    house.worker("heir")
    return videos


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_killed_worker_left_is_gone_on_with_and_extended_to_the_same_frames(
    studio: Studio, bereft: dict[str, str], family: str
) -> None:
    schedule = [{"at_seconds": studio.seconds_in(family, WHOLE - 1), "prompt": OTHER}]
    undisturbed = studio.hashes(studio.order(family, prompts=schedule))
    assert len(undisturbed) == studio.frames_in(family, WHOLE)
    assert len(set(undisturbed)) > len(undisturbed) / 2, "a video that stands still tells nothing"
    gone_on = studio.hashes(bereft[family])
    assert gone_on == undisturbed[: len(gone_on)]
    added = studio.seconds_in(family, WHOLE) - studio.seconds_in(family, WHOLE - 1)
    more = {"video": {"id": bereft[family]}, "prompt": OTHER, "seconds": f"{added:.6f}"}
    extended = studio.post("/v1/videos/extensions", more)
    assert studio.hashes(extended) == undisturbed


@pytest.mark.parametrize("family", FAMILIES)
def test_a_branch_and_a_steered_video_leave_the_other_where_they_are_told_to(
    studio: Studio, bereft: dict[str, str], family: str
) -> None:
    house, parent = studio.house, bereft[family]
    theirs, shared = studio.hashes(parent), studio.frames_in(family, 2)
    fork = {"at_seconds": studio.seconds_in(family, 2), "prompt": OTHER, "seed": 8}
    branched = studio.hashes(studio.post(f"/v1/videos/{parent}/branch", fork))
    assert branched[:shared] == theirs[:shared]
    assert len(branched) == len(theirs) and branched[shared:] != theirs[shared:]
    steered = studio.order(family)
    until(lambda: house.video(steered)["frames"], "a first chunk")
    answer = house.http.patch(f"/v1/videos/{steered}", json={"prompt": OTHER})
    assert answer.status_code == 200, answer.text
    (given,) = answer.json()["prompts"]
    first = round(given["at_seconds"] * studio.cards[family]["limits"]["fps"])
    ours = studio.hashes(steered)
    undisturbed = studio.hashes(studio.order(family))
    assert 0 < first < len(ours) and ours[:first] == undisturbed[:first]
    assert ours[first:] != undisturbed[first:]


def test_a_video_with_sound_is_heard_as_long_as_it_is_seen_and_after_a_kill_as_without(
    studio: Studio, bereft: dict[str, str]
) -> None:
    """Live, in the finished file, and in what is inherited from another video."""
    house, parent = studio.house, bereft["ltx2"]
    assert [name for name, card in studio.cards.items() if card["sound"]] == ["ltx2"]
    fork = {"at_seconds": studio.seconds_in("ltx2", 2), "seed": 8}
    added = studio.seconds_in("ltx2", WHOLE) - studio.seconds_in("ltx2", WHOLE - 1)
    more = {"video": {"id": parent}, "prompt": OTHER, "seconds": f"{added:.6f}"}
    videos = {
        "killed": parent,
        "undisturbed": studio.order("ltx2", WHOLE - 1),
        "branched": studio.post(f"/v1/videos/{parent}/branch", fork),
        "extended": studio.post("/v1/videos/extensions", more),
    }
    live, file = dict[str, np.ndarray](), dict[str, np.ndarray]()
    for name, video in videos.items():
        seen = house.finished(video).frame_hashes
        live[name] = heard_of(house.video(video)["stream_url"])
        file[name] = heard_of(house.folder / f"{video}.mp4")
        assert len(live[name]) == len(seen) * 1000, "24,000 samples and 24 frames a second"
        assert abs(len(file[name]) - len(live[name])) <= 1024, "one frame of AAC"
        assert live[name].std() > 100
    assert np.array_equal(live["killed"], live["undisturbed"])
    assert np.array_equal(file["killed"], file["undisturbed"])
    shared = studio.frames_in("ltx2", 2) * 1000
    assert np.array_equal(live["killed"][:shared], live["branched"][:shared])
    assert not np.array_equal(live["killed"], live["branched"])
    assert np.array_equal(live["killed"], live["extended"][: len(live["killed"])])


def test_a_browser_plays_pictures_and_sound_in_one_piece(
    studio: Studio, bereft: dict[str, str], browser: Browser
) -> None:
    video = studio.house.ended(bereft["ltx2"])
    said = watched(browser, studio.house, video["stream_url"])
    length_s = studio.seconds_in("ltx2", WHOLE - 1)
    assert said["complaints"] == []
    assert said["ranges"] == [[0, pytest.approx(length_s, abs=1e-3)]], "of both, from the first frame to the last"
    assert min(said["decoded"]) > 0, "bytes of pictures and of sound"
