"""Calls in progress on a device, which all end with one error when the device leaves (step 9)."""

from __future__ import annotations

from types import TracebackType

import trio

from doai.errors import StepError


class Calls:
    """The calls that are in progress on one device or transport."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[trio.CancelScope, StepError | None] = {}

    def call(self) -> Call:
        """Hold one call; raises the StepError with which `end` ended it. A cancelled caller stays cancelled."""
        return Call(self._open)

    def end(self, error: StepError) -> None:
        """End every call in progress with this error."""
        for scope in self._open:
            self._open[scope] = error
            scope.cancel()


class Call:
    """One call, for the time of a ``with``; `Calls` makes it. No generator: every command of a device is one."""

    __slots__ = ("_open", "_scope")

    def __init__(self, calls: dict[trio.CancelScope, StepError | None]) -> None:
        self._open = calls
        self._scope = trio.CancelScope()

    def __enter__(self) -> None:
        self._scope.__enter__()
        self._open[self._scope] = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        ended_by = self._open.pop(self._scope)
        caught = self._scope.__exit__(kind, error, trace)
        if self._scope.cancelled_caught:
            assert ended_by is not None
            raise ended_by
        return caught
