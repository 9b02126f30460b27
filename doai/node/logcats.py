"""The logs of phones while somebody looks: followed beside whatever runs, brought to the admin in pieces (step 8).

`logcat` runs on the phone for as long as somebody looks and is one more stream of ADB. What a phone writes faster
than a person can read is not sent: a piece has the newest lines, and says how many before them are missing.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
import trio

from doai.drivers import failures
from doai.drivers.base import CommandOutput, Driver, Follows
from doai.errors import StepError
from doai.node.watching import Place

PERIOD_S: Final = 0.5
"""Between two pieces, when there is something to bring."""
STILL_HERE_S: Final = 2.0
"""Between two pieces of a phone that says nothing: the admin answers whether somebody still looks."""
FIRST_LINES: Final = 300
"""Of what was logged before somebody looked."""
LINES_MAX: Final = 300
"""In one piece: 600 lines a second, more than anybody reads."""
LINE_CHARACTERS_MAX: Final = 1000
"""Of one line; Android's own limit is some 4,000."""
PIECE_CHARACTERS_MAX: Final = 64 * 1024
"""Of all lines of one piece."""
AGAIN_S: Final = 2.0
"""After a phone could not be followed."""
TAG: Final = "logcat"
"""In place of a task's, in the log of a phone's commands."""
_STAMP: Final = re.compile(r"\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}")
"""The moment at the beginning of a line of `-v threadtime`, by the phone's own clock and zone."""
_MARK: Final = "--------- "
"""Begins what `logcat` itself says of its buffers, each time it is begun."""
_UNFINISHED_MAX: Final = 16 * 1024
"""Bytes of a line whose end did not come."""

_log: Final = logging.getLogger(__name__)


class Lines:
    """What came and was not brought yet, bounded; sans-IO."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._characters = 0
        self._missing = 0
        self._rest = b""
        self._latest = ""
        """The newest moment that was told, as `logcat -T` takes it."""
        self._of_latest: set[str] = set()
        """Lines of that moment: when the log is followed anew it begins with them."""
        self._known: set[str] = set()

    @property
    def command(self) -> str:
        """What is run on the phone: the last lines, or what came behind those that are known."""
        since = f"'{self._latest}'" if self._latest else str(FIRST_LINES)
        return f"logcat -v threadtime -T {since}"

    def begin(self) -> None:
        """The log is followed, perhaps again: what it repeats is known."""
        self._rest = b""
        self._known = set(self._of_latest)

    def take(self, data: bytes) -> None:
        """Take what came, in pieces of any size."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._add(line.decode("utf-8", "replace").rstrip("\r"))
        if len(self._rest) > _UNFINISHED_MAX:
            self._add(self._rest.decode("utf-8", "replace"))
            self._rest = b""

    def piece(self) -> tuple[int, list[str]]:
        """Return how many lines are missing, and those behind them; then they are gone from here."""
        missing, lines = self._missing, list(self._lines)
        self._missing, self._characters = 0, 0
        self._lines.clear()
        return missing, lines

    def __bool__(self) -> bool:
        return bool(self._lines or self._missing)

    def _add(self, line: str) -> None:
        line = line[:LINE_CHARACTERS_MAX]
        if line in self._known or line.startswith(_MARK):
            return
        stamp = _STAMP.match(line)
        if stamp is not None and stamp[0] != self._latest:
            self._latest = stamp[0]
            self._of_latest.clear()
        if stamp is not None and len(self._of_latest) < LINES_MAX:
            self._of_latest.add(line)
        self._lines.append(line)
        self._characters += len(line)
        while len(self._lines) > LINES_MAX or self._characters > PIECE_CHARACTERS_MAX:
            self._characters -= len(self._lines.popleft())
            self._missing += 1


class LogcatFeed:
    """Brings the logs of phones."""

    what: Final = "logcats"

    def __init__(self, driver_of: Callable[[str], Driver], *, period_s: float = PERIOD_S) -> None:
        """``driver_of`` returns the driver that has a device now, or raises StepError."""
        self._driver_of = driver_of
        self._period_s = period_s

    async def bring(self, place: Place, serial: str) -> None:
        """Bring them of one device for as long as the admin wants them."""
        lines = Lines()
        news = trio.Event()
        failure = [""]

        def take(data: bytes) -> None:
            lines.take(data)
            news.set()

        async def follow() -> None:
            while True:
                lines.begin()
                failure[0] = await self._follow(serial, lines.command, take)
                news.set()
                await trio.sleep(AGAIN_S)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            while True:
                with trio.move_on_after(STILL_HERE_S):
                    await news.wait()
                await trio.sleep(self._period_s)
                news = trio.Event()
                why, failure[0] = failure[0], ""
                is_wanted = True
                if lines or not why:
                    missing, told = lines.piece()
                    body = msgspec.json.encode({"missing": missing, "lines": told})
                    is_wanted = await place.put(serial, body, "application/json")
                if is_wanted and why:
                    is_wanted = await place.refuse(serial, why)
                if not is_wanted:
                    nursery.cancel_scope.cancel()
                    return

    async def _follow(self, serial: str, command: str, take: Callable[[bytes], None]) -> str:
        """Follow the log; returns why it ended."""
        try:
            driver = self._driver_of(serial)
            device = driver.device(serial, tag=TAG)
            if not isinstance(device, Follows):
                raise failures.driver_cannot(
                    driver.name,
                    f"follow the log of device {serial}",
                    "the step log.collect keeps it as a file of a task",
                )
            output = await device.follow(command, take)
        except StepError as error:
            return error.failure.message
        except Exception as error:  # a driver may be a plug-in's: its mistake costs this log alone
            kind = type(error).__name__
            _log.error(
                "following the log of %s raised %s", serial, kind, exc_info=error, extra={"device_serial": serial}
            )
            return f"Following the log of device {serial} raised {kind}: see the node's log."
        return _ended(serial, output)


def _ended(serial: str, output: CommandOutput) -> str:
    said = output.stderr.decode("utf-8", "replace").strip()[:300]
    return f"logcat on device {serial} ended with exit code {output.exit_code}: {said or 'it said nothing'}"
