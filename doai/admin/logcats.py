"""Logs of phones that somebody looks at now: the newest lines of each, in memory only (step 14)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from doai.admin.looking import Looking, TooManyLook
from doai.admin.views import View
from doai.key_enum import KeyEnum

LINES_MAX: Final = 2000
"""Kept of one phone: a viewer that was away for some seconds misses none of a usual log."""
CHARACTERS_MAX: Final = 512 * 1024
"""Of them; 32 phones that write as much as they may stay below 64 MB here."""
PIECE_BYTES_MAX: Final = 512 * 1024
"""Of what a node brings at once: 64 K characters, each of which JSON may write with six bytes."""
PAGE_LINES_MAX: Final = 1000
"""Of one answer."""
STREAMS_MAX: Final = 32
"""That are open at once; each is a connection that stays."""


class LineKind(KeyEnum):
    """What an entry of a log is."""

    LINE = "line"
    """As the phone wrote it."""
    MISSING = "missing"
    """In place of lines that came faster than they are brought; the entry says how many."""
    PROBLEM = "problem"
    """Why the log is not followed; it is tried again."""


class LogcatLine(View, frozen=True, kw_only=True):
    """One entry of a phone's log."""

    n: int
    """Grows with every line, also with those that are missing, and over a restart of the program."""
    kind: LineKind
    text: str
    """The line, by the phone's own clock and zone; or the sentence why there is none; empty for missing ones."""
    missing: int = 0
    """How many lines are missing here."""


class LogcatPiece(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a node brings at once: how many lines are missing, and those that follow."""

    missing: int = 0
    lines: list[str] = []


class Tail(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of a log, oldest first."""

    begun: int
    """Number before its first line; another one than before: it is followed anew, and may repeat lines."""
    after: int
    """Number of the last line here; ask for what follows it."""
    lines: list[LogcatLine]


class _Log:
    """One phone whose log is looked at."""

    def __init__(self, begun: int) -> None:
        self.begun = begun
        self.last = begun
        self.gone = begun
        """Number of the last entry that is not kept any more."""
        self._lines: deque[LogcatLine] = deque()
        self._characters = 0

    def add(self, kind: LineKind, text: str = "", missing: int = 0) -> None:
        self.last += missing or 1
        self._lines.append(LogcatLine(n=self.last, kind=kind, text=text, missing=missing))
        self._characters += len(text)
        while len(self._lines) > LINES_MAX or self._characters > CHARACTERS_MAX:
            first = self._lines.popleft()
            self._characters -= len(first.text)
            self.gone = first.n

    def says(self, problem: str) -> bool:
        """Return whether this is what it says already."""
        return bool(self._lines) and self._lines[-1].kind is LineKind.PROBLEM and self._lines[-1].text == problem

    def has(self, after: int) -> bool:
        """Return whether there is something behind a number; of another life of it, whether there is anything."""
        return self.last > after if self.begun <= after <= self.last else bool(self._lines)

    def tail(self, after: int, limit: int) -> Tail:
        if not self.begun <= after <= self.last:  # of another life of it: the newest
            lines = list(self._lines)[-limit:]
        else:
            lines = [line for line in self._lines if line.n > after]
            if after < self.gone:
                gap = LogcatLine(n=self.gone, kind=LineKind.MISSING, text="", missing=self.gone - after)
                lines.insert(0, gap)
            lines = lines[:limit]
        return Tail(begun=self.begun, after=lines[-1].n if lines else self.last, lines=lines)


class Logcats:
    """All that are looked at; lives in one asyncio loop."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.looking = Looking("logs", self._begin, monotonic)
        self._begun = 0
        self._streams = 0

    async def newer(self, serial: str, after: int, *, limit: int, wait_s: float) -> Tail | None:
        """Return lines behind ``after``, waiting for one; None = nobody looks at it any more.

        What is behind no number of this log is its newest ``limit`` lines.
        """

        def has_some() -> bool:
            log = self.looking.content(serial)
            return log is None or log.has(after)

        await self.looking.until(has_some, wait_s)
        log = self.looking.content(serial)
        return log.tail(after, limit) if log is not None else None

    async def put(self, node_id: str, serial: str, piece: LogcatPiece) -> bool:
        """Take what a node brings; returns whether more is wanted."""
        log = self.looking.asked(node_id, serial)
        if log is None:
            return False
        if piece.missing > 0:
            log.add(LineKind.MISSING, missing=min(piece.missing, 1_000_000))
        for line in piece.lines:
            log.add(LineKind.LINE, line)
        if piece.lines or piece.missing:
            await self.looking.tell()
        return True

    async def failed(self, node_id: str, serial: str, reason: str) -> bool:
        """The log can not be followed, and why; returns whether it is tried again."""
        log = self.looking.asked(node_id, serial)
        if log is None:
            return False
        if not log.says(reason):
            log.add(LineKind.PROBLEM, reason)
            await self.looking.tell()
        return True

    def check_room(self) -> None:
        """Raise TooManyLook when no stream may begin."""
        if self._streams >= STREAMS_MAX:
            raise TooManyLook(f"{STREAMS_MAX} logs of phones are followed already: close one")

    def _begin(self) -> _Log:
        # By the clock, so that numbers grow over restarts; and no log has those of one before it.
        self._begun = max(time.time_ns() // 1000, self._begun + 1_000_000)
        return _Log(self._begun)

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Count one of the streams for the time of a ``with``."""
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1
