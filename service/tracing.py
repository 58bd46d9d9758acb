"""Traces by OpenTelemetry: a request, every unit of its video and every webhook are spans of one trace.

A job carries the W3C `traceparent` of the request that ordered it, for its units are done minutes later and by whoever
is free. Without `otlp_endpoint` nothing is sent, but a caller's trace is still carried on to its webhooks. Owns the
names of spans, but those of requests are FastAPI's; needs no more than OpenTelemetry's API until it is asked to send.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AnyValue

from service.jobs import Claim, Job
from service.redaction import redact
from service.settings import Settings

HEADER = "traceparent"
FLUSH_MS = 2000

log = logging.getLogger(__name__)

_tracer = trace.get_tracer("longtake")
_propagator = TraceContextTextMapPropagator()


def configure(settings: Settings, role: str) -> None:
    """Send this process's spans to `otlp_endpoint` in the background; nothing where that is not set.

    Everything else (sampling, batching, headers, resource attributes) is OpenTelemetry's: its OTEL_* variables hold.
    Where the extra `tracing` is not installed, it says so and the process goes on without.
    """
    if not settings.otlp_endpoint:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.error("no traces: LONGTAKE_OTLP_ENDPOINT is set, and what sends them is not installed: longtake[tracing]")
        return

    class Redaction(SpanProcessor):
        """No ticket leaves the house in the query of a request."""

        def on_start(self, span: Span, parent_context: Context | None = None) -> None:
            query = getattr(span, "attributes", {}).get("url.query")
            if query:
                span.set_attribute("url.query", redact(f"?{query}")[1:])

    provider = TracerProvider(resource=Resource.create({"service.name": f"longtake-{role}"}))
    provider.add_span_processor(Redaction())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{settings.otlp_endpoint}/v1/traces")))
    trace.set_tracer_provider(provider)


def flush() -> None:
    """Send what is not yet sent, before the process ends without its exit handlers."""
    send = getattr(trace.get_tracer_provider(), "force_flush", None)
    if send is not None:
        send(FLUSH_MS)


@contextmanager
def of_caller(headers: Mapping[str, str]) -> Iterator[None]:
    """The trace that a request's headers name is in hand, where none of ours is."""
    token = None if trace_id() else context.attach(_propagator.extract(headers))
    try:
        yield
    finally:
        if token:
            context.detach(token)


@contextmanager
def unit(claim: Claim) -> Iterator[Span]:
    """A unit of a video, from its claim on; a child of the request that ordered the video."""
    job = claim.job
    about: dict[str, AnyValue] = {
        "longtake.video.id": job.id,
        "longtake.model": job.generation.model,
        "longtake.stage": claim.stage,
        "longtake.position": claim.position,
        "longtake.attempt": claim.attempt,
        "longtake.fence": claim.fence,
        "longtake.worker.id": claim.worker_id,
    }
    with _tracer.start_as_current_span(f"unit {claim.stage}", _of(job), SpanKind.CONSUMER, about) as span:
        yield span


@contextmanager
def step(name: str) -> Iterator[Span]:
    """A part of what is in hand."""
    with _tracer.start_as_current_span(name) as span:
        yield span


@contextmanager
def webhook(job: Job, event: str) -> Iterator[dict[str, str]]:
    """One attempt to post an event of a video: the headers that carry the trace to its receiver."""
    about = {"longtake.video.id": job.id, "longtake.event": event}
    with _tracer.start_as_current_span("webhook", _of(job), SpanKind.CLIENT, about):
        yield _carried()


def went_wrong(error: Exception) -> None:
    """What is in hand has failed."""
    span = trace.get_current_span()
    span.record_exception(error)
    span.set_status(StatusCode.ERROR, type(error).__name__)


def here() -> str:
    """The `traceparent` of what is in hand; '' where no trace is."""
    return _carried().get(HEADER, "")


def trace_id() -> str | None:
    """The trace of what is in hand, 32 hexadecimal digits, as log lines name it."""
    span = trace.get_current_span().get_span_context()
    return trace.format_trace_id(span.trace_id) if span.is_valid else None


def _of(job: Job) -> Context:
    return _propagator.extract({HEADER: job.traceparent})


def _carried() -> dict[str, str]:
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return {name: value for name, value in carrier.items() if name == HEADER}
