"""The plan of a video: every stage emits the whole video once, each unit needs only what was done before it."""

from __future__ import annotations

from itertools import product

import pytest

from models import catalog, systems, units
from models.units import Stage

MODEL = catalog.find("tiny-shapes")
ALONE = MODEL.composed(systems.TEXT2VIDEO_ZERO, systems.TEXT2VIDEO_ZERO)
MADE = list(product((1, 7, 16, 17, 24, 41, 240), (None, 1, 8), (1, 2, 5), (1, 2)))


def tracks(plan):
    """The units that emit frames, by the track they emit."""
    return {track: [u for u in plan if u.stage.track == track and u.num_frames] for track in units.TRACKS}


@pytest.mark.parametrize("model", [MODEL, ALONE], ids=["streaming", "text2video-zero"])
@pytest.mark.parametrize(("frames", "refine", "interpolate", "upscale"), MADE)
def test_every_stage_emits_the_whole_video_once(model, frames, refine, interpolate, upscale):
    plan = units.plan(model, frames, refine, interpolate, upscale)
    shown = {
        "preview": frames,
        "refined": frames if refine else 0,
        "interpolated": units.interpolated(frames, interpolate) if interpolate > 1 else 0,
        "upscaled": units.interpolated(frames, interpolate) if upscale > 1 else 0,
    }
    for track, made in tracks(plan).items():
        assert [u.first_frame for u in made] == [
            sum(before.num_frames for before in made[:i]) for i in range(len(made))
        ]
        assert sum(unit.num_frames for unit in made) == shown[track]
    assert plan[-1].stage is Stage.FINISH and plan[-1].num_frames == units.interpolated(frames, interpolate)


@pytest.mark.parametrize(("frames", "refine", "interpolate", "upscale"), MADE)
def test_a_unit_needs_only_what_was_done_before_it_and_never_more_than_a_few(frames, refine, interpolate, upscale):
    plan = units.plan(MODEL, frames, refine, interpolate, upscale)
    place = {unit.key: unit.position for unit in plan}
    assert [unit.position for unit in plan] == list(range(len(plan))) and len(place) == len(plan)
    for unit in plan:
        assert len(unit.needs) <= 4 and all(place[key] < unit.position for key in unit.needs)


def test_an_interpolated_piece_begins_with_the_last_frame_of_the_one_before():
    plan = units.plan(MODEL, 32, None, 4)
    made = tracks(plan)["interpolated"]
    assert [(u.first_frame, u.num_frames) for u in made] == [(0, 61), (61, 32), (93, 32)]
    assert made[1].needs == ("initialize-00000", "stream-00001")


def test_what_comes_last_is_made_of_the_best_there_is():
    best = {unit.needs[-1].split("-")[0] for unit in tracks(units.plan(MODEL, 32, 4, 2, 2))["upscaled"]}
    assert best == {"interpolate"}
    assert {unit.needs[-1].split("-")[0] for unit in tracks(units.plan(MODEL, 32, 4, 2))["interpolated"]} == {"refine"}
    assert {unit.needs[0].split("-")[0] for unit in tracks(units.plan(MODEL, 32, None, 1, 2))["upscaled"]} == {
        "initialize",
        "stream",
    }


def test_what_is_made_of_a_piece_follows_it_so_that_little_waits():
    plan = units.plan(MODEL, 40, 2, 2, 2)
    assert [unit.key[:-6] for unit in plan] == [
        *("initialize", "stream", "stream", "stream"),
        *("refine", "refine", "interpolate", "upscale", "refine", "interpolate", "upscale"),
        "finish",
    ]
    assert [unit.key[:-6] for unit in units.plan(MODEL, 24, None, 2, 2)] == [
        *("initialize", "stream", "interpolate", "upscale", "interpolate", "upscale", "finish")
    ]
