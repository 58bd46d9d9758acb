"""The judge of a soak sees what grows, and complains of nothing else."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

from PIL import Image

from tests.soak import picture, verdict
from tests.soak.gauges import Sample
from tests.soak.harm import AFTERMATH_S, Window

HALF_AN_HOUR = range(0, 1800, 5)


def memory(mb_an_hour: float, who: str = "api 1") -> list[Sample]:
    """Of half an hour, with noise, a peak while a fault holds and a steep beginning."""
    rng = random.Random(1)
    return [
        Sample(
            at_s=at,
            quiet=at % 20 > 10,
            role="api",
            who=who,
            what="rss_mb",
            value=100 + mb_an_hour * at / 3600 - 50 * (at < 60) + 200 * (at % 20 <= 5) + rng.uniform(-3, 3),
        )
        for at in HALF_AN_HOUR
    ]


def test_a_leak_is_seen_through_noise_and_peaks() -> None:
    (leaks,), (flat,) = verdict.slopes(memory(40)), verdict.slopes(memory(0))
    assert leaks.an_hour is not None and 30 < leaks.an_hour < 50 and not leaks.is_flat
    assert flat.an_hour is not None and abs(flat.an_hour) < 10 and flat.is_flat


def test_a_process_that_is_started_again_is_no_leak() -> None:
    """Each holds more than the one before it, and none of them grows."""
    started_again = [
        Sample(at, True, "worker", f"worker-{at // 200}", "rss_mb", 100 + at / 10 - at % 200 / 10)
        for at in HALF_AN_HOUR
    ]
    (slope,) = verdict.slopes(started_again)
    assert slope.an_hour == 0


def test_what_lives_too_shortly_is_not_judged() -> None:
    brief = [Sample(at, True, "worker", f"worker-{at // 50}", "rss_mb", at) for at in HALF_AN_HOUR]
    (slope,) = verdict.slopes(brief)
    assert slope.an_hour is None and slope.is_flat
    assert verdict.is_judged(brief) and not verdict.is_judged(brief[:100])


def test_an_error_is_a_complaint_unless_a_fault_held(tmp_path: Path) -> None:
    now = time.time()
    fault = Window("store killed", now - 100, now - 97)

    def line(ago_s: float, level: str) -> str:
        at = now - ago_s
        told = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"
        return json.dumps({"time": told, "level": level, "message": f"{ago_s} s ago"})

    lines = [line(120, "info"), line(98, "error"), line(97 - AFTERMATH_S / 2, "error"), line(50, "warning")]
    lines += [line(40, "error"), "Traceback (most recent call last):", "  File", "ValueError: no"]
    (tmp_path / "api.log").write_text("\n".join(lines))
    found = verdict.complaints([tmp_path / "api.log"], fault.holds)
    assert [complaint.partition(": ")[2][:9] for complaint in found] == ['{"time": ', "Traceback"]


def test_the_picture_shows_every_measure(tmp_path: Path) -> None:
    picture.draw(memory(5), [(100, 103), (120, 124)], tmp_path / "soak.png")
    with Image.open(tmp_path / "soak.png") as made:
        assert made.size == (1120, 760)
        assert len(made.convert("RGB").getcolors() or []) > 10
