"""/healthz, /readyz and /metrics: for whoever runs the service."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.api.deps import ServicesDep

router = APIRouter(tags=["operation"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process lives; asks nobody else."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(use: ServicesDep) -> dict[str, str]:
    """Videos can be ordered: the job store and the object storage answer. 503 says which does not."""
    use.store.ping()
    use.objects.check()
    return {"status": "ready"}


@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """Prometheus figures of this process and, read now, of the queue."""
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)
