"""Asks devices who they are, and for a sign of life when they gave none for a while (step 9).

A silent phone stays `device` in adb: only an answer of its own proves that it works. A command that just answered
is such a proof, so a busy device is never asked.
"""

from __future__ import annotations

import random
from typing import Final

import trio

from doai.drivers.adb.client import AdbClient, AdbError, AdbUnreachableError
from doai.drivers.adb.config import PROBE_LIMIT, AdbConfig
from doai.drivers.adb.listing import IDENTITY_COMMAND, parse_identity
from doai.drivers.adb.registry import Registry, Transport
from doai.drivers.adb.shell import run_shell

SPREAD: Final = 0.2
"""Share by which the time between probes varies, so that a fleet does not answer in step."""
PAUSE_AFTER_REFUSAL_S: Final = 0.5
"""A phone that refuses at once is asked again after this, not at once."""


class Prober:
    """Watches transports, a task each, with few probes in flight at once."""

    def __init__(self, config: AdbConfig, client: AdbClient, registry: Registry) -> None:
        self._config = config
        self._client = client
        self._registry = registry
        self._limit = trio.CapacityLimiter(PROBE_LIMIT)
        self._random = random.Random()

    async def watch(self, transport: Transport) -> None:
        """Identify the device, then ask for signs of life until the transport's `watch` scope ends."""
        with transport.watch:
            while True:
                wait_s = self._wait_s(transport)
                if wait_s > 0:
                    await trio.sleep(wait_s)
                    continue  # A command may have proven it meanwhile.
                async with self._limit:
                    why = await self._probe(transport)
                if why:
                    self._registry.missed(transport, why, self._config.probe_misses)
                    # One that is known to be silent is asked as rarely as any other.
                    silent = bool(transport.silent_because)
                    await trio.sleep(self._config.probe_every_s if silent else PAUSE_AFTER_REFUSAL_S)

    def _wait_s(self, transport: Transport) -> float:
        """Seconds until the next probe is due; one that was missed, or never answered, is due now."""
        if transport.info is None or transport.misses:
            return 0.0
        spread = 1.0 + SPREAD * (2 * self._random.random() - 1)
        return transport.last_answer_s + self._config.probe_every_s * spread - trio.current_time()

    async def _probe(self, transport: Transport) -> str:
        """Ask once; returns why it counts as missed, empty when it does not."""
        began_s = trio.current_time()
        timeout_s = self._config.probe_timeout_s
        asked = "true" if transport.info is not None else IDENTITY_COMMAND
        with trio.move_on_after(timeout_s):
            try:
                output = await run_shell(self._client, transport.id, asked)
            except AdbUnreachableError:
                # No fault of the device; the transport goes with its server.
                await trio.sleep(PAUSE_AFTER_REFUSAL_S)
                return ""
            except AdbError as error:
                return str(error)
            if transport.info is not None:
                self._registry.answered(transport)
                return ""
            info = parse_identity(output.text, transport.address)
            if info is None:
                return "it does not tell its serial yet"
            self._registry.identified(transport, info)
            return ""
        answered_another = transport.last_answer_s >= began_s
        return "" if answered_another else f"no sign of life within {timeout_s:g} s"
