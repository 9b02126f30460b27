"""Times in addresses and forms of pages."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from doai.admin.dashboard.spans import at_ms, command_value, field_value
from doai.cli.since import since_ms

SEOUL = ZoneInfo("Asia/Seoul")
AT_MS = 1_795_321_860_000
"""2026-11-22 13:31 in Seoul."""


def test_a_form_sends_the_time_of_the_zone_and_an_address_has_ms() -> None:
    assert at_ms("2026-11-22T13:31", SEOUL) == AT_MS
    assert at_ms(str(AT_MS), SEOUL) == AT_MS
    assert at_ms("2026-11-22T04:31Z", SEOUL) == AT_MS


@pytest.mark.parametrize("text", ["", "yesterday", "9" * 40, "2026-13-01T00:00", "٣", "-5", "'; DROP TABLE tasks"])
def test_what_is_no_time_is_no_filter(text: str) -> None:
    assert at_ms(text, SEOUL) is None


@pytest.mark.parametrize("time_ms", [0, AT_MS, AT_MS + 5_000, AT_MS + 5])
def test_a_time_comes_back_from_the_field_and_from_the_command(time_ms: int) -> None:
    assert at_ms(field_value(time_ms, SEOUL), SEOUL) == time_ms - time_ms % 1000
    assert since_ms(command_value(time_ms)) == time_ms


def test_a_time_far_away_is_the_last_that_a_calendar_has() -> None:
    assert field_value(at_ms("9" * 17, SEOUL), SEOUL).startswith("9999-")
