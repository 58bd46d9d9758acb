"""The name of every Redis key, for Python and for the scripts alike.

The scripts build key names from ids inside, so the store needs one primary and not a cluster.
"""

from __future__ import annotations

TEMPLATES = {
    # jobs
    "job": "longtake:job:{}",  # hash: the record as submitted, and what has changed since
    "committed": "longtake:committed:{}",  # list of UnitDone, one a committed unit
    "inherited": "longtake:inherited:{}",  # list of UnitDone, one a unit that is shared with the job's parent
    "borrows": "longtake:borrows:{}",  # set of jobs whose objects this one plays
    "borrowers": "longtake:borrowers:{}",  # set of jobs that play objects of this one
    "kept": "longtake:kept",  # hash: deleted job -> tenant, whose objects stay while others play them
    "events": "longtake:events:{}",  # stream of what happened to a job
    "jobs": "longtake:jobs:{}",  # zset of a tenant's job ids, in order of id
    "live": "longtake:live:{}",  # set of a tenant's jobs that are not terminal
    "waiting": "longtake:waiting:{}",  # set of a tenant's jobs that no worker has begun
    "working": "longtake:working:{}",  # set of a tenant's claims in work, "job/fence"
    "idempotency": "longtake:idempotency:{}:{}",  # hash: fingerprint and answer, by tenant and key
    "deadlines": "longtake:deadlines",  # zset: job by the time it must be done
    "expiries": "longtake:expiries",  # zset: job by the time it is deleted
    "litter": "longtake:litter",  # zset: "tenant/job" where a worker that lost its unit may have left objects, by time
    "unfiled": "longtake:unfiled",  # zset: "tenant/job" whose record in object storage is behind, by age
    "trash": "longtake:trash",  # zset: "tenant/job" whose objects go, by time
    # scheduling
    # Of each pool of workers, what ends in {} with ":" and its name, or with nothing for the pool without a name.
    "pools": "longtake:pools",  # set of the names of pools that were ever ordered from
    "queue": "longtake:queue:{}{}",  # zset of a tenant's jobs with a unit to do, by priority, then age
    "ready": "longtake:ready{}",  # zset of tenants that may have a unit of their queue, by the share they have had
    "clock": "longtake:clock{}",  # share of the tenant served last: where a newcomer begins
    "share": "longtake:share",  # hash: tenant, and pool as above -> share, also of those that are not ready
    "sequence": "longtake:sequence",  # counter behind `age`
    "leases": "longtake:leases",  # zset: claim in work, "job/fence", by the end of its lease
    # figures
    "counts": "longtake:counts",  # hash: state -> jobs now, and as `in_pools`
    "in_pools": "longtake:in_pools:{}",  # hash: "state|pool", "working|pool" -> a tenant's jobs, units in work
    "outcomes": "longtake:outcomes",  # hash: "state|model" -> jobs ever
    "losses": "longtake:losses",  # counter of leases that ran out
    "pace": "longtake:pace",  # hash: "model|stage" -> seconds a unit takes, a moving average
    # webhooks
    "delivery": "longtake:delivery:{}",  # hash: one row of the outbox
    "rows": "longtake:rows:{}",  # set of a job's rows
    "attempts": "longtake:attempts:{}",  # list of attempts at a row
    "deliveries": "longtake:deliveries:{}",  # zset of a tenant's rows, in order of id
    "due": "longtake:due",  # zset: row by the time of its next attempt
    "disabled": "longtake:disabled:{}",  # set of a tenant's receivers that answered 410
    "posted": "longtake:posted",  # hash: outcome -> attempts ever
    # tenants
    "tenant": "longtake:tenant:{}",  # hash: name, webhook secrets
    "tenants": "longtake:tenants",  # hash: name -> tenant id
    "limits": "longtake:limits:{}",  # hash: the limits that were set for a tenant
    "at_once": "longtake:at_once",  # hash: tenant -> units it may have in work at once, where there is a limit
    "bucket": "longtake:bucket:{}",  # hash: what is left of a tenant's requests, and when that was so
    "frames": "longtake:frames:{}:{}",  # counter of frames ordered by a tenant on a day, in days since 1970
    "api_key": "longtake:api_key:{}",  # hash: tenant, name, sha256 of the secret
    "ticket_secret": "longtake:ticket_secret",  # what every process signs and reads tickets with
    "api_keys": "longtake:api_keys",  # zset of key ids, in order of id
}


def key(name: str, *parts: str) -> str:
    """key("job", id) -> "longtake:job:<id>"."""
    return TEMPLATES[name].format(*parts)


def at(pool: str) -> str:
    """What a key of a pool's own ends in."""
    return f":{pool}" if pool else ""


def lua_table() -> str:
    """The same names as a Lua table K: `K.ready`, `K.job(id)`."""
    lines = ["local K = {}"]
    for name, template in TEMPLATES.items():
        head, *rest = template.split("{}")
        if not rest:
            lines.append(f"K.{name} = '{head}'")
            continue
        names = [f"p{i}" for i in range(len(rest))]
        pieces = " .. ".join(f"{p} .. '{text}'" for p, text in zip(names, rest, strict=True))
        lines.append(f"K.{name} = function({', '.join(names)}) return '{head}' .. {pieces} end")
    return "\n".join(lines)
