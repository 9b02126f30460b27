"""Rules: each begins at one threshold and ends at another; what is not told changes nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.bots.health.rules import HealthConfig, judge
from doai.messages.health import Condition, HealthRule
from doai.messages.samples import DeviceHealth

WELL = DeviceHealth(
    serial="A",
    battery_percent=80,
    battery_temp_c=30.0,
    thermal_status="none",
    storage_free_mb=9000,
    memory_free_mb=2000,
)
CASES: list[tuple[str, str, list[Any], str]] = [
    # rule, field, values one after the other, and at which of them it holds
    ("battery_hot", "battery_temp_c", [44.9, 45.0, 43.0, 42.1, 42.0, 44.0, 46.0], ".XXX..X"),
    ("battery_low", "battery_percent", [16, 15, 19, 20, 21, 16, 3], ".XX...X"),
    ("storage_low", "storage_free_mb", [1025, 1024, 1535, 1536, 1100, 9], ".XX..X"),
    ("memory_low", "memory_free_mb", [151, 150, 249, None, 250, 151, 0], ".XXX..X"),
    (
        "thermal_severe",
        "thermal_status",
        ["moderate", "severe", "moderate", "light", "critical", "unknown"],
        ".XX.XX",
    ),
]


@pytest.mark.parametrize(("rule", "field", "values", "holds"), CASES, ids=[case[0] for case in CASES])
def test_a_rule_begins_and_ends_at_thresholds_that_lie_apart(
    rule: str, field: str, values: list[Any], holds: str
) -> None:
    before: dict[HealthRule, Condition] = {}
    seen = ""
    for value in values:
        judged = judge(HealthConfig(), msgspec.structs.replace(WELL, **{field: value}), before, 0)
        before = {condition.rule: condition for condition in judged.conditions}
        assert {each.value for each in before} <= {rule}
        seen += "X" if before else "."
    assert seen == holds


def test_a_phone_that_does_not_answer_is_as_it_was_and_silent_after_a_while() -> None:
    silent = DeviceHealth(serial="A", problem="no answer")
    hot = judge(HealthConfig(), msgspec.structs.replace(WELL, battery_temp_c=50.0), {}, 0)
    before = {condition.rule: condition for condition in hot.conditions}
    found: list[list[str]] = []
    unanswered = 0
    for health in (silent, silent, silent, silent, WELL):
        judged = judge(HealthConfig(), health, before, unanswered)
        before = {condition.rule: condition for condition in judged.conditions}
        unanswered = judged.unanswered
        found.append([rule.value for rule in before])
    assert found == [["battery_hot"]] * 2 + [["battery_hot", "unanswered"]] * 2 + [[]]


@given(st.lists(st.floats(20, 70), max_size=30))
def test_a_rule_changes_only_beyond_its_thresholds(temperatures: list[float]) -> None:
    before: dict[HealthRule, Condition] = {}
    for celsius in temperatures:
        judged = judge(HealthConfig(), msgspec.structs.replace(WELL, battery_temp_c=celsius), before, 0)
        holds = bool(judged.conditions)
        assert holds or celsius < 45.0
        assert not holds or celsius > 42.0
        if 42.0 < celsius < 45.0:
            assert holds == bool(before)
        before = {condition.rule: condition for condition in judged.conditions}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"battery_hot_from_c": 42, "battery_hot_until_c": 42}, "battery_hot_from_c must be above"),
        ({"battery_low_from_percent": 30}, "battery_low_until_percent must be above"),
        ({"storage_low_until_mb": 3}, "storage_low_until_mb must be above"),
        ({"thermal_from": "light", "thermal_until": "severe"}, "thermal_from must be above thermal_until"),
        ({"battery_hot_from_c": 450}, "<= 90"),
        ({"unanswered_after": 0}, ">= 1"),
        ({"quarantine": ["cold"]}, "Invalid enum value"),
        ({"zone": "Nowhere/City"}, "there is no time zone 'Nowhere/City'"),
        ({"digest_hour": 24}, "<= 23"),
        ({"batery_hot": 3}, "unknown field `batery_hot`"),
    ],
)
def test_a_wrong_configuration_is_told(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=sentence):
        msgspec.convert(config, HealthConfig)
