"""The simulated fleet does what queues are known to do, and what the real one does: docs/operations.md."""

from __future__ import annotations

import json
import random
import statistics
from pathlib import Path

import pytest

from bench.capacity.__main__ import PUBLISHED, a_day, fewest, main
from bench.capacity.fleet import Order, Work, simulate, work
from models import catalog
from models.units import Stage

MODEL = catalog.find("streaming-t2v")


def one_unit(seconds: float) -> Work:
    return Work((seconds,), (0,), ((),), frozenset({0}))


def chain(units: int, seconds: float) -> Work:
    """Each unit after the one before it."""
    opens = tuple((k + 1,) if k + 1 < units else () for k in range(units))
    return Work((seconds,) * units, (0,) + (1,) * (units - 1), opens, frozenset(range(units)))


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_the_wait_for_one_worker_is_that_of_queueing_theory(load: float) -> None:
    """M/D/1, orders at random and units of one length: a mean wait of load / 2 (1 - load) units (Pollaczek)."""
    rng, now, orders = random.Random(3), 0.0, list[Order]()
    for _ in range(40_000):
        now += rng.expovariate(load)
        orders.append(Order(now, one_unit(1.0)))
    waited = statistics.fmean(simulate(orders, 1).whole_s) - 1
    assert waited == pytest.approx(load / 2 / (1 - load), rel=0.06)


def test_a_video_alone_takes_its_units_on_one_worker_and_its_longest_way_on_many() -> None:
    video = work(MODEL, 240, 30, PUBLISHED)
    alone = simulate([Order(0.0, video)], 1, between_s=0.5)
    assert alone.whole_s[0] == pytest.approx(video.total_s + 0.5 * (len(video.seconds) - 1))
    assert alone.first_s[0] == PUBLISHED[Stage.INITIALIZE] and alone.busy_s == pytest.approx(video.total_s)
    done_at = [0.0] * len(video.seconds)
    for position, seconds in enumerate(video.seconds):  # each stands after those that it needs
        done_at[position] += seconds
        for after in video.opens[position]:
            done_at[after] = max(done_at[after], done_at[position])
    assert simulate([Order(0.0, video)], 100).whole_s[0] == pytest.approx(done_at[-1])
    assert done_at[-1] < 0.7 * video.total_s


def test_a_short_video_runs_between_the_units_of_a_long_one() -> None:
    orders = [Order(0.0, chain(100, 1.0)), Order(0.5, chain(3, 1.0))]
    long, short = simulate(orders, 1).whole_s
    assert short == 5.5 and long == 103  # a unit of each in turn


def test_tenants_have_equal_shares_however_much_they_order() -> None:
    crowd = [Order(0.0, chain(20, 1.0), "crowd") for _ in range(9)]
    (*_, alone) = simulate([*crowd, Order(0.0, chain(20, 1.0), "alone")], 1).whole_s
    assert alone == pytest.approx(40, abs=1)  # half of the worker


def test_a_day_has_its_orders_and_most_of_them_at_its_peak() -> None:
    lengths = {80: 3.0, 240: 1.0}
    works = {frames: chain(frames, 1.0) for frames in lengths}
    orders = a_day(10_000, lengths, works, peak=2.0, seed=1)
    assert len(orders) == pytest.approx(10_000, rel=0.05)
    assert sum(order.work is works[80] for order in orders) == pytest.approx(0.75 * len(orders), rel=0.05)
    hours = [sum(hour <= order.at_s / 3600 < hour + 1 for order in orders) for hour in range(24)]
    assert hours[12] > 1.8 * len(orders) / 24 and hours[0] < 0.2 * len(orders) / 24


def test_the_fewest_workers_are_enough_and_one_less_is_not() -> None:
    orders = a_day(300, {80: 1.0}, {80: work(MODEL, 80, None, PUBLISHED)}, peak=2.0, seed=1)
    workers, outcome = fewest(orders, start_s=60)
    slower = simulate(orders, workers - 1)
    enough = sorted(outcome.first_s)[int(0.94 * len(orders))]
    assert enough <= 60 < sorted(slower.first_s)[int(0.96 * len(orders))]


def test_what_makes_no_sense_is_refused_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--pace", "dream=3"], ["--lengths", "many=1"], ["--peak", "3"]):
        with pytest.raises(SystemExit, match="2"):
            main(words)
        assert words[1].partition("=")[0] in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.long
@pytest.mark.processes
def test_a_real_service_is_given_the_same_orders(tmp_path: Path) -> None:
    """For moments, so only roughly alike; how alike in half an hour, docs/operations.md says."""
    file = tmp_path / "trial.json"
    main(["--trial", "0.2", "--workers", "3", "--asleep", "--json", str(file)])
    told = json.loads(file.read_text())
    assert told["videos"] > 0 and told["rows"][0]["measured"] > 0
    assert 0.5 < told["ratios"]["how busy the workers were"] < 2
    assert set(told["pace"]) == {"initialize", "stream", "refine", "finish"}
