"""Times of schedules: cron in zones whose clocks change and in those whose do not, intervals, jitter, mistakes."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.schedule import Schedule, ScheduleError, check_schedule, due_ms, next_time_ms, zone_of

NOW_MS = 1_790_000_000_000
NEW_YORK, BERLIN, SEOUL = "America/New_York", "Europe/Berlin", "Asia/Seoul"


def times(cron: str, zone: str, after: str, count: int) -> list[str]:
    """Return times as their own clocks show them, offset from UTC included."""
    schedule = Schedule(cron=cron, zone=zone)
    at: int | None = round(datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)
    found = []
    for _ in range(count):
        assert at is not None
        at = next_time_ms(schedule, at)
        assert at is not None
        found.append(datetime.fromtimestamp(at / 1000, ZoneInfo(zone)).strftime("%m-%d %H:%M%z"))
    return found


@pytest.mark.parametrize(
    ("cron", "zone", "after", "found"),
    [
        # No change of clocks.
        ("0 3 * * *", SEOUL, "2026-03-28T12:00", ["03-29 03:00+0900", "03-30 03:00+0900"]),
        # 02:30 does not exist on 8 March: it comes as soon as the gap is over.
        ("30 2 * * *", NEW_YORK, "2026-03-07T12:00", ["03-08 03:00-0400", "03-09 02:30-0400"]),
        # Two times in and behind the gap that come to the same are one.
        ("0 2,3 * * *", NEW_YORK, "2026-03-08T00:00", ["03-08 03:00-0400", "03-09 02:00-0400"]),
        # What follows the clock on the wall has no 02:30 on that day.
        ("30 * * * *", NEW_YORK, "2026-03-08T01:00", ["03-08 01:30-0500", "03-08 03:30-0400"]),
        # 01:30 exists twice on 1 November: the first one.
        ("30 1 * * *", NEW_YORK, "2026-10-31T12:00", ["11-01 01:30-0400", "11-02 01:30-0500"]),
        ("30 * * * *", NEW_YORK, "2026-11-01T01:00", ["11-01 01:30-0400", "11-01 01:30-0500", "11-01 02:30-0500"]),
        ("30 2 * * *", BERLIN, "2026-03-28T12:00", ["03-29 03:00+0200", "03-30 02:30+0200"]),
        ("30 2 * * *", BERLIN, "2026-10-24T12:00", ["10-25 02:30+0200", "10-26 02:30+0100"]),
        # Midnight does not exist.
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00", ["04-24 01:00+0300", "04-25 00:00+0300"]),
    ],
)
def test_cron_where_clocks_change(cron: str, zone: str, after: str, found: list[str]) -> None:
    assert times(cron, zone, after, len(found)) == found


def test_the_second_of_two_hours_does_not_bring_the_first_again() -> None:
    """Asked within the hour that exists a second time, a job at a fixed time is over for the day."""
    after_ms = round(datetime(2026, 11, 1, 6, 15, tzinfo=UTC).timestamp() * 1000)  # 01:15 EST
    found = next_time_ms(Schedule(cron="30 1 * * *", zone=NEW_YORK), after_ms)
    assert found is not None
    assert datetime.fromtimestamp(found / 1000, ZoneInfo(NEW_YORK)).day == 2


@given(
    cron=st.sampled_from(
        ["* * * * *", "*/15 2 * * *", "30 2 * * *", "0 0 * * *", "0 9-17 * * MON-FRI", "5 1,2,3 1 * *", "0 0 L * *"]
    ),
    zone=st.sampled_from([SEOUL, NEW_YORK, BERLIN, "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu", "UTC"]),
    after_ms=st.integers(1_600_000_000_000, 2_000_000_000_000),
)
def test_a_time_is_later_and_there_is_none_between(cron: str, zone: str, after_ms: int) -> None:
    schedule = Schedule(cron=cron, zone=zone)
    found = next_time_ms(schedule, after_ms)
    assert found is not None
    assert found > after_ms
    assert next_time_ms(schedule, found - 1) == found
    assert next_time_ms(schedule, (after_ms + found) // 2) == found


def test_intervals_are_counted_from_their_start() -> None:
    schedule = Schedule(every_s=900, starts_at_ms=NOW_MS + 5)
    assert next_time_ms(schedule, 0) == NOW_MS + 5
    assert next_time_ms(schedule, NOW_MS + 5) == NOW_MS + 5 + 900_000
    assert next_time_ms(schedule, NOW_MS + 5 + 10 * 900_000 - 1) == NOW_MS + 5 + 10 * 900_000


def test_an_end_is_the_last_time_that_may_be() -> None:
    schedule = Schedule(every_s=60, starts_at_ms=NOW_MS, ends_at_ms=NOW_MS + 60_000)
    assert next_time_ms(schedule, NOW_MS) == NOW_MS + 60_000
    assert next_time_ms(schedule, NOW_MS + 60_000) is None


def test_jitter_is_the_same_for_the_same_time_and_spread_over_campaigns() -> None:
    schedule = Schedule(cron="0 3 * * *", jitter_s=600)
    assert due_ms(schedule, "a", NOW_MS) == due_ms(schedule, "a", NOW_MS)
    late = {due_ms(schedule, f"c{number}", NOW_MS) - NOW_MS for number in range(50)}
    assert len(late) > 40
    assert all(0 <= ms <= 600_000 for ms in late)
    assert due_ms(Schedule(cron="0 3 * * *"), "a", NOW_MS) == NOW_MS


@pytest.mark.parametrize(
    ("schedule", "sentence"),
    [
        (Schedule(), "either a cron expression or an interval"),
        (Schedule(cron="0 3 * * *", every_s=60), "either a cron expression or an interval"),
        (
            Schedule(cron="0 3 * *"),
            "is no cron expression: write minute, hour, day of month, month and day of week",
        ),
        (Schedule(cron="@daily"), "is no cron expression"),
        (Schedule(cron="0 25 * * *"), "has a wrong hour"),
        (Schedule(cron="0 0 * * FOO"), "has a wrong day of week"),
        (Schedule(cron="9" * 99 + " * * * *"), "has a wrong minute"),
        (Schedule(cron="0 0 30 2 *"), "'0 0 30 2 \\*' never comes: none of its months has such a day"),
        (Schedule(cron="* * */20 * 1L"), "never comes"),
        (
            Schedule(cron="0 3 * * *", zone="Asia/Soul"),
            "there is no time zone 'Asia/Soul': did you mean 'Asia/Seoul'",
        ),
        (Schedule(cron="0 3 * * *", zone="asia/seoul"), "did you mean 'Asia/Seoul'"),
        (Schedule(cron="0 3 * * *", zone="../../etc/passwd"), "there is no time zone"),
        (Schedule(cron="0 3 * * *", zone="America"), "there is no time zone 'America'"),
        (Schedule(every_s=59), "every 59 s can not be: give a minute to a year"),
        (Schedule(every_s=float("nan")), "every nan s can not be"),
        (Schedule(every_s=600, starts_at_ms=NOW_MS, jitter_s=600), "the jitter is not shorter than the pause"),
        (Schedule(cron="0 3 * * *", jitter_s=-1), "a jitter of -1 s can not be"),
        (Schedule(cron="0 3 * * *", ends_at_ms=NOW_MS), "never comes before its end"),
    ],
)
def test_what_can_not_be_is_told_in_one_sentence(schedule: Schedule, sentence: str) -> None:
    with pytest.raises(ScheduleError, match=sentence) as error:
        check_schedule(schedule, NOW_MS)
    assert "\n" not in str(error.value)


@given(st.text(alphabet="0123456789*/-,LW#MONFEB ", max_size=30))
def test_any_text_is_taken_or_refused(text: str) -> None:
    try:
        check_schedule(Schedule(cron=text, zone=SEOUL), NOW_MS)
    except ScheduleError as error:
        assert str(error)


def test_a_host_without_cron_or_zones_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cronsim", None)
    with pytest.raises(ScheduleError, match=r"this host knows no cron: install doai with \[schedules\]"):
        check_schedule(Schedule(cron="0 3 * * *"), NOW_MS)
    monkeypatch.setattr("doai.schedule.available_timezones", set)
    with pytest.raises(ScheduleError, match=r"this host knows no time zones: install tzdata"):
        zone_of("Nowhere/Land")
