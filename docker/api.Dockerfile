# The API: answers, and knows no tensor. Also `longtake keys`, `tenants`, `doctor` and `rebuild`.
#
#   docker build -f docker/api.Dockerfile -t longtake-api:0.1.0 .
FROM python:3.11.15-slim-bookworm AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/longtake
ENV PATH=/opt/longtake/bin:$PATH
WORKDIR /src

# What others wrote changes seldom and is a layer of its own: with nothing but pyproject.toml there is no code of ours yet.
COPY LICENSE README.md pyproject.toml requirements.lock ./
RUN pip install --constraint requirements.lock '.[api,tracing]'

# The catalogue is code; the weights that it speaks of are the workers'.
COPY longtake longtake
COPY models models
COPY service service
COPY workers workers
RUN rm -r models/checkpoints && pip install --no-deps --force-reinstall .


FROM python:3.11.15-slim-bookworm

COPY --from=build /opt/longtake /opt/longtake

# Nothing is written but to /tmp, so the root may be read-only. A user without a line in /etc/passwd needs a name.
ENV PATH=/opt/longtake/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp LOGNAME=longtake \
    LONGTAKE_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8000

# Healthy is who could take an order now. No proxy of the environment is asked.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-c", "from http.client import HTTPConnection as To; to = To('127.0.0.1', 8000, timeout=4); to.request('GET', '/readyz'); exit(to.getresponse().status != 200)"]
CMD ["python", "-m", "service.api"]
