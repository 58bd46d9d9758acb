"""Stores as releases left them: every key of a busy one, written down once and read by all later releases.

`python -m tests.support.releases` writes that of the present `SCHEMA_VERSION` into tests/service/releases. A file that
a release went out with is never written again: what it holds must be readable.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import redis
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.database import connect
from service.jobs import SCHEMA_VERSION
from service.settings import Settings
from service.store import Store
from service.tenants import Tenants
from tests.service.conftest import done
from tests.support.servers import Valkey

FOLDER = Path(__file__).parents[1] / "service" / "releases"
ORDER = {"prompt": "a red circle moving right on a black background", "num_frames": 32, "steps": 2, "refine": False}
HOOK = {"url": "https://hooks.example.com/longtake", "events": ["video.in_progress", "video.completed", "video.failed"]}


def dump(client: redis.Redis) -> dict[str, Any]:
    """Everything that the server holds, by key: its type and what is in it."""
    read = {
        "string": client.get,
        "hash": client.hgetall,
        "list": lambda name: client.lrange(name, 0, -1),
        "set": lambda name: sorted(client.smembers(name)),  # type: ignore[arg-type]
        "zset": lambda name: client.zrange(name, 0, -1, withscores=True),
        "stream": client.xrange,
    }
    kinds = {name: str(client.type(name)) for name in sorted(client.keys())}  # type: ignore[arg-type]
    return {name: {"type": kind, "value": read[kind](name)} for name, kind in kinds.items()}


def load(client: redis.Redis, told: dict[str, Any]) -> None:
    """The same, back into an empty server."""
    for name, entry in told.items():
        value = entry["value"]
        match entry["type"]:
            case "string":
                client.set(name, value)
            case "hash":
                client.hset(name, mapping=value)
            case "list":
                client.rpush(name, *value)
            case "set":
                client.sadd(name, *value)
            case "zset":
                client.zadd(name, dict(value))
            case "stream":
                for entry_id, fields in value:
                    client.xadd(name, fields, id=entry_id)


def make_busy(client: redis.Redis, settings: Settings) -> dict[str, Any]:
    """A video of every kind in the store, and what is needed to ask for them."""
    _, token = Tenants(client, settings).create_key("acme")
    store = Store(client, settings)
    with TestClient(create_app(settings), headers={"Authorization": f"Bearer {token}"}) as api:

        def order(**changes: Any) -> str:
            answer = api.post("/v1/videos", json=ORDER | {"webhook": HOOK} | changes)
            assert answer.status_code == 202, answer.text
            return str(answer.json()["id"])

        def work(units: int) -> None:
            for _ in range(units):
                claim = store.claim_next("worker_A")
                assert claim is not None
                is_last = claim.job.work()[claim.position].stage == "finish"
                place = f"{claim.job.tenant}/{claim.job.id}/video.f{claim.fence}.mp4"
                store.commit(claim, done(claim, artefacts={"video": place} if is_last else {}))

        finished = order(metadata={"shot": "1"})
        work(4)
        branch = api.post(f"/v1/videos/{finished}/branch", json={"at_seconds": 2.0, "seconds": "4", "seed": 9}).json()
        api.post(f"/v1/videos/{branch['id']}/cancel")
        failed = order()
        claim = store.claim_next("worker_A")
        assert claim is not None and claim.job.id == failed
        store.fail(claim, "worker_lost", "Its workers died.", retryable=False)
        made = order()
        work(1)
        api.patch(f"/v1/videos/{made}", json={"prompts": [{"at_seconds": 3.0, "prompt": "a blue star staying still"}]})
        work(1)
        held = store.claim_next("worker_lost")
        assert held is not None and held.job.id == made
        refined = order(refine={"steps": 2})
        work(2)
        at_once = [store.claim_next(f"worker_{n}") for n in range(2)]
        assert [claim.stage for claim in at_once if claim and claim.job.id == refined] == ["refine", "stream"]
        waiting = order(priority=2)
        again = {"Idempotency-Key": "the-same"}
        answer = api.post("/v1/videos", json=ORDER, headers=again)
        videos = {video["id"]: video["status"] for video in api.get("/v1/videos").json()["data"]}
        expected = {finished: "completed", branch["id"]: "cancelled", failed: "failed"}
        expected |= dict.fromkeys((made, refined), "in_progress")
        assert videos == expected | {waiting: "queued", answer.json()["id"]: "queued"}
    return {"token": token, "videos": videos, "idempotency": {"key": "the-same", "video": answer.json()["id"]}}


def record(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, Valkey(Path(folder) / "valkey") as server:
        settings = Settings(redis_url=server.url, data_dir=Path(folder))
        client = connect(settings)
        told = make_busy(client, settings)
        path.write_text(json.dumps(told | {"keys": dump(client)}, indent=1) + "\n")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    target = FOLDER / f"{SCHEMA_VERSION}.json"
    if target.exists():
        raise SystemExit(f"{target} is there already: a release that went out stays as it was.")
    record(target)
