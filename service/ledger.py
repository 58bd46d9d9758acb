"""What is kept of every video and of every key in object storage, so that a lost job store can be rebuilt from it.

A video's record is filed when it is ordered, when its prompts change and when it ends, beside its frames; what the
store has since, its workers make again. Whatever falls behind is marked in the store and filed by the sweep. Keys are
kept as digests, and no secret that signs anything is kept: new ones are made. Knows nothing of HTTP.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import redis

from service import ids
from service.database import Database, as_mapping
from service.errors import NotFound
from service.jobs import Job
from service.keys import key
from service.objects import Objects
from service.objects import key as place_of
from service.records import read_job
from service.settings import Settings
from service.tenants import new_webhook_secret

log = logging.getLogger(__name__)

RECORD = "job.json"
TENANTS = "house/tenants"  # the entry of all tenants, beside those of videos
AT_ONCE = 100


class Ledger:
    def __init__(self, client: redis.Redis, settings: Settings, objects: Objects):
        self._db, self._objects = Database(client), objects

    # Filing

    def catch_up(self) -> None:
        """File what is behind."""
        while entries := self.behind():
            for entry in entries:
                self.file(entry)
            if len(entries) < AT_ONCE:
                break

    def behind(self) -> list[str]:
        """Entries, "tenant/video" or `TENANTS`, whose record is not what the store has; the oldest first."""
        entries: list[str] = self._db.command("ZRANGE", key("unfiled"), 0, AT_ONCE - 1)
        return entries

    def file(self, entry: str) -> None:
        """Bring one record up to date; that of a video that is gone goes too. Raises `StorageUnavailable`."""
        mark = self._db.command("ZSCORE", key("unfiled"), entry)
        if mark is None:
            return
        told = self._tenants() if entry == TENANTS else self._video(entry)
        if told is not None:
            self._objects.put(_place(entry), json.dumps(told).encode(), "application/json")
        if entry != TENANTS and not self._is_there(entry.split("/")[1]):  # also one that was deleted meanwhile
            self._objects.delete(_place(entry))
        self._db.run("filed", entry, int(mark))

    def _video(self, entry: str) -> dict[str, Any] | None:
        dumped = self._db.run("dump", entry.split("/")[1])
        if not dumped:
            return None
        row, inherited, committed, borrows = dumped
        return {"job": as_mapping(row), "inherited": inherited, "committed": committed, "borrows": borrows}

    def _is_there(self, video: str) -> bool:
        return bool(self._db.command("EXISTS", key("job", video)))

    def _tenants(self) -> dict[str, Any]:
        names = self._hash("tenants")
        keys = self._db.command("ZRANGE", key("api_keys"), 0, -1)
        return {
            "tenants": names,
            "limits": {tenant: self._hash("limits", tenant) for tenant in names.values()},
            "at_once": self._hash("at_once"),
            "api_keys": {name: self._hash("api_key", name) for name in keys},
        }

    # Rebuilding

    def rebuild(self) -> Iterator[tuple[str, Job | None]]:
        """Bring back what the store lacks, record by record: what became of each, and the job where it is one.

        First the tenants and their keys ("tenants"), which take the place of any that were made since; then every
        video: "there" where the store has it, else "ended" or "goes on". Raises `NotFound` where nothing was filed.
        """
        names = self._objects.list("")
        videos = [name for name in names if name.endswith(f"/{RECORD}") and name.count("/") == 2]
        if _place(TENANTS) not in names:
            raise NotFound("There is no record of tenants in this storage; is it the one of that service?")
        self._restore_tenants(json.loads(self._objects.get(_place(TENANTS))))
        yield "tenants", None
        owners: dict[str, str] = {}
        for name in videos:
            told = json.loads(self._objects.get(name))
            job = read_job(told["job"])
            owners |= dict.fromkeys(told["borrows"], job.tenant)
            deadline_ms = "" if job.deadline_s is None else int((job.created_at + job.deadline_s) * 1000)
            made = self._db.run("restore", job.id, json.dumps(told), deadline_ms, ids.new("evt"))
            yield ("there" if not made else "ended" if job.state.is_terminal else "goes on"), job
        for owner, tenant in owners.items():  # a deleted video whose frames others play
            if not self._is_there(owner):
                self._db.command("HSET", key("kept"), owner, tenant)

    def _restore_tenants(self, told: dict[str, Any]) -> None:
        for name, tenant in told["tenants"].items():
            self._db.run("restore_tenant", name, tenant, new_webhook_secret())
        for table, rows in (("limits", told["limits"]), ("api_key", told["api_keys"])):
            for name, row in rows.items():
                self._put_hash(key(table, name), row)
        self._put_hash(key("at_once"), told["at_once"])
        for name in told["api_keys"]:
            self._db.command("ZADD", key("api_keys"), 0, name)

    def _put_hash(self, name: str, row: dict[str, str]) -> None:
        if row:
            self._db.command("HSET", name, *(part for pair in row.items() for part in pair))

    def _hash(self, name: str, *parts: str) -> dict[str, str]:
        found: dict[str, str] = self._db.command("HGETALL", key(name, *parts))
        return found


def _place(entry: str) -> str:
    tenant, name = entry.split("/")
    return place_of(tenant, name, RECORD if entry != TENANTS else "tenants.json")
