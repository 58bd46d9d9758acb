"""The HTTP service put together. The only package that imports FastAPI; knows no tensors and no workers."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from prometheus_client import CollectorRegistry

from service.api import (
    content,
    events,
    health,
    models,
    openapi,
    problems,
    reference,
    stream,
    studio,
    takes,
    videos,
    webhooks,
)
from service.api.deps import Services
from service.api.middleware import PROBES, BodyLimit, Surroundings
from service.feeds import Feeds
from service.reels import Reels
from service.settings import Settings
from service.telemetry import ApiMetrics, StoreCollector
from service.tickets import Tickets

DESCRIPTION = "A prompt becomes one unbroken long video. The shape of OpenAI's Videos API, and more."

#: Of FastAPI's own, spans of requests only: figures and log lines are `service.telemetry`'s, and probes tell nothing.
TELEMETRY: TelemetryConfig = {
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
    "exclude": lambda scope: scope["path"] in PROBES,
}


def create_app(settings: Settings) -> FastAPI:
    """The app for one process. Starts while Redis is away, and answers 503 until it is there."""
    app = FastAPI(
        title="Longtake",
        version=version("longtake"),
        description=DESCRIPTION,
        docs_url=None,  # see `reference`
        redoc_url=None,
        redirect_slashes=False,  # the redirect would be made of the Host that the client sent
        telemetry=TELEMETRY,
        generate_unique_id_function=openapi.operation_id,
    )
    app.state.services = Services.open(settings)
    app.state.tickets = Tickets(app.state.services.client, settings)
    app.state.reels = Reels(app.state.services.client)
    app.state.feeds = Feeds(settings)
    app.state.registry = CollectorRegistry()
    app.state.registry.register(StoreCollector(app.state.services.client, settings))
    problems.install(app)
    openapi.install(app)
    pictures = {("POST", "/v1/videos"): max(settings.body_limit_bytes, settings.image_limit_bytes)}
    app.add_middleware(BodyLimit, limit_bytes=settings.body_limit_bytes, larger=pictures)
    app.add_middleware(Surroundings, metrics=ApiMetrics(app.state.registry))
    for router in (
        videos.router,
        takes.router,
        videos.reading,
        content.router,
        stream.router,
        events.router,
        models.router,
        webhooks.router,
        health.router,
        studio.router,
        reference.router,
    ):
        app.include_router(router)
    return app
