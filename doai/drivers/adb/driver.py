"""The adb driver: server, tracking and devices put together (step 9)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import trio

from doai.drivers.adb.client import AdbClient
from doai.drivers.adb.config import AdbConfig
from doai.drivers.adb.device import AdbDevice
from doai.drivers.adb.registry import Registry
from doai.drivers.adb.server import AdbServer
from doai.drivers.adb.tracking import Tracker
from doai.drivers.base import DeviceChange, DriverNotice, Proof
from doai.drivers.feed import Feed


class AdbStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A moment of the driver's life."""

    open_sockets: int
    """To the adb server; one of them tracks."""
    transports: int
    server_pid: int | None
    """None while none of ours runs."""
    server_starts: int


class AdbDriver:
    """All devices of one adb server; keeps the promises of doai.drivers.base.Driver.

    Raises ConfigError when a server has to be started and there is no adb program.
    """

    name = "adb"

    def __init__(self, config: AdbConfig | None = None) -> None:
        self.config = config or AdbConfig()
        self._feed = Feed()
        self._client = AdbClient(self.config.server_port)
        self._registry = Registry(self._feed, self.config.server_port, trio.current_time)
        self._server = AdbServer(self.config, self._client, self._report)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Run server and tracking; the server answers and has listed its devices once when this is entered.

        Raises StepError (infrastructure, adb_server_down) when there is no server and none can be started.
        """
        tracker = Tracker(self.config, self._client, self._server, self._registry, self._report)
        # Two nurseries: the server is the last to go, so that nothing in it sees it vanish.
        async with trio.open_nursery() as outer:
            await outer.start(self._server.supervise)
            try:
                async with trio.open_nursery() as nursery:
                    await nursery.start(tracker.follow, nursery)
                    nursery.start_soon(tracker.prove)
                    nursery.start_soon(tracker.keep_connected, nursery)
                    yield
                    nursery.cancel_scope.cancel()
            finally:
                self._registry.lose_server("the driver was stopped")  # nobody watches its devices
            outer.cancel_scope.cancel()

    def changes(self) -> AsyncIterator[DeviceChange | Proof | DriverNotice]:
        """Return what happens to devices from now on, beginning with those that are there."""
        return self._feed.read()

    def device(self, serial: str, *, tag: str = "") -> AdbDevice:
        """Return the device; raises StepError that says why it can not be used now."""
        device = AdbDevice(serial, tag, self._client, self._registry)
        self._registry.find(serial)
        return device

    def statistics(self) -> AdbStatistics:
        """Return figures for tests and status pages."""
        return AdbStatistics(
            open_sockets=self._client.open_sockets,
            transports=len(self._registry.transports()),
            server_pid=self._server.pid,
            server_starts=self._server.starts,
        )

    def _report(self, code: str, message: str) -> None:
        self._feed.publish(DriverNotice(code=code, message=message))
