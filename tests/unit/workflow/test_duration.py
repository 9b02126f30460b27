"""Durations: what people write, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.workflow.duration import DURATION_S_MAX, DurationError, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("90s", 90), ("12m", 720), ("1h", 3600), ("1h30m", 5400), ("2.5m", 150), ("0s", 0)],
)
def test_reads_what_people_write(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "s", "1d", "-1s", "1 s", "1s\n", "１s", "1e3s", "1h" * 40, "1000h"])
def test_refuses_what_is_none(text: str) -> None:
    with pytest.raises(DurationError, match=r"write"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=int(DURATION_S_MAX * 1000)))
def test_what_is_formatted_is_read_back(milliseconds: int) -> None:
    assert round(parse_duration(format_duration(milliseconds / 1000)) * 1000) == milliseconds
