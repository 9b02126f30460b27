"""Runs a driver for as long as the node lives: one that fails is named, its phones are away, it begins again.

A driver may be a plug-in's, and nobody's bug but its own may end a node with a hundred phones of others. What a
driver says before it has run for the first time is different: a wrong setting ends the program with its sentence.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import trio

from doai.backoff import Backoff
from doai.drivers.base import DeviceChange, Driver, DriverNotice, Proof
from doai.errors import DoaiError, StepError, leaves_of

AGAIN: Final = Backoff(first_s=1.0, longest_s=60.0)
FAILED: Final = "driver_failed"
"""Code of the notice."""
STEADY_S: Final = 300.0
"""A driver that ran for so long had recovered: its next failure is its first."""
_CHARACTERS_MAX: Final = 300
_log: Final = logging.getLogger(__name__)


class DriverListener(Protocol):
    """Whoever is told what a driver says."""

    def driver_runs(self, driver: Driver) -> None:
        """It runs, for the first time, or its first start failed."""
        ...

    def driver_said(self, driver: Driver, item: DeviceChange | Proof | DriverNotice) -> None:
        """It told of a device, or of itself."""
        ...

    def driver_failed(self, driver: Driver, notice: DriverNotice) -> None:
        """It is gone, and its devices with it, until it begins again."""
        ...


class DriverWatch:
    """One driver, again and again."""

    def __init__(self, driver: Driver, listener: DriverListener, random01: Callable[[], float]) -> None:
        self._driver = driver
        self._listener = listener
        self._random01 = random01
        self._has_run = False
        self._told = False
        self._listeners_fault = False

    async def run(self) -> None:
        """Never returns; raises what is not the driver's: StoreError and the like, what the listener raises, and
        StepError at its start.
        """
        failures = 0
        while True:
            began_s = trio.current_time()
            try:
                await self._follow()
                why = "it ended by itself"
            except Exception as error:
                leaves = leaves_of(error) if isinstance(error, ExceptionGroup) else [error]
                own = [leaf for leaf in leaves if not isinstance(leaf, DoaiError) or _is_step(leaf)]
                at_start = not self._has_run and all(map(_is_step, own))
                if self._listeners_fault or len(own) < len(leaves) or at_start:
                    raise
                _log.error("the driver %s failed", self._driver.name, exc_info=error)
                why = f"{type(own[0]).__name__}: {own[0]}"[:_CHARACTERS_MAX]
            failures = 1 if trio.current_time() - began_s >= STEADY_S else failures + 1
            delay_s = AGAIN.delay_s(failures, self._random01())
            self._begun()
            self._listener.driver_failed(
                self._driver,
                DriverNotice(
                    code=FAILED,
                    message=f"the driver {self._driver.name} failed ({why}) and begins again in {delay_s:.0f} s: "
                    "its phones are away until then; the node's log has where it failed",
                ),
            )
            await trio.sleep(delay_s)

    async def _follow(self) -> None:
        async with self._driver.run():
            self._has_run = True
            self._begun()
            async for item in self._driver.changes():
                with self._telling():
                    self._listener.driver_said(self._driver, item)

    def _begun(self) -> None:
        if not self._told:
            self._told = True
            with self._telling():
                self._listener.driver_runs(self._driver)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """What the listener raises is no bug of the driver, though it comes out of the same nursery."""
        try:
            yield
        except Exception:
            self._listeners_fault = True
            raise


def _is_step(error: BaseException) -> bool:
    return isinstance(error, StepError)
