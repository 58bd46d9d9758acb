"""Every finished video carries its figures, and none is lost because of them. Through the real finishing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.recipe import UnitResult
from models.units import Unit
from service.jobs import Job, JobState
from tests.workers.conftest import DrawingShop, OnStep, make_job
from workers import media, quality
from workers.render import render_next


class Steps:
    """Grey frames: two levels brighter from frame to frame, ten where a chunk begins."""

    is_shared = True

    def run(self, unit: Unit, states: Mapping[str, bytes], on_step: OnStep) -> UnitResult:
        numbers = np.arange(unit.first_frame, unit.first_frame + unit.num_frames)
        greys = 20 + 2 * numbers + 8 * np.maximum(0, numbers // 8 - 1)
        return UnitResult(
            np.broadcast_to(greys.astype(np.uint8)[:, None, None, None], (len(greys), 64, 64, 3)), b"state"
        )


def finished(shop: DrawingShop, num_frames: int, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setattr(shop, "recipe", lambda job: Steps())
    job, _ = shop.store.submit(make_job(num_frames))
    while render_next(shop):
        pass
    return shop.store.get(job.tenant, job.id)


def test_a_finished_video_says_how_good_it_is(shop: DrawingShop, monkeypatch: pytest.MonkeyPatch) -> None:
    job = finished(shop, 48, monkeypatch)
    assert job.state is JobState.COMPLETED
    assert job.quality is not None
    assert job.quality["seam_ratio"] == pytest.approx(5, rel=0.1)
    assert job.quality["flicker"] == pytest.approx((43 * 2 + 4 * 10) / 47 / 255, rel=0.05)
    assert job.quality["drift"] == pytest.approx(1)
    assert job.quality["scene_cuts"] == 0


def test_a_video_of_one_frame_has_no_figures_that_compare_frames(
    shop: DrawingShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert finished(shop, 1, monkeypatch).quality == {
        "scene_cuts": 0,
        "flicker": None,
        "seam_ratio": None,
        "drift": 0,
    }


def broken(video: Path, **options: Any) -> Iterator[np.ndarray]:
    raise media.MediaError("no decoder")


@pytest.mark.parametrize(("place", "name", "value"), [(media, "frames", broken), (quality, "LIMIT_S", -1.0)])
def test_a_video_that_cannot_be_measured_is_finished_all_the_same(
    shop: DrawingShop, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, value: Any
) -> None:
    monkeypatch.setattr(place, name, value)
    job = finished(shop, 16, monkeypatch)
    assert (job.state, job.quality) == (JobState.COMPLETED, None)
    assert set(job.artefacts) == {"video", "thumbnail", "spritesheet"}


def test_measuring_eighty_small_frames_takes_less_than_a_second(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (80, 16, 16, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    made = media.encode(frames, fps=8, first_frame=0)
    (tmp_path / "video.mp4").write_bytes(made.init + made.segment)
    assert quality.measure(tmp_path / "video.mp4", range(16, 80, 8)) is not None  # the libraries are loaded
    began = time.process_time()
    quality.measure(tmp_path / "video.mp4", range(16, 80, 8))
    assert time.process_time() - began < 1
