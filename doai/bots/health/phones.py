"""What health-bot keeps of each phone, and the day to which what happened belongs (step 14)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from doai.bots.health.rules import HealthConfig
from doai.messages.health import Condition

PREFIX: Final = "phone/"
"""Of keys of the state."""
DAYS_KEPT: Final = 2
"""That of now, and the one before, of which the digest is about to be written."""


class Phone(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one phone."""

    wrong: list[Condition] = []
    unanswered: int = 0
    quarantined: bool = False
    """By this bot, and not taken back by it."""
    in_hand: bool = False
    """Something was about to be told, or done: whether it was is not known."""
    told_at_ms: int = 0
    """0 = never."""
    began_at_ms: dict[str, int] = {}
    """Since when each rule holds."""
    times: dict[str, dict[str, int]] = {}
    """How often each rule began, by day of digests: the two newest on which one did."""


def day_of(now: datetime, config: HealthConfig) -> str:
    """Return the day of digests at a time: it begins at the hour of the digest, in its zone; such as 2025-11-21."""
    local = now.astimezone(ZoneInfo(config.zone))
    return (local - timedelta(hours=config.digest_hour)).date().isoformat()
