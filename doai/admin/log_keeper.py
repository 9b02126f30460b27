"""Keeps what every process logs for some days: what the broker passes on, and the admin's own (step 14).

Nothing waits for it. Lines that did not arrive are told as a line of their own, so that a gap is no silence.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from doai.codec import BodyDecoder
from doai.errors import STORE_LOCKED, DecodeError, StoreError, StoreUnavailable
from doai.messages.logs import LogLines, RelayedLines
from doai.store.line_store import Line, LineFilter, LinePage, LineStore
from doai.wire.log_tap import TELL_EVERY_S, LogTap

WAITING_MAX: Final = 20_000
"""Lines that wait for the disk; more are dropped, and told."""
LIVES_MAX: Final = 10_000
DROP_EVERY_S: Final = 60.0
OPEN_AGAIN_S: Final = 30.0
_DAY_MS: Final = 86_400_000
_lines: Final = BodyDecoder(LogLines)
_log: Final = logging.getLogger(__name__)
_T = TypeVar("_T")


class LogUnavailable(StoreUnavailable):
    """The file of log lines can not be used now."""


class LogKeeper:
    """Takes lines in, writes them twice a second, answers questions, and removes what is old."""

    def __init__(self, path: Path, tap: LogTap, source: str, *, days: float, lines_max: int) -> None:
        """``source`` is the admin's own address; its lines come from ``tap``. ``days`` = 0 keeps nothing."""
        self._path = path
        self._tap = tap
        self._source = source
        self.days = days
        self._lines_max = lines_max
        self._waiting: deque[Line] = deque()
        self._dropped = 0
        self._next_n: dict[tuple[str, str], int] = {}
        self._store: LineStore | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="log-lines")
        self._why_not = "the admin has just begun"

    @property
    def keeps(self) -> bool:
        """Whether lines are wanted at all."""
        return self.days > 0

    def relayed(self, relayed: RelayedLines) -> None:
        """The broker passed on what a process logged."""
        try:
            lines: LogLines = _lines(relayed.lines)
        except DecodeError as error:
            _log.warning("log lines of %s can not be read: %s", relayed.source, error)
            return
        self._take(relayed.source, lines)

    async def page(self, wanted: LineFilter, *, before: int | None, after: int | None, limit: int) -> LinePage:
        """Answer a question; raises LogUnavailable."""
        store = self._store
        if store is None:
            raise LogUnavailable(f"there are no log lines now: {self._why_not}", code="no_log")
        try:
            return await self._in_thread(lambda: store.page(wanted, before=before, after=after, limit=limit))
        except StoreError as error:
            raise LogUnavailable(f"the log lines can not be read: {error}", code="no_log") from error

    async def run(self) -> None:
        """Write what comes until cancelled, then what is left."""
        if not self.keeps:
            self._why_not = "keep_log_days is 0"
            await asyncio.Event().wait()
        try:
            while True:
                try:
                    await self._keep()
                except (StoreError, StoreUnavailable) as error:
                    if str(error) != self._why_not:
                        # Two admins may serve one store: then the other keeps the lines.
                        level = logging.WARNING if error.code == STORE_LOCKED else logging.ERROR
                        _log.log(level, "log lines are not kept here for now: %s", error)
                    self._why_not = str(error)
                self._store = None
                await asyncio.sleep(OPEN_AGAIN_S)
        finally:
            self._thread.shutdown(wait=True)

    async def _keep(self) -> None:
        store = await self._in_thread(lambda: LineStore(self._path))
        self._store = store
        try:
            drop_at_s = time.monotonic()
            while True:
                await self._write(store)
                if time.monotonic() >= drop_at_s:
                    more = await self._in_thread(lambda: self._drop(store))
                    drop_at_s = time.monotonic() + (0.0 if more else DROP_EVERY_S)
                await asyncio.sleep(TELL_EVERY_S)
        except asyncio.CancelledError:
            self._take_own()
            self._thread.submit(lambda: store.append(list(self._waiting)))
            raise
        finally:
            self._thread.submit(store.close)

    async def _write(self, store: LineStore) -> None:
        self._take_own()
        if self._waiting:
            lines, self._waiting = list(self._waiting), deque()
            try:
                await self._in_thread(lambda: store.append(lines))
            except StoreError:
                self._dropped += len(lines)  # told before the next line that can be kept
                raise

    def _take_own(self) -> None:
        while (lines := self._tap.take()) is not None:
            self._take(self._source, lines)

    def _take(self, source: str, lines: LogLines) -> None:
        now_ms = time.time_ns() // 1_000_000
        missing = lines.first_n - self._next_n.get((source, lines.life), lines.first_n)
        if missing > 0:
            self._add(_gap(source, lines.program, missing, now_ms))
        self._next_n.pop((source, lines.life), None)  # the newest last, so that the first is the oldest
        self._next_n[(source, lines.life)] = lines.first_n + len(lines.lines)
        if len(self._next_n) > LIVES_MAX:
            del self._next_n[next(iter(self._next_n))]
        for line in lines.lines:
            self._add(
                Line(
                    received_at_ms=now_ms,
                    at_ms=line.at_ms,
                    level=line.level,
                    program=lines.program,
                    source=source,
                    logger=line.logger,
                    message=line.message,
                    fields=line.fields,
                    exception=line.exception,
                )
            )

    def _add(self, line: Line) -> None:
        if len(self._waiting) >= WAITING_MAX:
            self._waiting.popleft()
            self._dropped += 1
        elif self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._waiting.append(_gap(self._source, "admin", dropped, line.received_at_ms))
        self._waiting.append(line)

    def _drop(self, store: LineStore) -> bool:
        before_ms = time.time_ns() // 1_000_000 - int(self.days * _DAY_MS)
        return store.drop(before_ms=before_ms, lines_max=self._lines_max) > 0

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _gap(source: str, program: str, missing: int, now_ms: int) -> Line:
    return Line(
        received_at_ms=now_ms,
        at_ms=now_ms,
        level=logging.WARNING,
        program=program,
        source=source,
        logger=__name__,
        message=f"{missing} lines are missing here: the log of the process itself has them",
    )
