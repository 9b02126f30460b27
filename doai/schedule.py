"""When something happens again and again: cron in a time zone, or an interval (step 2).

Pure: what is asked for a time is told the time. Cron follows Debian's cron, also where clocks are changed. At fixed
times: one that does not exist comes as soon as the gap is over, one that exists twice comes the first time only.
With a minute or hour that begins with ``*``: what the clock on the wall shows, whatever that does.
"""

from __future__ import annotations

import difflib
import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from msgspec import Meta

from doai.envelope import Message
from doai.errors import UserError

if TYPE_CHECKING:
    from cronsim import CronSim

EVERY_MIN_S: Final = 60.0
"""Cron knows no seconds either; what is to go on without a pause is a workflow with a loop."""
EVERY_MAX_S: Final = 366 * 24 * 3600.0
JITTER_MAX_S: Final = 24 * 3600.0
CRON_CHARS_MAX: Final = 120
UTC_MS_MAX: Final = 7_258_118_400_000
"""The year 2200: a time behind it is a mistake of units."""
_FIELDS: Final = 5
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ScheduleError(UserError):
    """Nothing can happen by this schedule; the message says why."""

    code = "bad_schedule"


class Schedule(Message, frozen=True, kw_only=True):
    """When: by a cron expression, or every so many seconds."""

    cron: str = ""
    """Minute, hour, day of month, month, day of week: ``0 3 * * *``. Empty = `every_s`."""
    every_s: float | None = None
    """Counted from `starts_at_ms`, whatever clocks on walls do."""
    zone: str = "UTC"
    """IANA name of the time zone in which cron is read: ``Asia/Seoul``."""
    jitter_s: float = 0.0
    """Each time is put off by up to so much, the same for the same time: not all begin in one second."""
    starts_at_ms: Annotated[int, Meta(ge=0, le=UTC_MS_MAX)] | None = None
    """Nothing before; None = from when it was made."""
    ends_at_ms: Annotated[int, Meta(ge=0, le=UTC_MS_MAX)] | None = None
    """Nothing after."""


def check_schedule(schedule: Schedule, now_ms: int) -> None:
    """Raise ScheduleError when it is wrong, or has no time after now."""
    if bool(schedule.cron) == (schedule.every_s is not None):
        raise ScheduleError("a schedule has either a cron expression or an interval: give one of the two")
    if not 0 <= schedule.jitter_s <= JITTER_MAX_S:
        raise ScheduleError(f"a jitter of {schedule.jitter_s:g} s can not be: give 0 s to a day")
    zone_of(schedule.zone)
    if schedule.every_s is not None:
        if not EVERY_MIN_S <= schedule.every_s <= EVERY_MAX_S:
            raise ScheduleError(f"every {schedule.every_s:g} s can not be: give a minute to a year")
    else:
        _check_cron(schedule.cron)
    first_ms = next_time_ms(schedule, now_ms)
    if first_ms is None:
        end = " before its end" if schedule.ends_at_ms is not None else ""
        raise ScheduleError(f"the schedule never comes{end}: {words(schedule)} has no time from now on")
    second_ms = next_time_ms(schedule, first_ms)
    if second_ms is not None and schedule.jitter_s * 1000 >= second_ms - first_ms:
        raise ScheduleError("the jitter is not shorter than the pause between two times: give a shorter one")


def next_time_ms(schedule: Schedule, after_ms: int) -> int | None:
    """Return its first time later than ``after_ms``, without the jitter; None when there is none any more.

    `starts_at_ms` must be given where there is an interval, else it is counted from 1970. Raises ScheduleError
    where cron or the time zone is not known on this host.
    """
    starts_at_ms = schedule.starts_at_ms or 0
    after_ms = max(after_ms, starts_at_ms - 1)
    if schedule.every_s is not None:
        every_ms = round(schedule.every_s * 1000)
        found: int | None = starts_at_ms + ((after_ms - starts_at_ms) // every_ms + 1) * every_ms
    else:
        found = _next_cron_ms(schedule.cron, zone_of(schedule.zone), after_ms)
    if found is None or found > UTC_MS_MAX:
        return None
    return None if schedule.ends_at_ms is not None and found > schedule.ends_at_ms else found


def due_ms(schedule: Schedule, key: str, time_ms: int) -> int:
    """Return when a time of the schedule of ``key`` is due: it, and its share of the jitter."""
    jitter_ms = round(schedule.jitter_s * 1000)
    if not jitter_ms:
        return time_ms
    drawn = hashlib.sha256(f"{key}\0{time_ms}".encode()).digest()
    return time_ms + int.from_bytes(drawn[:8], "big") % (jitter_ms + 1)


def words(schedule: Schedule) -> str:
    """Return it as a person says it: ``0 3 * * * Asia/Seoul``, ``every 1 h 30 min``."""
    said = f"{schedule.cron} {schedule.zone}" if schedule.every_s is None else f"every {_span(schedule.every_s)}"
    return f"{said}, up to {_span(schedule.jitter_s)} later" if schedule.jitter_s else said


def _span(seconds: float) -> str:
    minutes, rest_s = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = ((f"{hours}", "h"), (f"{minutes}", "min"), (f"{rest_s:g}", "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count != "0")


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name; raises ScheduleError naming what is near."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        zones = available_timezones()
    if not zones:
        raise ScheduleError("this host knows no time zones: install tzdata, or doai with [schedules]")
    lower = {zone.lower(): zone for zone in zones}
    near = difflib.get_close_matches(name[:100].lower(), lower, n=1, cutoff=0.5)
    hint = f"did you mean {lower[near[0]]!r}?" if near else "write one such as 'Asia/Seoul'"
    raise ScheduleError(f"there is no time zone {name[:60]!r}: {hint}")


def _check_cron(expression: str) -> None:
    fields = expression.split()
    if len(expression) > CRON_CHARS_MAX or not expression.isascii() or len(fields) != _FIELDS:
        raise ScheduleError(
            f"{expression[:60]!r} is no cron expression: write minute, hour, day of month, month and day of week, "
            "such as '0 3 * * *'"
        )
    problem = _problem(expression)
    if not problem:
        return
    months = " ".join([*fields[:3], "*", fields[4]])
    if problem == "Bad day-of-month" and not _problem(months):
        raise ScheduleError(f"the cron expression {expression!r} never comes: none of its months has such a day")
    wrong = problem.removeprefix("Bad ").replace("-", " ")
    raise ScheduleError(f"the cron expression {expression!r} has a wrong {wrong}: write '0 3 * * *' for 03:00")


def _problem(expression: str) -> str:
    parse = _cronsim()
    from cronsim import CronSimError

    try:
        parse(expression, _EPOCH)
    except CronSimError as error:
        return str(error)
    except (ValueError, TypeError, AssertionError):
        return "Bad field"  # what its parser does not expect either, such as a step of a last weekday
    return ""


def _next_cron_ms(expression: str, zone: ZoneInfo, after_ms: int) -> int | None:
    begin = (_EPOCH + timedelta(milliseconds=after_ms)).astimezone(zone)
    try:
        for found in _cronsim()(expression, begin):
            found_ms = round((found - _EPOCH).total_seconds() * 1000)
            # In the hour that exists twice it begins with the first one, which may be over.
            if found_ms > after_ms:
                return found_ms
    except OverflowError:
        return None  # behind the year 9999
    return None


def _cronsim() -> type[CronSim]:
    try:
        from cronsim import CronSim  # here, because intervals work without it
    except ImportError:
        raise ScheduleError("this host knows no cron: install doai with [schedules], or give an interval") from None
    return CronSim
