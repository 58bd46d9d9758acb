"""An API that is killed at a chosen call of its store: `submit:after:1`.

Run as `python -m tests.support.killable_api` with LONGTAKE_TEST_KILL_AT, for the answers that never come.
"""

from __future__ import annotations

import os
from typing import Any

from service.api import __main__ as api
from service.store import Store
from tests.support.killable import die


def arm(told: str) -> None:
    method, moment, number = told.split(":")
    real, left = getattr(Store, method), int(number)

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and moment == "before":
            die()
        answer = real(*args, **kwargs)
        if left == 0:
            die()
        return answer

    setattr(Store, method, call)


if __name__ == "__main__":
    arm(os.environ["LONGTAKE_TEST_KILL_AT"])
    api.main()
