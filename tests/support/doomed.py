"""Any process of the service that is killed at a chosen call of one of its classes.

`python -m tests.support.doomed service.store:Store service.api`, or `… service.outbox:Outbox workers deliver`, with
LONGTAKE_TEST_KILL_AT as in `tests.support.killable`: for answers that never come.
"""

from __future__ import annotations

import os
import runpy
import sys
from importlib import import_module
from typing import Any

from tests.support.killable import die


def arm(owner: Any, told: str) -> None:
    name, moment, number = told.split(":")
    real, left = getattr(owner, name), int(number)

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and moment == "before":
            die()
        answer = real(*args, **kwargs)
        if left == 0:
            die()
        return answer

    setattr(owner, name, call)


if __name__ == "__main__":
    module, owner = sys.argv[1].split(":")
    arm(getattr(import_module(module), owner), os.environ["LONGTAKE_TEST_KILL_AT"])
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
