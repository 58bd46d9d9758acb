"""What schemathesis is to look for besides its own checks: nothing of one tenant's is there for another.

Every call that shows or changes something of a tenant's is made again, to the byte, with the key of its neighbour,
who must be told that there is no such thing; and no list of the neighbour's names what a list of the tenant's does.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urljoin

import requests
import schemathesis
from schemathesis.generation.meta import TestPhase

NEIGHBOURS_KEY, FINISHED = os.environ["NEIGHBOURS_KEY"], os.environ["FINISHED_VIDEO"]
OF_A_VIDEO = ("get", "content", "stream", "events", "steer", "cancel", "delete", "branch", "remix", "extend", "edit")
OWNED = (*OF_A_VIDEO, "redeliver")
LISTS = ("list_videos", "list_deliveries")
WISHES = ("seed", "priority", "metadata")
QUICK = {"num_frames": 16, "steps": 1, "refine": False, "webhook": {"url": "http://127.0.0.1:9/"}}  # nobody listens
REVEALING = (409, 410, 451)  # refusals that tell of something that is there


@schemathesis.check
def not_there_for_a_neighbour(ctx: Any, response: Any, case: Any) -> None:
    name = case.operation.definition.raw["operationId"]
    if name in OWNED and _opened_by_key(response) and (response.status_code < 400 or response.status_code in REVEALING):
        answer = _as_neighbour(response.request)
        assert answer.status_code == 404, f"the neighbour is answered {answer.status_code}: {answer.text[:500]}"
    elif name in LISTS and response.status_code == 200:
        theirs = {entry["id"] for entry in _as_neighbour(response.request).json()["data"]}
        assert theirs.isdisjoint(entry["id"] for entry in response.json()["data"]), "a list shows a neighbour's"
    elif name == "secret" and response.status_code == 200:
        assert _as_neighbour(response.request).json()["secret"] != response.json()["secret"]


@schemathesis.hook
def before_call(ctx: Any, case: Any, kwargs: Any) -> None:
    """In sequences a video is made in no time, no order is one that came before, and no video is none.

    A key that comes again would be answered with the video that an earlier sequence deleted; and what a sequence begins
    with has nothing to be about, unless it is given a video that is there.
    """
    if case.meta is None or case.meta.phase.name != TestPhase.STATEFUL:
        return
    case.headers.pop("idempotency-key", None)
    if "video_id" in case.path_parameters and not case.path_parameters["video_id"].startswith("video_"):
        case.path_parameters["video_id"] = FINISHED
    name, body = case.operation.definition.raw["operationId"], case.body
    if name == "create" and isinstance(body, dict):
        case.body = {field: body[field] for field in ("prompt", *WISHES) if field in body} | QUICK
    if name in ("extend", "edit") and isinstance(body, dict) and not body["video"]["id"].startswith("video_"):
        case.body = {**body, "video": {"id": FINISHED}}


@schemathesis.hook
def after_call(ctx: Any, case: Any, response: Any) -> None:
    """Outside of sequences nobody waits for what was ordered; a playlist would wait for its first segment."""
    in_sequence = case.meta is not None and case.meta.phase.name == TestPhase.STATEFUL
    if response.status_code == 202 and case.operation.path.startswith("/v1/videos") and not in_sequence:
        headers = {"Authorization": response.request.headers["Authorization"]}
        cancel = urljoin(response.request.url, f"/v1/videos/{response.json()['id']}/cancel")
        requests.post(cancel, headers=headers, timeout=20).raise_for_status()


def _opened_by_key(response: Any) -> bool:
    return "Authorization" in response.request.headers and "token=" not in response.request.url


def _as_neighbour(request: requests.PreparedRequest) -> requests.Response:
    again = request.copy()
    again.headers["Authorization"] = f"Bearer {NEIGHBOURS_KEY}"
    with requests.Session() as session:
        session.trust_env = False
        return session.send(again, timeout=20, allow_redirects=False)
