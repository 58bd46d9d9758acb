"""A real S3-compatible server on this machine: OpenStack Swift with its s3api, four processes of its own.

It lives in a virtual environment of its own (`make s3-server` makes .cache/s3-server), because its
dependencies are none of ours. Objects survive `kill`. Knows nothing of Longtake's keys.
"""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.servers import free_port

BIN = Path(__file__).parents[2] / ".cache" / "s3-server" / "bin"
ACCESS_KEY, SECRET_KEY, REGION = "test:tester", "testing", "us-east-1"

# The proxy's filters in their order; a filter's options follow its name.
FILTERS: dict[str, dict[str, str]] = {
    "catch_errors": {},
    "gatekeeper": {},
    "cache": {
        "use": "egg:swift#memcache",
        "memcache_servers": "127.0.0.1:1",
    },  # there is none; it does without
    "listing_formats": {},
    "bulk": {},
    "s3api": {"location": REGION},
    "tempauth": {"user_test_tester": f"{SECRET_KEY} .admin"},
    "copy": {},
    "container_quotas": {},
    "slo": {},
    "dlo": {},
    "versioned_writes": {"allow_object_versioning": "true"},
    "symlink": {},
}


BUCKET = "videos"
SET_QUOTA = """
import sys, time
from swift.common.direct_client import direct_post_container
from swift.common.ring import Ring
from swift.common.utils import set_swift_dir
folder, bucket, quota = sys.argv[1:]
set_swift_dir(folder)
part, nodes = Ring(folder, ring_name="container").get_nodes("AUTH_test", bucket)
told = {"X-Timestamp": f"{time.time():.5f}", "X-Container-Meta-Quota-Bytes": quota}
direct_post_container(nodes[0], part, "AUTH_test", bucket, headers=told)
"""


def settings(endpoint: str) -> dict[str, Any]:
    """The service's settings to store in that server's bucket."""
    return {
        "storage_url": f"s3://{BUCKET}/longtake",
        "s3_endpoint_url": endpoint,
        "s3_region": REGION,
        "s3_access_key_id": ACCESS_KEY,
        "s3_secret_access_key": SECRET_KEY,
    }


def is_installed() -> bool:
    return (BIN / "swift-proxy-server").exists()


class S3Server:
    """Swift's account, container, object and proxy servers; `endpoint` is what an S3 client is given, who may be on
    another host where the proxy listens on more than loopback (`bind`)."""

    def __init__(self, folder: Path, bind: str = "127.0.0.1"):
        self.folder, self.bind = folder, bind
        self.ports = {name: free_port() for name in ("account", "container", "object", "proxy")}
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports['proxy']}"

    def start(self) -> S3Server:
        if not (self.folder / "proxy-server.conf").exists():
            self._configure()
        for name in self.ports:
            with (self.folder / f"{name}.log").open("ab") as log:
                command = [str(BIN / f"swift-{name}-server"), str(self.folder / f"{name}-server.conf")]
                self.processes.append(
                    subprocess.Popen(command, env=self._env, stdout=log, stderr=log, start_new_session=True)
                )
        self._await_ready()
        return self

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End all four with their children, by process group."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, number)
            process.wait(timeout=20)
        self.processes.clear()

    def client(self) -> Any:
        once = Config(retries={"total_max_attempts": 1}, connect_timeout=2, s3={"addressing_style": "path"})
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=once,
        )

    def limit(self, quota_bytes: int | None) -> None:
        """The bucket takes so many bytes in all; None takes the limit away. No S3 call does this."""
        quota = "" if quota_bytes is None else str(quota_bytes)
        subprocess.run(
            [str(BIN / "python"), "-c", SET_QUOTA, str(self.folder), BUCKET, quota], env=self._env, check=True
        )

    @property
    def _env(self) -> dict[str, str]:
        return {
            **os.environ,
            "SWIFT_CONF": str(self.folder / "swift.conf"),
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }

    def _configure(self) -> None:
        (self.folder / "srv" / "d1").mkdir(parents=True)
        hashes = {"swift_hash_path_suffix": "a1", "swift_hash_path_prefix": "b2"}
        policy = {"name": "p0", "default": "yes"}
        self._write("swift.conf", {"swift-hash": hashes, "storage-policy:0": policy})
        for name in ("account", "container", "object"):
            self._write(f"{name}-server.conf", self._storage(name))
            self._make_ring(name)
        self._write("proxy-server.conf", self._proxy())

    def _storage(self, name: str) -> dict[str, dict[str, str]]:
        own = {"devices": str(self.folder / "srv"), "mount_check": "false"}
        app = {"use": f"egg:swift#{name}", "recon_cache_path": str(self.folder)}
        return {
            "DEFAULT": self._process(name) | own,
            "pipeline:main": {"pipeline": f"{name}-server"},
            f"app:{name}-server": app,
        }

    def _proxy(self) -> dict[str, dict[str, str]]:
        app = {"use": "egg:swift#proxy", "account_autocreate": "true", "allow_account_management": "true"}
        app["error_suppression_interval"] = "1"  # else a server that starts slowly is left out for a minute
        filters = {f"filter:{name}": {"use": f"egg:swift#{name}"} | more for name, more in FILTERS.items()}
        return {
            "DEFAULT": self._process("proxy"),
            "pipeline:main": {"pipeline": " ".join([*FILTERS, "proxy-server"])},
            "app:proxy-server": app,
            **filters,
        }

    def _process(self, name: str) -> dict[str, str]:
        """workers=0: one process a server, which ends when it is killed."""
        bind = self.bind if name == "proxy" else "127.0.0.1"
        place = {"bind_ip": bind, "bind_port": str(self.ports[name]), "swift_dir": str(self.folder)}
        return place | {"user": getpass.getuser(), "workers": "0", "log_level": "WARNING"}

    def _make_ring(self, name: str) -> None:
        ring = [str(BIN / "swift-ring-builder"), str(self.folder / f"{name}.builder")]
        where = f"--region 1 --zone 1 --ip 127.0.0.1 --port {self.ports[name]} --device d1 --weight 1"
        for step in ("create 4 1 1", f"add {where}", "rebalance"):
            # A ring of one device cannot be balanced, which the last step answers with 1.
            subprocess.run([*ring, *step.split()], env=self._env, check=step != "rebalance", capture_output=True)

    def _write(self, name: str, sections: dict[str, dict[str, str]]) -> None:
        lines = []
        for section, options in sections.items():
            lines += [f"[{section}]", *(f"{option} = {value}" for option, value in options.items()), ""]
        (self.folder / name).write_text("\n".join(lines))

    def _await_ready(self, seconds: float = 40.0) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.client().list_buckets()
                return
            except (BotoCoreError, ClientError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
