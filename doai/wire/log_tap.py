"""A copy of a process's log lines, held until they can be told to the admin (all steps).

Bounded: while nobody takes them the oldest go. Lines are numbered, so whoever takes them sees what is missing.
A line is made where it is logged: one that can not be made ends nothing, and what it is about is not kept alive.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from doai.log import as_text, extras
from doai.messages.logs import LINES_MAX, MESSAGE_CHARS_MAX, LoggedLine, LogLines

HELD_MAX: Final = 2_000
TAKEN_BYTES_MAX: Final = 32 * 1024
"""At once, but for the last line: an eighth of what a frame may have (`doai.limits.FRAME_BYTES_MAX`)."""
TELL_EVERY_S: Final = 0.5
_FIELD_CHARS_MAX: Final = 500
_FIELDS_MAX: Final = 16
_LEVEL_MAX: Final = 100
"""As in `LoggedLine`; logging itself allows any number."""


class LogTap(logging.Handler):
    """Hears every line that the program logs."""

    def __init__(self, program: str, life: str) -> None:
        super().__init__()
        self._program = program
        self._life = life
        self._held: deque[LoggedLine] = deque()
        self._first_n = 1

    def emit(self, record: logging.LogRecord) -> None:
        """Hold a line; called with the handler's lock held. One that can not be made is told on stderr."""
        try:
            line = _line(record)
        except Exception:  # whatever an argument's own __str__ raises: who logs does not end by it
            self.handleError(record)
            return
        if len(self._held) >= HELD_MAX:
            self._held.popleft()
            self._first_n += 1
        self._held.append(line)

    def take(self) -> LogLines | None:
        """Return the oldest lines that fit into a frame, and let go of them; None = there are none."""
        with _locked(self):
            taken: list[LoggedLine] = []
            size_bytes = 0
            while self._held and len(taken) < LINES_MAX and size_bytes < TAKEN_BYTES_MAX:
                line = self._held.popleft()
                size_bytes += _size_bytes(line)
                taken.append(line)
            if not taken:
                return None
            lines = LogLines(program=self._program, life=self._life, first_n=self._first_n, lines=taken)
            self._first_n += len(taken)
        return lines


@contextmanager
def tapped(program: str, life: str) -> Iterator[LogTap]:
    """Hear what is logged until the end of the block."""
    tap = LogTap(program, life)
    root = logging.getLogger()
    root.addHandler(tap)
    try:
        yield tap
    finally:
        root.removeHandler(tap)
        tap.close()


@contextmanager
def _locked(handler: logging.Handler) -> Iterator[None]:
    handler.acquire()
    try:
        yield
    finally:
        handler.release()


def _line(record: logging.LogRecord) -> LoggedLine:
    fields = list(extras(record).items())[:_FIELDS_MAX]
    exception = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
    return LoggedLine(
        at_ms=int(record.created * 1000),
        level=min(max(record.levelno, 0), _LEVEL_MAX),
        logger=as_text(record.name)[:200],
        message=_cut(as_text(record.getMessage())),
        fields={as_text(key)[:40]: as_text(str(value))[:_FIELD_CHARS_MAX] for key, value in fields},
        exception=as_text(exception)[-MESSAGE_CHARS_MAX:],
    )


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARS_MAX else text[: MESSAGE_CHARS_MAX - 1] + "…"


def _size_bytes(line: LoggedLine) -> int:
    words = len(line.message) + len(line.exception) + sum(len(k) + len(v) for k, v in line.fields.items())
    return 4 * words + 100
