"""What is told about the work: Prometheus figures and log lines. Labels are outcomes and stages, never ids.

Queue and job figures are read from Redis at each scrape, so they are right with any number of API processes;
a worker process counts its own. Knows nothing of HTTP or Celery.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

import redis
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.correlation import Ids
from service.database import Database
from service.errors import StoreUnavailable
from service.jobs import Claim, Job, JobState, UnitDone
from service.keys import key
from service.redaction import redact
from service.settings import DEFAULT_POOL, Settings
from service.speed import realtime_factor, time_to_first_segment_s

_UNIT_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)
_UPLOAD_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_FACTOR_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 4, 8)
_JOB_BUCKETS_S = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400)
#: Codes of units that went wrong whose counters are there from the start.
FAULTS = ("out_of_memory", "storage_unavailable", "storage_full", "generation_failed", "internal_error")


class ApiMetrics:
    """Requests of one API process."""

    def __init__(self, registry: CollectorRegistry):
        disable_created_metrics()  # type: ignore[no-untyped-call]
        labels = ("method", "route", "status")
        self.requests = Counter("longtake_http_requests_total", "Requests answered.", labels, registry=registry)
        self.seconds = Histogram(
            "longtake_http_request_duration_seconds", "Time to answer.", ("method", "route"), registry=registry
        )


class WorkerMetrics:
    """Units of one worker process."""

    def __init__(self, registry: CollectorRegistry = REGISTRY):
        disable_created_metrics()  # type: ignore[no-untyped-call]

        def seconds(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"longtake_{name}_seconds", text, labels, buckets=buckets, registry=registry)

        self.unit = seconds("unit_duration", "Time to do a unit.", _UNIT_BUCKETS_S, "stage", "model")
        self.wait = seconds("job_queue_wait", "From submission to the first unit.", _JOB_BUCKETS_S)
        self.first = seconds("time_to_first_segment", "From submission to a segment to play.", _JOB_BUCKETS_S)
        self.job = seconds("job_duration", "From submission to the end.", _JOB_BUCKETS_S, "outcome", "model")
        self.upload = seconds("storage_upload", "Time to store an object.", _UPLOAD_BUCKETS_S)
        self.frames = Counter("longtake_frames_generated_total", "Frames.", ("stage",), registry=registry)
        self.bytes = Counter("longtake_segment_bytes_total", "Encoded bytes stored.", registry=registry)
        self.gpu_seconds = Counter("longtake_gpu_seconds_total", "Seconds spent on units.", registry=registry)
        self.lost = Counter(
            "longtake_units_failed_total", "Units not committed, by error code.", ("code",), registry=registry
        )
        for code in FAULTS:  # a counter that begins with its first event has no increase to be alarmed by
            self.lost.labels(code)
        self.realtime = Histogram(
            "longtake_realtime_factor",
            "Seconds of video made a second of wall time, of completed videos.",
            ("model",),
            buckets=_FACTOR_BUCKETS,
            registry=registry,
        )

    def claimed(self, claim: Claim) -> None:
        """A unit was taken up."""
        if claim.fence == 1 and claim.job.started_at:
            self.wait.observe(claim.job.started_at - claim.job.created_at)

    def committed(self, job: Job, done: UnitDone) -> None:
        """A unit was done; `job` as the store answered."""
        self.unit.labels(done.stage, job.generation.model).observe(done.seconds)
        self.gpu_seconds.inc(done.seconds)
        if done.segment:
            self.frames.labels(done.stage).inc(done.segment.num_frames)
            self.bytes.inc(done.segment.bytes)
            waited_s = time_to_first_segment_s(job)
            if done.segment.first_frame == 0 and done.segment.track == "preview" and waited_s is not None:
                self.first.observe(waited_s)
        if job.state.is_terminal and job.completed_at:
            self.job.labels(str(job.state), job.generation.model).observe(job.completed_at - job.created_at)
        if (factor := realtime_factor(job)) is not None:
            self.realtime.labels(job.generation.model).observe(factor)

    def failed(self, code: str) -> None:
        """A unit was not committed, for the reason of that code."""
        self.lost.labels(code).inc()


class DeliveryMetrics:
    """Attempts to post webhooks of one process; how many there were in all, the store knows."""

    def __init__(self, registry: CollectorRegistry = REGISTRY):
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.seconds = Histogram(
            "longtake_webhook_delivery_seconds", "Time of one attempt.", ("outcome",), registry=registry
        )


class StoreCollector(Collector):
    """Queue, job and webhook figures, read from Redis when they are asked for."""

    def __init__(self, client: redis.Redis, settings: Settings):
        self._db, self._pools = Database(client), {*settings.pools.values()}

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("longtake_store_up", "Whether the job store answers.")
        try:
            figures = list(self._figures())
        except StoreUnavailable:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from figures

    def _figures(self) -> Iterator[Metric]:
        counts = self._db.command("HGETALL", key("counts"))
        pools = sorted(self._pools | {*self._db.command("SMEMBERS", key("pools"))})
        totals = counts | {"working": self._db.command("ZCARD", key("leases"))}
        for what, name, text in (
            ("queued", "longtake_jobs_queued", "Videos that no worker has begun."),
            ("in_progress", "longtake_jobs_running", "Videos begun and not at their end."),
            ("working", "longtake_units_running", "Units that a worker holds."),
        ):
            there = {pool: float(counts.get(f"{what}|{pool}", 0)) for pool in pools}
            gauge = GaugeMetricFamily(name, text, labels=["pool"])
            gauge.add_metric([DEFAULT_POOL], float(totals.get(what, 0)) - sum(there.values()))
            for pool, number in there.items():
                gauge.add_metric([pool], number)
            yield gauge
        yield self._outcomes()
        lost = float(self._db.command("GET", key("losses")) or 0)
        yield CounterMetricFamily("longtake_leases_expired", "Units whose worker was lost.", value=lost)
        due = self._db.command("ZCARD", key("due"))
        yield GaugeMetricFamily("longtake_webhooks_pending", "Webhooks not yet delivered.", value=due)
        posted = CounterMetricFamily("longtake_webhook_attempts", "Webhooks posted.", labels=["outcome"])
        for outcome, number in self._db.command("HGETALL", key("posted")).items():
            posted.add_metric([outcome], float(number))
        yield posted
        pace = GaugeMetricFamily("longtake_unit_pace_seconds", "Recent time a unit.", labels=["model", "stage"])
        for name, value in self._db.command("HGETALL", key("pace")).items():
            pace.add_metric(name.split("|"), float(value))
        yield pace

    def _outcomes(self) -> Metric:
        """Of a model that has any, all: a counter that begins with its first failure has no increase to see."""
        counted = {tuple(name.split("|")): n for name, n in self._db.command("HGETALL", key("outcomes")).items()}
        jobs = CounterMetricFamily("longtake_jobs", "Videos at their end.", labels=["outcome", "model"])
        for model in dict.fromkeys(model for _, model in counted):
            for outcome in (state for state in JobState if state.is_terminal):
                jobs.add_metric([outcome, model], float(counted.get((outcome, model), 0)))
        return jobs


# Log lines

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonLines(logging.Formatter):
    """One JSON object a line; whatever the text holds, it stays on its line."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return redact(json.dumps(entry, default=str))


class TextLines(logging.Formatter):
    """For a person at a terminal: time, level, message, extras."""

    def format(self, record: logging.LogRecord) -> str:
        extras = "".join(f" {name}={value}" for name, value in _extra(record).items())
        line = f"{time.strftime('%H:%M:%S')} {record.levelname:<7} {record.getMessage()}{extras}"
        trace = self.formatException(record.exc_info).splitlines() if record.exc_info else []
        return "\n".join([_plain(line), *(f"  {_plain(part)}" for part in trace)])


def configure_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Send every logger of this process to one stream, in one form."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextLines())
    handler.addFilter(Ids())
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for chatty in ("httpx", "httpcore", "botocore", "boto3", "urllib3", "s3transfer"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _plain(text: str) -> str:
    """On one line, without secrets, and without anything that a terminal would obey."""
    return redact(text.encode("unicode_escape").decode("ascii"))


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _PLAIN}
