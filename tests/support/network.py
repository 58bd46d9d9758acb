"""Several machines on this one: network namespaces on a wire of their own, each with an address. Needs root and `ip`.

Nothing of this machine's own network is touched, and nothing is left: a namespace is gone with its last process. What
is started while a thread is `in_` a host has that host's network, and no other.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from longtake.supervisor import die_with_parent

WIRE, CLONE_NEWNET = "wire", 0x40000000


class Host:
    """A namespace, kept by a process that sleeps in it."""

    def __init__(self, name: str, address: str = ""):
        self.name, self.address = name, address
        command = ["unshare", "--net", "sh", "-c", "echo up; exec sleep infinity"]
        self._keeper = subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=die_with_parent)
        assert self._keeper.stdout is not None and self._keeper.stdout.readline(), "no network namespaces here"
        self.pid = self._keeper.pid

    @contextmanager
    def in_(self) -> Iterator[None]:
        """This thread, with what it starts, is in the host."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
        try:
            _enter(there)
            yield
        finally:
            _enter(own)
            os.close(own)
            os.close(there)

    def ip(self, words: str) -> None:
        with self.in_():
            subprocess.run(["ip", *words.split()], check=True, capture_output=True)

    def end(self) -> None:
        self._keeper.kill()
        self._keeper.wait()
        if self._keeper.stdout:
            self._keeper.stdout.close()


class Network:
    """Hosts that reach each other, until one is cut off."""

    def __init__(self, *names: str):
        self._switch = Host("switch")
        self._switch.ip(f"link add name {WIRE} type bridge")
        self._switch.ip(f"link set {WIRE} up")
        self.hosts = {name: Host(name, f"10.77.0.{number}") for number, name in enumerate(names, 1)}
        for host in self.hosts.values():
            self._switch.ip(f"link add name {host.name} type veth peer name eth0 netns {host.pid}")
            self._switch.ip(f"link set {host.name} master {WIRE} up")
            host.ip(f"address add {host.address}/24 dev eth0")
            host.ip("link set eth0 up")
            host.ip("link set lo up")

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def cut_off(self, name: str) -> None:
        """As if its cable were pulled: nothing comes back, not even a refusal."""
        self._switch.ip(f"link set {name} down")

    def join(self, name: str) -> None:
        self._switch.ip(f"link set {name} up")

    def close(self) -> None:
        for host in (*self.hosts.values(), self._switch):
            host.end()


def lacks() -> str:
    """Why there can be no network of hosts here; '' where there can."""
    if os.geteuid() or not shutil.which("ip"):
        return "a network of hosts needs root and iproute2"
    with suppress(AssertionError, subprocess.CalledProcessError):
        Network("probe").close()
        return ""
    return "this machine's kernel gives no network namespaces"


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
