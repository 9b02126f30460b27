"""What is set for a while: when it ends, and what the commands that set it have in common (steps 2 and 4)."""

from __future__ import annotations

import math
from typing import Final, Generic, TypeVar

from doai.broker.core.decision import Decision
from doai.broker.core.state import State
from doai.broker.core.tables import Device
from doai.clock import Now
from doai.envelope import Envelope
from doai.errors import NotFoundError, UserError
from doai.workflow.mistakes import did_you_mean

REASON_CHARS_MAX: Final = 500

UnitT = TypeVar("UnitT")


class Terms(Generic[UnitT]):
    """What is out of the ordinary now, and until when: by the monotonic clock, so that no change of time matters.

    A broker that starts again goes on by the time that is in the row.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._ends_s: dict[UnitT, float] = {}

    def begin(self, now: Now, unit: UnitT, until_ms: int | None) -> None:
        """Let it last until then, whatever was said before; None = until `end`."""
        ends_s = math.inf if until_ms is None else now.mono_s + (until_ms - now.utc_ms) / 1000
        self._ends_s[unit] = ends_s
        if until_ms is not None:
            self._state.sweep_by(ends_s)

    def end(self, unit: UnitT) -> None:
        """It lasts no longer; nothing when it had ended."""
        self._ends_s.pop(unit, None)

    def take_over(self, now: Now) -> list[UnitT]:
        """Return, once, what has lasted long enough."""
        over = [unit for unit, ends_s in self._ends_s.items() if ends_s <= now.mono_s]
        for unit in over:
            del self._ends_s[unit]
        return over

    def due_s(self) -> float | None:
        """Return when the next term ends; None when none does by itself."""
        return min((ends_s for ends_s in self._ends_s.values() if ends_s != math.inf), default=None)


def until_of(decision: Decision, for_s: float, most_s: float, what: str) -> int:
    """Return the UTC ms at which a wish of so many seconds ends; raises UserError for one that can not be."""
    if not 0 < for_s <= most_s:
        raise UserError(
            f"{what} of {for_s:g} s can not be: give seconds above 0, {most_s / 86_400:.0f} days at most",
            code="bad_term",
        )
    return decision.now.utc_ms + round(for_s * 1000)


def device_of(state: State, serial: str) -> Device:
    """Return a device that was seen; raises NotFoundError with the nearest serial."""
    device = state.devices.get(serial)
    if device is None or device.row is None:
        near = did_you_mean(serial, state.devices)
        raise NotFoundError(f"there is no device {serial[:130]!r}: {near}", code="device_not_found")
    return device


def is_theirs(by: str, command: Envelope) -> bool:
    """Return whether what is ``by`` somebody is of who asks: processes of one bot are one."""
    actor = actor_of(command)
    one_bot = command.interface == "bot" and by.partition("/")[0] == actor.partition("/")[0]
    return by == actor or one_bot


def actor_of(command: Envelope) -> str:
    """Return who asked, as events and rows name them."""
    return command.actor or command.source
