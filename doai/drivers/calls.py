"""Calls in progress on a device, which all end with one error when the device leaves (step 9)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from doai.errors import StepError


class Calls:
    """The calls that are in progress on one device or transport."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[trio.CancelScope, StepError | None] = {}

    @contextmanager
    def call(self) -> Iterator[None]:
        """Hold one call; raises the StepError with which `end` ended it. A cancelled caller stays cancelled."""
        with trio.CancelScope() as scope:
            self._open[scope] = None
            try:
                yield
            finally:
                error = self._open.pop(scope)
        if scope.cancelled_caught:
            assert error is not None
            raise error

    def end(self, error: StepError) -> None:
        """End every call in progress with this error."""
        for scope in self._open:
            self._open[scope] = error
            scope.cancel()
