"""Follows what the adb server lists, and brings network devices back (step 9)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import msgspec
import trio

from doai.backoff import Backoff
from doai.drivers.adb.client import AdbClient, AdbError, AdbRefusedError, listed
from doai.drivers.adb.config import CONNECT_LIMIT, AdbConfig
from doai.drivers.adb.probing import Prober
from doai.drivers.adb.registry import Registry, Transport
from doai.drivers.adb.server import ANSWER_TIMEOUT_S, AdbServer, Report

TRACK_AGAIN_S: Final = 0.1
"""Between two tries to follow a server that does not answer."""
PROVE_EVERY_S: Final = 10.0
"""How often the server is asked for its list, to prove that it answers and what it holds."""
HANGS_AFTER: Final = 3
"""Questions in a row without an answer before a server counts as hung and is killed."""
SCAN_EVERY_S: Final = 0.5
"""How often it is looked for network devices that are away."""
CONNECT_TIMEOUT_S: Final = 20.0
"""`host:connect` blocks 10 s on an address that accepts and says nothing."""

_BACKOFF: Final = Backoff(first_s=1.0, factor=2.0, longest_s=30.0)


class _Address(msgspec.Struct):
    """How the connecting of one configured address stands."""

    failures: int = 0
    due_s: float = 0.0
    busy: bool = False
    reported: bool = False


class Tracker:
    """Keeps the registry true: what is listed, what answers, what has to be connected again."""

    def __init__(
        self, config: AdbConfig, client: AdbClient, server: AdbServer, registry: Registry, report: Report
    ) -> None:
        self._config = config
        self._client = client
        self._server = server
        self._registry = registry
        self._report = report
        self._prober = Prober(config, client, registry)
        self._addresses = {address: _Address() for address in config.connect}
        self._random = random.Random()

    async def follow(
        self, nursery: trio.Nursery, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Follow the server's list for ever, over its restarts; started with the first list.

        Devices are watched by tasks in ``nursery``.
        """
        started: Callable[[], None] = task_status.started
        while True:
            try:
                async with self._client.tracking() as connection:
                    while True:
                        for transport in self._registry.update(await listed(connection)):
                            nursery.start_soon(self._prober.watch, transport)
                        started()
                        started = _nothing
            except AdbError as error:
                self._registry.lose_server(str(error))
            await trio.sleep(TRACK_AGAIN_S)

    async def prove(self) -> None:
        """Ask the server for its list now and then; one that hangs is killed and comes back."""
        silent = 0
        while True:
            await trio.sleep(PROVE_EVERY_S)
            with trio.move_on_after(ANSWER_TIMEOUT_S) as scope:
                try:
                    self._registry.prove_listed(await self._client.devices())
                except AdbError:
                    continue  # Tracking sees it go too, and the supervisor brings it back.
            silent = silent + 1 if scope.cancelled_caught else 0
            if silent >= HANGS_AFTER:
                silent = 0
                self._report("adb_server_hung", "the adb server of this node hangs: it is killed and started again")
                self._server.kill()

    async def keep_connected(self, nursery: trio.Nursery) -> None:
        """Connect the configured addresses, and again whenever they are away, a few at a time."""
        limit = trio.CapacityLimiter(CONNECT_LIMIT)
        while True:
            ways = {transport.address: transport for transport in self._registry.transports()}
            for name, address in self._addresses.items():
                if not address.busy and trio.current_time() >= address.due_s and self._away(ways.get(name)):
                    address.busy = True
                    nursery.start_soon(self._connect, name, address, name in ways, limit)
            await trio.sleep(SCAN_EVERY_S)

    def _away(self, transport: Transport | None) -> bool:
        if transport is None:
            return True
        # While it is listed the server tries by itself; only a connection that never spoke needs a new one.
        stuck_s = trio.current_time() - transport.state_since_s
        return transport.adb_state == "offline" and stuck_s > self._config.reconnect_after_offline_s

    async def _connect(self, name: str, address: _Address, listed_now: bool, limit: trio.CapacityLimiter) -> None:
        said = f"no answer within {CONNECT_TIMEOUT_S:g} s"
        async with limit:
            with trio.move_on_after(CONNECT_TIMEOUT_S):
                try:
                    if listed_now:
                        await self._disconnect(name)
                    said = await self._client.connect_device(name)
                except AdbError as error:
                    said = str(error)
        address.busy = False
        if said.startswith(("connected to", "already connected to")):
            address.failures, address.reported = 0, False
            # The list follows in a moment; without a pause it would be connected twice.
            address.due_s = trio.current_time() + _BACKOFF.first_s
            return
        address.failures += 1
        address.due_s = trio.current_time() + _BACKOFF.delay_s(address.failures, self._random.random())
        if not address.reported:
            address.reported = True
            self._report(
                "connect_failed",
                f"device address {name} can not be reached ({said}): check the device's network and port; "
                "it is tried again until it answers",
            )

    async def _disconnect(self, name: str) -> None:
        try:
            await self._client.disconnect_device(name)
        except AdbRefusedError:
            return  # The server gave it up meanwhile: that is what was wanted.


def _nothing() -> None:
    """Told at every list after the first."""
