"""Several threads ask at once: who is asked with whom, who waits for whom, and what goes wrong for one alone."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from models import catalog
from models.company import PATIENCE_S, Company
from models.loading import load_pipeline
from models.model import CheckpointError
from models.recipe import Recipe
from models.request import VideoRequest
from models.turbo import Turbo
from workers.settings import WorkerSettings
from workers.workshop import load

PROMPTS = ("a red circle moving right on a black background", "a green star moving up on a grey background")


def squares(asked):
    time.sleep(0.01)
    return [number**2 for number in asked]


def chunk(company, numbers, kind="chunk", together=squares):
    with company.seat() as seat:
        return [seat.ask(kind, number, together) for number in numbers]


def made_at_once(company, *chunks):
    with ThreadPoolExecutor(len(chunks)) as pool:
        return list(pool.map(lambda numbers: chunk(company, numbers), chunks))


def test_those_at_the_same_steps_are_asked_together_and_each_hears_its_own_answer():
    company = Company(3)
    assert made_at_once(company, range(20), range(20, 40), range(40, 60)) == [
        [n**2 for n in numbers] for numbers in (range(20), range(20, 40), range(40, 60))
    ]
    assert company.sizes[3] >= 15  # but for who came first, and who was left


def test_no_more_are_asked_together_than_are_allowed():
    company = Company(2)
    made_at_once(company, range(9), range(9), range(9), range(9))
    assert set(company.sizes) <= {1, 2} and company.sizes[2] > 9


def test_one_alone_waits_for_nobody():
    company, began = Company(4), time.monotonic()
    chunk(company, range(10))
    assert time.monotonic() - began < 10 * PATIENCE_S / 2
    assert company.sizes == {1: 10}


def test_who_comes_later_joins_and_who_ends_is_not_waited_for():
    company = Company(2)
    with ThreadPoolExecutor(2) as pool:
        long = pool.submit(chunk, company, range(60))
        time.sleep(0.1)
        assert pool.submit(chunk, company, range(5)).result() == [n**2 for n in range(5)]
        assert len(long.result()) == 60
    assert 3 <= company.sizes[2] <= 5
    assert company.sizes[1] + 2 * company.sizes[2] == 65


def test_only_those_of_one_kind_are_asked_together():
    company = Company(2)
    with ThreadPoolExecutor(2) as pool:
        began = time.monotonic()
        kinds = [pool.submit(chunk, company, range(10), kind) for kind in ("small", "large")]
        assert all(len(ended.result()) == 10 for ended in kinds)
    assert company.sizes == {1: 20}
    assert time.monotonic() - began < 10 * PATIENCE_S  # nor do they wait for each other


def test_who_stays_away_between_two_steps_is_waited_for_but_not_for_ever():
    company, gone = Company(2), threading.Event()

    def dawdles():
        with company.seat() as seat:
            seat.ask("chunk", 1, squares)
            gone.wait(30)

    away = threading.Thread(target=dawdles)
    away.start()
    began = time.monotonic()
    assert chunk(company, range(3)) == [0, 1, 4]
    assert PATIENCE_S / 2 < time.monotonic() - began < 10
    gone.set()
    away.join()


def test_one_s_fault_is_not_another_s():
    def touchy(asked):
        time.sleep(0.01)
        if 3 in asked:
            raise ValueError("Three is too much.")
        return [-number for number in asked]

    company = Company(2)
    with ThreadPoolExecutor(2) as pool:
        faulty = pool.submit(chunk, company, range(5), together=touchy)
        sound = pool.submit(chunk, company, range(10, 15), together=touchy)
        with pytest.raises(ValueError, match="Three is too much"):
            faulty.result()
        assert sound.result() == [-10, -11, -12, -13, -14]


def test_a_company_of_nobody_is_refused():
    with pytest.raises(ValueError, match="1 is the least"):
        Company(0)


@pytest.fixture(scope="module")
def pipeline():
    return load_pipeline("tiny-shapes", device="cpu")


def video(pipeline, number, **more):
    request = VideoRequest(PROMPTS[number], 24, number, 3 + number, 2.0, 2.0 + 0.5 * number, **more)
    recipe = Recipe(pipeline, catalog.find("tiny-shapes"), request)
    return np.concatenate([made.frames for _, made in recipe.generate()]).astype(int)


def both(pipeline, **more):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda number: video(pipeline, number, **more), range(2)))


def test_videos_made_together_are_those_made_alone(pipeline):
    """With steps, seeds, prompts and guidance of their own, the second one with a branch more while it streams."""
    alone = [video(pipeline, number) for number in range(2)]
    pipeline.company = Company(2)
    together = both(pipeline)
    assert pipeline.company.sizes[2] >= 2  # the first chunks; after those the branches are not as many
    assert max(np.abs(one - other).max() for one, other in zip(alone, together, strict=True)) <= 2


def test_what_keeps_features_between_steps_is_made_alone(pipeline):
    turbo = Turbo(deep_every=2, memory_every=2)
    pipeline.company = Company()
    alone = [video(pipeline, number, turbo=turbo) for number in range(2)]
    pipeline.company = Company(2)
    together = both(pipeline, turbo=turbo)
    assert pipeline.company.sizes == {}
    assert all((one == other).all() for one, other in zip(alone, together, strict=True))


def test_weights_that_come_and_go_are_for_one_unit_at_a_time():
    settings = WorkerSettings(units_at_once=2, memory="small", device="cpu")
    with pytest.raises(CheckpointError, match="LONGTAKE_MEMORY=small, but large"):
        load(catalog.find("tiny-shapes"), settings)
    assert load(catalog.find("tiny-shapes"), settings.model_copy(update={"memory": "large"})).company.most == 2
