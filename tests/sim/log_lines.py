"""What a process of a world logged and has not told yet, as doai.log's tap gathers it (step 12)."""

from __future__ import annotations

from typing import Final

from doai.messages.logs import LoggedLine, LogLines

TELL_EVERY_S: Final = 4.0
_LINES_MAX: Final = 40


class LinesOfLog:
    """Lines of one process, which are told together."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._waiting: list[LoggedLine] = []
        self._next_n = 1

    def add(self, message: str) -> bool:
        """Keep a line; return whether it is the first that waits."""
        if len(self._waiting) < _LINES_MAX:
            line = LoggedLine(at_ms=self._next_n, level=20, logger="sim", message=message[:60])
            self._waiting.append(line)
        return len(self._waiting) == 1

    def take(self) -> LogLines:
        """Return what waits."""
        lines, self._waiting = self._waiting, []
        first_n, self._next_n = self._next_n, self._next_n + len(lines)
        return LogLines(program=self._program, life="sim", first_n=first_n, lines=lines)
