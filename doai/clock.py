"""Time as it is handed to the cores: both clocks read at once by the shell (all steps)."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Now(msgspec.Struct, frozen=True):
    """One reading of both clocks.

    ``mono_s`` (seconds, monotonic) decides every deadline; ``utc_ms`` (ms since 1970) is only shown and stored.
    """

    mono_s: float
    utc_ms: int


class Clock(Protocol):
    """Where a shell reads the time."""

    def now(self) -> Now:
        """Read both clocks."""
        ...
