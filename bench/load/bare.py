"""An empty FastAPI route, served as the service is: the most that this machine can do. `-m bench.load.bare PORT`."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI

from service.api.__main__ import options
from service.settings import Settings


def main() -> None:
    app = FastAPI()

    @app.post("/", status_code=202)
    def empty() -> dict[str, str]:
        """In a thread, as the service's routes are."""
        return {"status": "queued"}

    uvicorn.run(app, **options(Settings(port=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
