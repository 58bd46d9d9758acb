"""`python -m service.api`: serve the API with the settings of the environment."""

from __future__ import annotations

import signal
import sys

import uvicorn

from service.api.app import create_app
from service.settings import Settings
from service.telemetry import configure_logging


def main() -> None:
    settings = Settings()
    configure_logging(settings)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it once more after its clean stop
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    main()
