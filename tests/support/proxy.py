"""A TCP proxy that does to a connection what networks do: refuses it, resets it, swallows it, delays it, cuts it off.

Stands between a process and a server on this machine. A fault holds for new connections and for those that are open,
until another is set. Knows nothing of what is said through it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close by RST


class Fault(StrEnum):
    NONE = "none"
    REFUSE = "refuse"  # nobody listens
    RESET = "reset"  # a connection is taken, and reset
    BLACKHOLE = "blackhole"  # it is taken, and nothing ever comes through or back
    DELAY = "delay"  # every piece comes so much later
    CUT = "cut"  # it is reset after so many bytes of answers, over all connections


@dataclass(eq=False)
class _Connection:
    near: asyncio.StreamWriter
    far: asyncio.StreamWriter | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Proxy:
    """`port` is what clients are given. Its loop runs in a thread of its own; `fault` may be called from any."""

    def __init__(self, upstream: int, port: int = 0):
        self.upstream, self.port = upstream, port
        self.accepted = 0  # connections, over all
        self._fault, self._delay_s, self._left = Fault.NONE, 0.0, 0
        self._flows = asyncio.Event()  # clear while nothing may come through
        self._open: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Proxy:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> Proxy:
        self._thread.start()
        self._call(self._listen())
        self._flows.set()
        return self

    def stop(self) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def fault(self, fault: Fault, *, delay_s: float = 0.0, after_bytes: int = 0) -> None:
        """What happens from now on. Whoever is connected when it becomes REFUSE or RESET is reset."""
        self._call(self._become(fault, delay_s, after_bytes))

    def heal(self) -> None:
        self.fault(Fault.NONE)

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._open)

    def _call(self, made: object) -> None:
        asyncio.run_coroutine_threadsafe(made, self._loop).result(10)  # type: ignore[arg-type]

    async def _become(self, fault: Fault, delay_s: float, after_bytes: int) -> None:
        swallowed = self._fault is Fault.BLACKHOLE
        self._fault, self._delay_s, self._left = fault, delay_s, after_bytes
        if fault is Fault.BLACKHOLE:
            self._flows.clear()
        else:
            self._flows.set()
        if fault in (Fault.REFUSE, Fault.RESET) or swallowed:  # what a black hole has swallowed never comes back
            for connection in list(self._open):
                self._reset(connection)
        if fault is Fault.REFUSE:
            await self._deafen()
        elif self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _deafen(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _close(self) -> None:
        await self._deafen()
        for connection in list(self._open):
            self._reset(connection)
            await asyncio.gather(*connection.tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        self.accepted += 1
        connection = _Connection(near)
        self._open.add(connection)
        if self._fault is Fault.RESET:
            self._reset(connection)
            return
        await self._flows.wait()
        try:
            answers, connection.far = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            self._reset(connection)
            return
        connection.tasks = [
            asyncio.create_task(self._pump(reader, connection.far, connection, counted=False)),
            asyncio.create_task(self._pump(answers, near, connection, counted=True)),
        ]

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection, *, counted: bool
    ) -> None:
        """One way, until it ends; the other way ends with it."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while piece := await reader.read(65536):
                if self._fault is Fault.DELAY:
                    await asyncio.sleep(self._delay_s)
                await self._flows.wait()
                if self._fault is Fault.CUT and counted:
                    piece, self._left = piece[: self._left], max(0, self._left - len(piece))
                writer.write(piece)
                await writer.drain()
                if self._fault is Fault.CUT and counted and not self._left:
                    self._reset(connection)
                    return
        self._shut(connection)

    def _reset(self, connection: _Connection) -> None:
        """Both sides get an RST, as from a machine that has forgotten them."""
        for writer in filter(None, (connection.near, connection.far)):
            end = writer.get_extra_info("socket")
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        self._forget(connection)

    def _shut(self, connection: _Connection) -> None:
        for writer in filter(None, (connection.near, connection.far)):
            writer.close()
        self._forget(connection)

    def _forget(self, connection: _Connection) -> None:
        self._open.discard(connection)
        for task in connection.tasks:
            if task is not asyncio.current_task():
                task.cancel()
