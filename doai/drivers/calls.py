"""Calls in progress on a device, which all end with one error when the device leaves (step 9)."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

import trio

from doai.errors import StepError


class Calls:
    """The calls that are in progress on one device or transport."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[Call | CutCall, None] = {}

    def call(self) -> Call:
        """Hold one call; raises the StepError with which `end` ended it. A cancelled caller stays cancelled."""
        return Call(self._open)

    def cut_call(self, cut: Callable[[], None]) -> CutCall:
        """Hold one call that ends soon after ``cut``, in whatever way; ``ended_by`` tells whether that was so."""
        return CutCall(self._open, cut)

    def end(self, error: StepError) -> None:
        """End every call in progress with this error."""
        for call in self._open:
            call.end(error)


class Call:
    """One call, for the time of a ``with``; `Calls` makes it. No generator: every command of a device is one."""

    __slots__ = ("_open", "_scope", "ended_by")

    def __init__(self, calls: dict[Call | CutCall, None]) -> None:
        self._open = calls
        self._scope = trio.CancelScope()
        self.ended_by: StepError | None = None

    def end(self, error: StepError) -> None:
        """Cancel it."""
        self.ended_by = error
        self._scope.cancel()

    def __enter__(self) -> Call:
        self._scope.__enter__()
        self._open[self] = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        del self._open[self]
        caught = self._scope.__exit__(kind, error, trace)
        if self._scope.cancelled_caught:
            assert self.ended_by is not None
            raise self.ended_by
        return caught


class CutCall:
    """The same without a cancel scope, which would cost what the rest of a command costs."""

    __slots__ = ("_cut", "_open", "ended_by")

    def __init__(self, calls: dict[Call | CutCall, None], cut: Callable[[], None]) -> None:
        self._open = calls
        self._cut = cut
        self.ended_by: StepError | None = None

    def end(self, error: StepError) -> None:
        """Cut what it waits for."""
        self.ended_by = error
        self._cut()

    def __enter__(self) -> CutCall:
        self._open[self] = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._open[self]
