"""What `am instrument -r` wrote, read into results, pure (step 8).

Source of the format: AOSP `cmds/am/src/com/android/commands/am/Instrument.java` and AndroidX's
InstrumentationResultPrinter: lines ``INSTRUMENTATION_STATUS: key=value`` (a value may go on over further lines),
then ``INSTRUMENTATION_STATUS_CODE: n`` (1 begins, 0 passed, -1 error, -2 failed, -3 ignored, -4 assumption), at the
end ``INSTRUMENTATION_RESULT: key=value`` and ``INSTRUMENTATION_CODE: -1``.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

Outcome = Literal["passed", "failed", "skipped", "crashed"]

_LINE: Final = re.compile(r"INSTRUMENTATION_(STATUS_CODE|STATUS|RESULT|CODE|FAILED|ABORTED): ?(.*)")
_OUTCOMES: Final[dict[int, Outcome]] = {0: "passed", -1: "failed", -2: "failed", -3: "skipped", -4: "skipped"}
_BEGINS: Final = 1
_ENDED_WELL: Final = "-1"
"""android.app.Activity.RESULT_OK: the runner came to its end, whatever the tests said."""


class Test(msgspec.Struct, frozen=True):
    """One test: its name as ``class#method``, how it ended, and what it said (a stack trace, or nothing)."""

    __test__ = False

    name: str
    outcome: Outcome
    message: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that was written."""

    tests: tuple[Test, ...]
    expected: int
    """How many tests the runner wanted to run."""
    crashed: str
    """Why it ended before its end; empty when it did not."""
    refused: str
    """Why it was never started; empty when it was."""


def parse_report(text: str) -> Report:
    """Read the output; never raises: what can not be read is no result."""
    reader = _Reader()
    for line in text.splitlines():
        reader.line(line)
    return reader.report()


class _Reader:
    def __init__(self) -> None:
        self._status: dict[str, str] = {}
        self._result: dict[str, str] = {}
        self._open: tuple[dict[str, str], str] | None = None
        """The group and key that further lines belong to."""
        self._tests: list[Test] = []
        self._running: str | None = None
        self._expected = 0
        self._code: str | None = None
        self._refused = ""

    def line(self, line: str) -> None:
        found = _LINE.match(line)
        if found is None:
            if self._open is not None:
                group, key = self._open
                group[key] += "\n" + line
            return
        kind, rest = found[1], found[2]
        self._open = None
        if kind in ("STATUS", "RESULT"):
            group = self._status if kind == "STATUS" else self._result
            key, _, value = rest.partition("=")
            group[key] = value
            self._open = (group, key)
        elif kind == "STATUS_CODE":
            self._ended(int(rest) if re.fullmatch(r"-?\d{1,3}", rest) else 0)
        elif kind == "CODE":
            self._code = rest.strip()
        else:
            self._refused = self._refused or rest or "it could not be started"

    def report(self) -> Report:
        crashed = ""
        if not self._refused and self._code != _ENDED_WELL:
            crashed = self._result.get("longMsg") or self._result.get("shortMsg") or "the runner ended early"
        if crashed and self._running is not None:
            self._tests.append(Test(self._running, "crashed", crashed))
        return Report(
            tests=tuple(self._tests),
            expected=max(self._expected, len(self._tests)),
            crashed=crashed,
            refused=self._refused,
        )

    def _ended(self, code: int) -> None:
        status, self._status = self._status, {}
        if "Error" in status:
            self._refused = status["Error"]
            return
        if "test" not in status:
            return
        name = f"{status.get('class', '')}#{status['test']}"
        if status.get("numtests", "").isdecimal():
            self._expected = int(status["numtests"])
        if code == _BEGINS:
            self._running = name
        elif code in _OUTCOMES:
            self._running = None
            self._tests.append(Test(name, _OUTCOMES[code], status.get("stack", "").strip()))
