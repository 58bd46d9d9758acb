# A worker: `render` makes videos, on a GPU or a CPU; `deliver` posts webhooks and sweeps.
#
#   docker build -f docker/worker.Dockerfile -t longtake-worker:0.1.0 .
#
# No nvidia/cuda below it: torch's wheels bring their own CUDA libraries, a second set would add gigabytes that nobody
# loads, and two that differ are a fault to come. The driver is the machine's, put in by the NVIDIA Container Toolkit.
FROM python:3.11.15-slim-bookworm AS build

# https://download.pytorch.org/whl/cpu has the same torch without CUDA, for machines without a GPU: a tenth of the size.
ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_EXTRA_INDEX_URL=$TORCH_INDEX
RUN python -m venv /opt/longtake
ENV PATH=/opt/longtake/bin:$PATH
WORKDIR /src

# What others wrote changes seldom and is a layer of its own: with nothing but pyproject.toml there is no code of ours yet.
COPY LICENSE README.md pyproject.toml requirements.lock ./
RUN pip install --constraint requirements.lock '.[worker,tracing]'

# The bundled weights come along; others are a volume, and LONGTAKE_CHECKPOINTS says where in it.
COPY longtake longtake
COPY models models
COPY service service
COPY workers workers
RUN pip install --no-deps --force-reinstall .


FROM python:3.11.15-slim-bookworm

# With LONGTAKE_COMPILE torch writes kernels, which a C compiler makes callable. Debian keeps no old version to pin.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

COPY --from=build /opt/longtake /opt/longtake

# Nothing is written but to /tmp, so the root may be read-only. A user without a line in /etc/passwd needs a name.
ENV PATH=/opt/longtake/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp LOGNAME=longtake \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    LONGTAKE_HEARTBEAT_FILE=/tmp/heartbeat.json
USER 10001:10001

# Until the model is loaded nobody is ready: minutes, where it is large.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m CMD ["python", "-m", "workers.heartbeat", "/tmp/heartbeat.json"]
CMD ["python", "-m", "workers", "render"]
