"""A TCP proxy between a node and its broker that can be cut, stalled and slowed (steps 5 and 11)."""

from __future__ import annotations

import enum
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

_CHUNK_BYTES: Final = 65_536
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: the close is a reset, as when a host vanishes from a router's table."""


class Mode(enum.Enum):
    """What the proxy does with what comes."""

    PASS = "pass"
    REFUSE = "refuse"
    """Nobody listens, and what was connected is reset."""
    STALL_UP = "stall_up"
    """Bytes from the node are not taken any more; the other way they flow."""
    STALL_DOWN = "stall_down"
    STALL_BOTH = "stall_both"
    DELAY = "delay"
    """Every chunk waits in both directions."""


_STALLED: Final = {
    True: frozenset({Mode.STALL_UP, Mode.STALL_BOTH}),
    False: frozenset({Mode.STALL_DOWN, Mode.STALL_BOTH}),
}


class Proxy:
    """One link; `set_mode` changes its weather."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.port = 0
        self.delay_s = 0.1
        self._target = target
        self._mode = Mode.PASS
        self._changed = trio.Event()
        self._open: set[trio.SocketStream] = set()

    def set_mode(self, mode: Mode) -> None:
        """Change what happens from now on, to open connections too."""
        self._mode = mode
        self._changed.set()
        self._changed = trio.Event()
        if mode is Mode.REFUSE:
            self.cut()

    def cut(self) -> None:
        """Reset every connection; the next may come at once."""
        for stream in self._open:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            stream.socket.close()
        self._open.clear()

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Forward until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                [listener] = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
                async with listener:
                    if self.port == 0:
                        self.port = listener.socket.getsockname()[1]
                        task_status.started()
                    await self._accept(listener, nursery)
                while self._mode is Mode.REFUSE:
                    await self._changed.wait()

    async def _accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        """Return when it must refuse."""
        async with trio.open_nursery() as accepting:

            async def accept() -> None:
                while True:
                    nursery.start_soon(self._connection, await listener.accept())

            accepting.start_soon(accept)
            while self._mode is not Mode.REFUSE:
                await self._changed.wait()
            accepting.cancel_scope.cancel()

    async def _connection(self, near: trio.SocketStream) -> None:
        try:
            far = await trio.open_tcp_stream(*self._target)
        except OSError:
            await near.aclose()  # The broker is down: so is the link.
            return
        async with near, far:
            self._open |= {near, far}
            async with trio.open_nursery() as pair:
                pair.start_soon(self._forward, near, far, pair.cancel_scope, True)
                pair.start_soon(self._forward, far, near, pair.cancel_scope, False)
            self._open -= {near, far}

    async def _forward(
        self, source: trio.SocketStream, sink: trio.SocketStream, pair: trio.CancelScope, up: bool
    ) -> None:
        try:
            while data := await source.receive_some(_CHUNK_BYTES):
                while self._mode in _STALLED[up]:
                    await self._changed.wait()
                if self._mode is Mode.DELAY:
                    await trio.sleep(self.delay_s)
                await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # Either end is gone, or it was cut: the link ends, which is what links do.
        finally:
            pair.cancel()


@asynccontextmanager
async def open_proxies() -> AsyncIterator[Proxies]:
    """Serve as many links as are asked for; none outlives the block."""
    async with trio.open_nursery() as nursery:
        try:
            yield Proxies(nursery)
        finally:
            nursery.cancel_scope.cancel()


class Proxies:
    """The links of a fleet, by the program of their node."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.of: dict[str, Proxy] = {}
        self._nursery = nursery

    async def route(self, node: str, endpoint: str) -> str:
        """Put a proxy before a broker's endpoint; return the proxy's endpoint."""
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        self.of[node] = proxy = Proxy((host, int(port)))
        await self._nursery.start(proxy.serve)
        return f"tcp://127.0.0.1:{proxy.port}"

    def heal(self) -> None:
        """Every link passes everything."""
        for proxy in self.of.values():
            proxy.set_mode(Mode.PASS)
