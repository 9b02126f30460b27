"""What can be ordered of a fake phone: answers, failures, delays, by a pattern of the command (step 9)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from doai.drivers import failures
from doai.drivers.base import CommandOutput
from doai.errors import LocalProtocolError, StepError

FAILURES: Final[Mapping[str, Callable[[str, str], StepError]]] = {
    "device_offline": lambda serial, what: failures.device_offline(serial, f"scripted for {what}"),
    "device_unauthorized": lambda serial, what: failures.device_unauthorized(serial),
    "device_unresponsive": lambda serial, what: failures.device_unresponsive(serial, f"scripted for {what}"),
    "output_incomplete": lambda serial, what: failures.output_incomplete(serial, what, 8),
    "output_garbled": lambda serial, what: failures.output_garbled(serial, what, "scripted"),
    "storage_full": failures.storage_full,
    "adb_server_down": lambda serial, what: failures.adb_server_down(0, f"scripted for {what} on {serial}"),
}
"""Failures that can be ordered by name, with the class and the sentence the adb driver gives them."""


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """What a matching command does instead of its usual work; `delay_s` alone only makes it slower.

    Commands are matched without their step tag, by `re.search`. File transfers and screenshots go by the names
    ``push PATH``, ``pull PATH`` and ``screencap -p``.
    """

    pattern: str = ""
    """Empty = every command."""
    serial: str | None = None
    """None = on every phone."""
    answer: CommandOutput | None = None
    fail: str | None = None
    """A name of FAILURES, or an INSTALL_FAILED_* / DELETE_FAILED_* of the package manager."""
    hang: bool = False
    """Never answers: ends by cancellation, or when the phone vanishes."""
    vanish: bool = False
    """The phone goes away in the middle of it."""
    delay_s: float = 0.0
    times: int | None = None
    """How often it strikes; None = always."""


class Scripts:
    """The scripts in force. The one added last is looked at first."""

    def __init__(self) -> None:
        self._open: list[tuple[Script, re.Pattern[str], list[int]]] = []
        self.struck = 0
        """How often any script struck."""

    def add(self, script: Script) -> None:
        """Put a script in force; raises LocalProtocolError for a failure that has no name here."""
        if script.fail is not None and script.fail not in FAILURES and not _of_package_manager(script.fail):
            raise LocalProtocolError(
                f"no failure is called {script.fail}: use one of {', '.join(sorted(FAILURES))}"
            )
        left = [] if script.times is None else [script.times]
        self._open.insert(0, (script, re.compile(script.pattern), left))

    def clear(self) -> None:
        """Take all scripts back."""
        self._open.clear()

    def take(self, serial: str, command: str) -> Script | None:
        """Return the script that strikes this command and count it."""
        for index, (script, pattern, left) in enumerate(self._open):
            if script.serial not in (None, serial) or pattern.search(command) is None:
                continue
            self.struck += 1
            if left:
                left[0] -= 1
                if left[0] <= 0:
                    del self._open[index]
            return script
        return None


def scripted_failure(script: Script, serial: str, command: str) -> StepError:
    """Return the error that a script with `fail` orders."""
    assert script.fail is not None
    if _of_package_manager(script.fail):
        return failures.package_refused(serial, command, f"Failure [{script.fail}]")
    return FAILURES[script.fail](serial, command)


def _of_package_manager(name: str) -> bool:
    return name.startswith(("INSTALL_", "DELETE_"))
