"""Asks devices over adb who they are, and for signs of life (step 9)."""

from __future__ import annotations

import random

import trio

from doai.drivers.adb.client import AdbClient, AdbError, AdbUnreachableError
from doai.drivers.adb.config import PROBE_LIMIT, AdbConfig
from doai.drivers.adb.listing import IDENTITY_COMMAND, parse_identity
from doai.drivers.adb.registry import Registry, Transport
from doai.drivers.adb.shell import run_shell
from doai.drivers.watching import PAUSE_AFTER_REFUSAL_S, watch_over


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
        missed, random01 = self._registry.missed, self._random.random
        await watch_over(transport, self._probe, missed, self._config, self._limit, random01)

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
