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
        *("initialize", "stream", "refine", "stream", "stream"),
        *("refine", "interpolate", "upscale", "refine", "interpolate", "upscale"),
        "finish",
    ]
    assert [unit.key[:-6] for unit in units.plan(MODEL, 24, None, 2, 2)] == [
        *("initialize", "interpolate", "upscale", "stream", "interpolate", "upscale", "finish")
    ]


def test_the_first_refined_frames_are_there_before_half_of_the_video_is_streamed():
    plan = units.plan(MODEL, 480, 8, refine_bands=4)
    (first, *_) = tracks(plan)["refined"]
    streamed = [unit for unit in plan[: first.position] if unit.stage.is_chunk]
    assert streamed[-1].first_frame + streamed[-1].num_frames == 8 * 16 + 8 < 480 / 2


def takes_s(unit, frames, steps, bands):
    """Seconds, in a world where a look at a window takes as long as a chunk."""
    if unit.stage is not Stage.REFINE:
        return 1.0 if unit.stage.is_chunk else 0.0
    cut = units.tiling(MODEL, frames, steps, bands)
    return float(cut.looks(cut.tiles[unit.index]))


@pytest.mark.parametrize(("workers", "bands", "least"), [(1, 4, 1.0), (2, 2, 1.9), (2, 4, 1.95), (4, 4, 3.4)])
def test_several_workers_share_one_long_video(workers, bands, least):
    """Each takes the first unit of the plan that waits for nothing, as the store hands them out."""
    frames, steps = 1200, 8
    plan = units.plan(MODEL, frames, steps, refine_bands=bands)
    lasts = {unit.key: takes_s(unit, frames, steps, bands) for unit in plan}
    awaits = dict(zip([unit.key for unit in plan], map(set, units.awaited(plan)), strict=True))
    done, busy, clock = set(), {}, 0.0
    while len(done) < len(plan):
        free = [unit.key for unit in plan if unit.key not in done and unit.key not in busy and awaits[unit.key] <= done]
        busy |= {key: clock + lasts[key] for key in free[: workers - len(busy)]}
        clock = min(busy.values())
        done |= {key for key, end in busy.items() if end == clock}
        busy = {key: end for key, end in busy.items() if end > clock}
    assert sum(lasts.values()) / clock >= least


def test_the_finishing_waits_for_everything():
    for frames, refine, interpolate, upscale in MADE:
        plan = units.plan(MODEL, frames, refine, interpolate, upscale, 3)
        waits = dict(zip([unit.key for unit in plan], units.awaited(plan), strict=True))
        reached, found = set(), {plan[-1].key}
        while found:
            reached |= found
            found = {before for key in found for before in waits[key]} - reached
        assert reached == set(waits)
