"""docker/ as written: the stages of its images, and the services of its compose file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

from tests.support.images import stages
from tests.support.processes import ROOT

DOCKER = ROOT / "docker"
IMAGES = {name: stages(DOCKER / f"{name}.Dockerfile") for name in ("api", "worker")}
TEXT = (DOCKER / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EXAMPLE = {name: value or "" for name, value in dotenv_values(DOCKER / ".env.example", interpolate=False).items()}
OWN = {"api": "api", "render": "worker", "render-cpu": "worker", "deliver": "worker"}  # service -> our image
WORKERS = [name for name, image in OWN.items() if image == "worker"]
CLIENTS = {"api", "render", "render-cpu", "deliver"}  # of Redis and of the storage
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)\}")


def filled(value: Any, variables: dict[str, str] = EXAMPLE) -> Any:
    """What compose makes of a value."""
    if isinstance(value, dict):
        return {key: filled(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, variables) for each in value]
    return VARIABLE.sub(lambda m: variables[m[1]], value).replace("$$", "$") if isinstance(value, str) else value


def user_of(service: str) -> int:
    """Whom a container runs as, by number."""
    if service in OWN:
        return int(IMAGES[OWN[service]][-1].all("USER")[-1].split(":")[0])
    return int(SERVICES[service]["user"].split(":")[0])


def secrets_of(service: str) -> dict[str, str]:
    """Secret -> the file in the container that has it."""
    told = [s if isinstance(s, dict) else {"source": s} for s in SERVICES[service].get("secrets", ())]
    return {s["source"]: str(Path("/run/secrets", s.get("target", s["source"]))) for s in told}


def networks_of(service: str) -> set[str]:
    return set(SERVICES[service]["networks"])
