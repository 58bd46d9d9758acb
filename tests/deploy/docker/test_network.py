"""Who reaches whom on one machine, and who is told which secret."""

from __future__ import annotations

import re
from pathlib import Path

from service.settings import Settings
from tests.support.compose import CLIENTS, COMPOSE, EXAMPLE, IMAGES, OWN, SERVICES, filled, networks_of, secrets_of


def neighbours(service: str) -> set[str]:
    return {other for other in SERVICES if other != service and networks_of(other) & networks_of(service)}


def test_only_the_api_and_the_workers_reach_redis() -> None:
    assert neighbours("redis") == CLIENTS and networks_of("redis") == {"store"}
    assert neighbours("storage") == CLIENTS
    assert neighbours("grafana") == {"prometheus"}
    assert neighbours("prometheus") == CLIENTS | {"grafana"}


def test_only_who_must_reaches_the_world() -> None:
    outward = {name for name, how in COMPOSE["networks"].items() if not how.get("internal")}
    assert outward == {"world", "shown"} and set().union(*map(networks_of, SERVICES)) == set(COMPOSE["networks"])
    assert {name for name in SERVICES if networks_of(name) & outward} == {"api", "deliver", "storage", "grafana"}


def test_three_ports_are_published_and_on_this_machine_only() -> None:
    ports = {name: told["ports"] for name, told in SERVICES.items() if "ports" in told}
    assert ports.keys() == {"api", "storage", "grafana"}
    assert all(re.fullmatch(r"\$\{LISTEN\}:\$\{[A-Z]+_PORT\}:\d+", port) for (port,) in ports.values())
    assert EXAMPLE["LISTEN"] == "127.0.0.1"
    final = IMAGES["api"][-1]
    assert filled(ports["api"]) == [f"127.0.0.1:{Settings().port}:{final.all('EXPOSE')[0]}"]
    assert final.environment["LONGTAKE_HOST"] == "0.0.0.0"


def test_a_secret_is_a_file_of_those_who_need_it_and_no_variable() -> None:
    holders = {secret: {name for name in SERVICES if secret in secrets_of(name)} for secret in COMPOSE["secrets"]}
    assert holders == {
        "users_acl": {"redis"},
        "api_url": {"api"},
        "worker_url": {"render", "render-cpu"},
        "courier_url": {"deliver"},
        "storage_key": CLIENTS | {"storage"},
        "grafana_password": {"grafana"},
    }
    for name in SERVICES:
        told = SERVICES[name].get("environment", {})
        secret = {key for key in told if re.search(r"SECRET|PASSWORD|REDIS_URL|TOKEN", key)}
        assert secret <= {"GF_SECURITY_ADMIN_PASSWORD__FILE"}, name
    for name in OWN:
        fields = {Path(file).name.removeprefix("longtake_") for file in secrets_of(name).values()}
        assert fields == {"redis_url", "s3_secret_access_key"}
        assert {str(Path(file).parent) for file in secrets_of(name).values()} == {str(Settings().secrets_dir)}
