"""Watches phones: asks who they are, and for a sign of life when one gave none for a while (step 9).

A silent phone stays listed: only an answer of its own proves that it works. A command that just
answered is such a proof, so a busy phone is never asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

import trio

from doai.drivers.base import DeviceInfo
from doai.drivers.calls import Calls

SPREAD: Final = 0.2
"""Share by which the time between probes varies, so that a fleet does not answer in step."""
PAUSE_AFTER_REFUSAL_S: Final = 0.5
"""A phone that refuses at once is asked again after this, not at once."""
PROOF_EVERY_S: Final = 5.0
"""A phone's commands prove that it answers; they are reported this often at most."""


class Watched:
    """One way to a phone, for as long as it is listed: who it is, and when it answered."""

    def __init__(self) -> None:
        self.info: DeviceInfo | None = None
        """What the phone told; None until it did."""
        self.last_answer_s = float("-inf")
        self.last_proof_s = float("-inf")
        self.misses = 0
        """Signs of life in a row that did not come."""
        self.silent_because = ""
        """Why it counts as unresponsive; empty while it answers."""
        self.watch = trio.CancelScope()
        """Ends the task that asks it for signs of life."""
        self.calls = Calls()

    def answered(self, now_s: float) -> bool:
        """It answered; returns whether it counted as unresponsive until now."""
        was_silent = bool(self.silent_because)
        self.last_answer_s, self.misses, self.silent_because = now_s, 0, ""
        return was_silent

    def take_proof(self, now_s: float) -> bool:
        """Return whether an answer is to be told as a proof, as it is when the last one is a while ago."""
        is_due = now_s - self.last_proof_s >= PROOF_EVERY_S
        if is_due:
            self.last_proof_s = now_s
        return is_due


class ProbeSettings(Protocol):
    """How often phones are asked."""

    @property
    def probe_every_s(self) -> float:
        """A phone that answered nothing for this long is asked for a sign of life."""
        ...

    @property
    def probe_misses(self) -> int:
        """Signs of life missed in a row before the phone counts as unresponsive."""
        ...


_W = TypeVar("_W", bound=Watched)


async def watch_over(
    watched: _W,
    probe: Callable[[_W], Awaitable[str]],
    missed: Callable[[_W, str, int], None],
    settings: ProbeSettings,
    limit: trio.CapacityLimiter,
    random01: Callable[[], float],
) -> None:
    """Identify the phone, then ask for signs of life until its `watch` scope ends.

    ``probe`` asks once and returns why that counts as missed, empty when it does not; ``missed`` is told of it with
    the number of misses that is too many. ``limit`` bounds the probes in flight at once.
    """
    with watched.watch:
        while True:
            wait_s = _wait_s(watched, settings, random01)
            if wait_s > 0:
                await trio.sleep(wait_s)
                continue  # A command may have proven it meanwhile.
            async with limit:
                why = await probe(watched)
            if why:
                missed(watched, why, settings.probe_misses)
                # One that is known to be silent is asked as rarely as any other.
                silent = bool(watched.silent_because)
                await trio.sleep(settings.probe_every_s if silent else PAUSE_AFTER_REFUSAL_S)


def _wait_s(watched: Watched, settings: ProbeSettings, random01: Callable[[], float]) -> float:
    """Return the seconds until the next probe is due; one that was missed, or never answered, is due now."""
    if watched.info is None or watched.misses:
        return 0.0
    spread = 1.0 + SPREAD * (2 * random01() - 1)
    return watched.last_answer_s + settings.probe_every_s * spread - trio.current_time()
