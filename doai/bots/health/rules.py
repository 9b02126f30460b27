"""When a phone is not well: thresholds that lie apart, so that one that sways is told once (step 14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, Struct

from doai.messages.health import Condition, HealthRule
from doai.messages.samples import THERMAL_LEVELS, DeviceHealth

Rule = Literal["battery_hot", "battery_low", "storage_low", "memory_low", "thermal_severe", "unanswered"]
Level = Literal["light", "moderate", "severe", "critical", "emergency", "shutdown"]
Calm = Literal["none", "light", "moderate", "severe", "critical", "emergency"]


class HealthConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator sets. Of each rule `from` is where it begins and `until` where it is over."""

    interval: Annotated[str, Meta(description="how often each phone is read, 2s to 1h")] = "30s"
    max_concurrent: Annotated[int, Meta(ge=1, le=50, description="phones that a node reads at once")] = 5
    battery_hot_from_c: Annotated[float, Meta(ge=20, le=90)] = 45.0
    battery_hot_until_c: Annotated[float, Meta(ge=10, le=90)] = 42.0
    battery_low_from_percent: Annotated[float, Meta(ge=0, le=99)] = 15.0
    battery_low_until_percent: Annotated[float, Meta(ge=0, le=100)] = 20.0
    storage_low_from_mb: Annotated[float, Meta(ge=0)] = 1024.0
    storage_low_until_mb: Annotated[float, Meta(ge=0)] = 1536.0
    memory_low_from_mb: Annotated[float, Meta(ge=0)] = 150.0
    memory_low_until_mb: Annotated[float, Meta(ge=0)] = 250.0
    thermal_from: Annotated[Level, Meta(description="thermal status of Android")] = "severe"
    thermal_until: Calm = "light"
    unanswered_after: Annotated[
        int, Meta(ge=1, le=1000, description="samples in a row without an answer; one with an answer ends it")
    ] = 3
    quarantine: Annotated[
        tuple[Rule, ...], Meta(description="rules for which a phone gets no tasks while they hold")
    ] = ("battery_hot", "thermal_severe")
    digest_hour: Annotated[int, Meta(ge=0, le=23, description="when the digest of the day before is written")] = 9
    zone: Annotated[str, Meta(description="time zone of the digest, such as Asia/Seoul")] = "UTC"

    def __post_init__(self) -> None:
        """Raises ValueError for thresholds in the wrong order and a zone that does not exist."""
        for above, below in (
            ("battery_hot_from_c", "battery_hot_until_c"),
            ("battery_low_until_percent", "battery_low_from_percent"),
            ("storage_low_until_mb", "storage_low_from_mb"),
            ("memory_low_until_mb", "memory_low_from_mb"),
        ):
            if getattr(self, above) <= getattr(self, below):
                raise ValueError(f"{above} must be above {below}: between them nothing changes")
        if THERMAL_LEVELS.index(self.thermal_from) <= THERMAL_LEVELS.index(self.thermal_until):
            raise ValueError("thermal_from must be above thermal_until: between them nothing changes")
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no time zone {self.zone!r}: write one such as Asia/Seoul") from None


class Judged(Struct, frozen=True, kw_only=True):
    """What a sample comes to."""

    conditions: list[Condition]
    """All that is wrong now. What went on from before has the measure of now, or of then where none was told."""
    unanswered: int
    """Samples in a row that the phone did not answer."""


class _Measure(Struct, frozen=True):
    """One number of a sample, and where it is too much or too little."""

    rule: HealthRule
    of: Callable[[DeviceHealth], float | None]
    begins: Callable[[HealthConfig], float]
    ends: Callable[[HealthConfig], float]
    sign: int
    """1 = more is worse, -1 = less is."""


def _level(health: DeviceHealth) -> float | None:
    known = health.thermal_status in THERMAL_LEVELS
    return float(THERMAL_LEVELS.index(health.thermal_status)) if known else None


_MEASURES: Final = (
    _Measure(
        HealthRule.BATTERY_HOT,
        lambda h: h.battery_temp_c,
        lambda c: c.battery_hot_from_c,
        lambda c: c.battery_hot_until_c,
        1,
    ),
    _Measure(
        HealthRule.BATTERY_LOW,
        lambda h: h.battery_percent,
        lambda c: c.battery_low_from_percent,
        lambda c: c.battery_low_until_percent,
        -1,
    ),
    _Measure(
        HealthRule.STORAGE_LOW,
        lambda h: h.storage_free_mb,
        lambda c: c.storage_low_from_mb,
        lambda c: c.storage_low_until_mb,
        -1,
    ),
    _Measure(
        HealthRule.MEMORY_LOW,
        lambda h: h.memory_free_mb,
        lambda c: c.memory_low_from_mb,
        lambda c: c.memory_low_until_mb,
        -1,
    ),
    _Measure(
        HealthRule.THERMAL_SEVERE,
        _level,
        lambda c: float(THERMAL_LEVELS.index(c.thermal_from)),
        lambda c: float(THERMAL_LEVELS.index(c.thermal_until)),
        1,
    ),
)


def judge(
    config: HealthConfig, health: DeviceHealth, before: dict[HealthRule, Condition], unanswered: int
) -> Judged:
    """Return what is wrong with a phone, by its newest sample and what was wrong ``before``.

    A phone that does not answer, or does not tell a number, is as it was in that.
    """
    if health.problem:
        unanswered += 1
        found: dict[HealthRule, Condition] = {**before}
        found.pop(HealthRule.UNANSWERED, None)
        if unanswered >= config.unanswered_after or HealthRule.UNANSWERED in before:
            limit = float(config.unanswered_after)
            found[HealthRule.UNANSWERED] = Condition(
                rule=HealthRule.UNANSWERED, value=float(unanswered), limit=limit
            )
        return Judged(conditions=list(found.values()), unanswered=unanswered)
    conditions = []
    for measure in _MEASURES:
        value, known = measure.of(health), before.get(measure.rule)
        if value is None:
            conditions += [known] if known is not None else []
            continue
        begins, ends = measure.begins(config), measure.ends(config)
        distance = measure.sign * (value - begins) if known is None else measure.sign * (value - ends)
        if distance > 0 or (known is None and distance == 0):
            conditions.append(Condition(rule=measure.rule, value=float(value), limit=begins))
    return Judged(conditions=conditions, unanswered=0)
