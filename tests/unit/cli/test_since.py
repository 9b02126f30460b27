"""How far back: hours, days, a date."""

from __future__ import annotations

import pytest

from doai.cli.since import since_ms
from doai.errors import UserError

NOW_S = 1_795_248_000.0


@pytest.mark.parametrize(
    ("text", "ago_s"),
    [("12h", 43_200), ("1h30m", 5_400), ("30d", 30 * 86_400), ("99999d", NOW_S)],
)
def test_a_time_before_now(text: str, ago_s: float) -> None:
    assert since_ms(text, NOW_S) == round((NOW_S - ago_s) * 1000)


def test_a_day_begins_at_midnight_utc() -> None:
    assert since_ms("2026-11-01") == 1_793_491_200_000


@pytest.mark.parametrize("text", ["2026-11-01T09:30Z", "2026-11-01T09:30", "2026-11-01T18:30:00.000+09:00"])
def test_a_moment_is_of_its_zone_else_utc(text: str) -> None:
    assert since_ms(text) == 1_793_525_400_000


@pytest.mark.parametrize("text", ["2026-11-01T25:00Z", "yesterday", "2026-13-01", "d", ""])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"there is no time|is no time: write one such as 12h, 30d, 2026-11-01 or"):
        since_ms(text)
