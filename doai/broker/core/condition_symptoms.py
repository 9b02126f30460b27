"""What bots find wrong with devices, measured for the rules of doai.incidents, and as sentences (step 12)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from doai import topics
from doai.broker.core.state import State
from doai.broker.core.symptom import Symptom
from doai.changes.conditions import ConditionRow
from doai.incidents import IncidentType
from doai.messages.health import Condition, HealthRule
from doai.messages.samples import THERMAL_LEVELS

TYPES: Final[Mapping[HealthRule, IncidentType]] = {
    HealthRule.BATTERY_HOT: IncidentType.BATTERY_HOT,
    HealthRule.BATTERY_LOW: IncidentType.BATTERY_LOW,
    HealthRule.STORAGE_LOW: IncidentType.STORAGE_LOW,
    HealthRule.MEMORY_LOW: IncidentType.MEMORY_LOW,
    HealthRule.THERMAL_SEVERE: IncidentType.THERMAL_SEVERE,
    HealthRule.UNANSWERED: IncidentType.DEVICE_SILENT,
}


def conditions_of(row: ConditionRow) -> list[Condition]:
    """Return what a row says is wrong."""
    return msgspec.json.decode(row.body, type=list[Condition])


def condition_symptoms(state: State) -> Iterator[Symptom]:
    """Measure what lasts, as bots that work have found it."""
    for (serial, name), row in state.conditions.items():
        bot = state.bots.get(name)
        if bot is None or not bot.works:
            continue
        for condition in conditions_of(row):
            yield Symptom(
                type=TYPES[condition.rule],
                subject=topics.device_subject(serial),
                measure=1,
                affected=1,
                message=sentence(serial, condition),
            )


_SENTENCES: Final[Mapping[HealthRule, str]] = {
    HealthRule.BATTERY_HOT: "the battery of device {serial} has {value:.1f} C, {limit:g} C is too hot",
    HealthRule.BATTERY_LOW: "the battery of device {serial} has {value:.0f} %, {limit:g} % is too little",
    HealthRule.STORAGE_LOW: "device {serial} has {value:.0f} MB of storage left, {limit:g} MB is too little",
    HealthRule.MEMORY_LOW: "device {serial} has {value:.0f} MB of memory left, {limit:g} MB is too little",
    HealthRule.UNANSWERED: "device {serial} did not answer {value:.0f} times in a row when it was asked how it is",
}


def sentence(serial: str, condition: Condition) -> str:
    """Say what is wrong."""
    if condition.rule is HealthRule.THERMAL_SEVERE:
        level = THERMAL_LEVELS[max(0, min(round(condition.value), len(THERMAL_LEVELS) - 1))]
        return f"device {serial} is so hot that Android slows it down (thermal status {level})"
    return _SENTENCES[condition.rule].format(serial=serial, value=condition.value, limit=condition.limit)
