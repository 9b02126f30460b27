"""What a bot finds wrong with a device, and the answer: payloads of a command (step 14)."""

from __future__ import annotations

from typing import Final

from doai.envelope import Message
from doai.key_enum import KeyEnum

REPORT_HEALTH: Final = "health.report"


class HealthRule(KeyEnum):
    """What can be wrong with a device; each is an incident of its own while it is so."""

    BATTERY_HOT = "battery_hot"
    BATTERY_LOW = "battery_low"
    STORAGE_LOW = "storage_low"
    MEMORY_LOW = "memory_low"
    THERMAL_SEVERE = "thermal_severe"
    UNANSWERED = "unanswered"


class Condition(Message, frozen=True, kw_only=True):
    """One thing that is wrong with a device."""

    rule: HealthRule
    value: float
    """As measured when it began: degrees Celsius, per cent, MB, a thermal level, samples without an answer."""
    limit: float
    """Of the rule."""


class ReportHealth(Message, frozen=True, kw_only=True):
    """A bot tells all that is wrong with a device now; what it told before and does not name is over. Answer:
    HealthReported. Telling the same again changes nothing."""

    serial: str
    conditions: list[Condition]
    """One a rule at most; none = it is well."""


class HealthReported(Message, frozen=True, kw_only=True):
    """Answer to ReportHealth."""

    began: list[HealthRule]
    ended: list[HealthRule]
