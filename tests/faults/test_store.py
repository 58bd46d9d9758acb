"""A job store that is killed, cut off or slow: nothing acknowledged is lost, and nobody waits for ever."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from service.database import connect
from service.settings import Settings
from service.tenants import Tenants
from tests.support.grounds import Crew, Grounds
from tests.support.house import KEY, PROMPT, until
from tests.support.proxy import Fault, Proxy

pytestmark = pytest.mark.processes

TIMEOUT_S = 1.0  # of a command to the store
ORDER = {"prompt": PROMPT, "num_frames": 16, "steps": 1, "refine": False}


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grounds]:
    made = Grounds(tmp_path_factory.mktemp("grounds"), LONGTAKE_REDIS_TIMEOUT_S=str(TIMEOUT_S))
    yield made
    made.to_redis.heal()
    made.close()


@pytest.fixture(scope="module")
def crew(grounds: Grounds) -> Iterator[Crew]:
    """One worker, from here on."""
    with Crew(grounds, 1) as crew:
        yield crew


@pytest.fixture(autouse=True)
def nothing_waits(grounds: Grounds) -> Iterator[None]:
    """What a test has ordered and nobody made is in no later one's way."""
    yield
    until(grounds.answers, "the API", 20)
    for job in grounds.jobs().values():
        if not job.state.is_terminal:
            assert grounds.http.post(f"/v1/videos/{job.id}/cancel").status_code in (200, 404)  # or another tenant's


def order(client: httpx.Client, key: str, **changes: object) -> httpx.Response:
    return client.post("/v1/videos", json=ORDER | changes, headers={"Idempotency-Key": key})


def client_of(port: int, key: str = KEY) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=20, trust_env=False)


def another_tenant(grounds: Grounds, name: str) -> str:
    """The key of a tenant of that name."""
    settings = Settings(redis_url=grounds.valkey.url)
    with connect(settings) as client:
        return Tenants(client, settings).create_key(name)[1]


def test_an_order_whose_answer_was_lost_makes_one_video(grounds: Grounds, seed: int) -> None:
    """P2: the answer is cut off after some of its bytes, and the client asks again, many times at once."""
    rng, key = random.Random(seed), f"cut-{seed}"
    with Proxy(grounds.port) as proxy, client_of(proxy.port) as cut:
        proxy.fault(Fault.CUT, after_bytes=rng.randrange(1, 200))
        with pytest.raises(httpx.TransportError):
            order(cut, key)
        proxy.heal()
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: order(cut, key), range(50)))
            busy = [answer for answer in answers if answer.status_code == 503]  # the store was slow: it is asked again
            answers = [answer for answer in answers if answer not in busy] + [order(cut, key) for _ in busy]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert order(grounds.http, key, seed=1).json()["code"] == "idempotency_mismatch"
    with client_of(grounds.port, another_tenant(grounds, f"neighbour-{seed}")) as stranger:
        assert order(stranger, key).json()["id"] != answers[0].json()["id"]


def test_a_store_that_is_cut_off_is_an_error_soon_and_all_is_well_when_it_is_back(grounds: Grounds, seed: int) -> None:
    """P14."""
    rng, video = random.Random(seed), order(grounds.http, f"before-{seed}").json()["id"]
    open_before = grounds.count("clients", "connected_clients")
    grounds.to_redis.fault(rng.choice([Fault.BLACKHOLE, Fault.REFUSE, Fault.RESET]))
    try:
        deadline, waits = time.monotonic() + 5, []
        while time.monotonic() < deadline:
            began = time.monotonic()
            answer = rng.choice([
                lambda: order(grounds.http, f"during-{seed}"),
                lambda: grounds.http.get(f"/v1/videos/{video}"),
                lambda: grounds.http.get("/readyz"),
            ])()  # fmt: skip
            waits.append(time.monotonic() - began)
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
            assert grounds.http.get("/healthz").is_success
    finally:
        grounds.to_redis.heal()
    assert max(waits) < TIMEOUT_S + 0.5
    until(grounds.answers, "the API", 10)
    assert grounds.http.get(f"/v1/videos/{video}").json()["id"] == video
    until(lambda: grounds.count("clients", "connected_clients") <= open_before + 4, "an end of old connections", 30)


def test_no_acknowledged_order_dies_with_the_store(grounds: Grounds, seed: int) -> None:
    """P16: the store is killed the moment that an order is acknowledged, again and again."""
    acknowledged = []
    for number in range(10):
        until(grounds.answers, "the API", 20)
        answer = order(grounds.http, f"ack-{seed}-{number}")
        grounds.valkey.kill()
        assert answer.status_code == 202
        acknowledged.append(answer.json()["id"])
        grounds.valkey.start()
    assert set(acknowledged) <= set(grounds.jobs())


def test_an_order_whose_api_died_before_it_answered_is_made_once(grounds: Grounds, crew: Crew, seed: int) -> None:
    """P2, P3: the store has it, nobody was woken for it, and the client asks again when it is done."""
    key, before = f"died-{seed}", set(grounds.jobs())
    port = grounds.second_api(f"dying-{seed}", kill_at="submit:after:1")
    with client_of(port) as client, pytest.raises(httpx.TransportError):
        order(client, key)
    (video,) = set(grounds.jobs()) - before
    assert grounds.ended(video)["status"] == "completed"
    again = order(grounds.http, key)
    assert again.json()["id"] == video and again.headers["idempotency-replayed"] == "true"


def test_a_worker_takes_up_work_after_every_loss_of_the_store(grounds: Grounds, crew: Crew, seed: int) -> None:
    """P14: the store dies at any moment of a unit, and of what its worker does between two, again and again."""
    rng = random.Random(seed)
    for number in range(3):
        videos = [order(grounds.http, f"again-{seed}-{number}-{n}", num_frames=24).json()["id"] for n in range(3)]
        time.sleep(rng.uniform(0, 1))
        grounds.valkey.kill()
        grounds.valkey.start()
        until(grounds.answers, "the API", 20)
        assert {grounds.ended(video, 30)["status"] for video in videos} == {"completed"}


def test_a_store_begun_elsewhere_from_a_copy_of_its_files_goes_on(grounds: Grounds, crew: Crew, seed: int) -> None:
    """P22: with what was acknowledged, and what was half made."""
    videos = [order(grounds.http, f"moved-{seed}-{number}", num_frames=24).json()["id"] for number in range(4)]
    until(lambda: any(grounds.jobs()[video].units_done for video in videos), "a unit")
    grounds.valkey.kill()
    here, elsewhere = grounds.valkey.folder, grounds.folder / f"elsewhere-{seed}"
    shutil.copytree(here, elsewhere)
    shutil.rmtree(here)
    grounds.valkey.folder = elsewhere
    grounds.valkey.start()
    until(grounds.answers, "the API", 20)
    assert {grounds.ended(video)["status"] for video in videos} == {"completed"}
