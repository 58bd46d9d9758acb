"""`python -m service.api`: serve the API with the settings of the environment."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from types import FrameType
from typing import Any

import uvicorn

from service import tracing
from service.api.app import create_app
from service.feeds import Feeds
from service.settings import Settings
from service.telemetry import configure_logging


class Server(uvicorn.Server):
    """Ends the event streams when it is asked to stop; else it would wait for the viewers to go."""

    def __init__(self, config: uvicorn.Config, feeds: Feeds):
        super().__init__(config)
        self._feeds = feeds
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._feeds.close)
        super().handle_exit(sig, frame)


def main() -> None:
    settings = Settings()
    configure_logging(settings)
    tracing.configure(settings, "api")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it once more after its clean stop
    app = create_app(settings)
    Server(uvicorn.Config(app, **options(settings)), app.state.feeds).run()


def options(settings: Settings) -> dict[str, Any]:
    """How uvicorn serves."""
    return {
        "host": settings.host,
        "port": settings.port,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": 10,
    }


if __name__ == "__main__":
    main()
