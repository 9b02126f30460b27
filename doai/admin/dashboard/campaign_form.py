"""The form of a campaign: what its fields mean, and beside which of them a mistake is said (step 1)."""

from __future__ import annotations

from datetime import datetime
from typing import Final, TypeVar

from doai.admin.dashboard.run_form import FieldMistake
from doai.errors import UserError
from doai.messages.campaigns import CATCH_UP_TIMES, CampaignPlan, CatchUp, Overlap
from doai.messages.commands import CreateRun
from doai.schedule import UTC_MS_MAX, Schedule, ScheduleError, check_schedule, zone_of
from doai.workflow.duration import DurationError, parse_duration

PLACES: Final = {
    "bad_schedule": "when",
    "bad_name": "name",
    "campaign_exists": "name",
    "workflow_not_found": "workflow",
}
"""Code of a refusal -> the field that it is about."""
_DIGITS_MAX: Final = 9


def plan_of_form(run: CreateRun, fields: dict[str, str], now_ms: int) -> CampaignPlan:
    """Return what a form asks for; raises FieldMistake."""
    catch_up = _choice(CatchUp, fields, "catch_up", CatchUp.LATEST)
    times = _count(fields, "catch_up_max")
    return CampaignPlan(
        run=run,
        schedule=schedule_of_form(fields, now_ms),
        project=fields.get("project", "").strip(),
        overlap=_choice(Overlap, fields, "overlap", Overlap.SKIP),
        catch_up=catch_up,
        catch_up_max=times if times is not None and catch_up is CatchUp.ALL else CATCH_UP_TIMES,
        runs_max=_count(fields, "runs_max"),
    )


def schedule_of_form(fields: dict[str, str], now_ms: int) -> Schedule:
    """Return when, by the fields of a form; raises FieldMistake also for what never comes."""
    zone = fields.get("zone", "").strip() or "UTC"
    try:
        zone_of(zone)
    except ScheduleError as error:
        raise FieldMistake("zone", str(error)) from None
    is_interval = fields.get("when") == "every"
    if is_interval and not fields.get("every", "").strip():
        raise FieldMistake("when", "every so often: write such as 15m or 6h")
    schedule = Schedule(
        cron="" if is_interval else " ".join(fields.get("cron", "").split()),
        every_s=_span(fields, "every", "when") if is_interval else None,
        zone=zone,
        jitter_s=_span(fields, "jitter", "jitter") or 0.0,
        starts_at_ms=_moment(fields, "begin", zone),
        ends_at_ms=_moment(fields, "until", zone),
    )
    if not is_interval and not schedule.cron:
        raise FieldMistake("when", "minute, hour, day of month, month and day of week: write such as '0 3 * * *'")
    try:
        check_schedule(schedule, now_ms)
    except ScheduleError as error:
        raise FieldMistake("when", str(error)) from None
    return schedule


_Kind = TypeVar("_Kind", CatchUp, Overlap)


def _choice(kind: type[_Kind], fields: dict[str, str], name: str, otherwise: _Kind) -> _Kind:
    text = fields.get(name) or otherwise.value
    try:
        return kind(text)
    except ValueError:
        raise FieldMistake(name, f"{text[:40]!r} is not one of {', '.join(each.value for each in kind)}") from None


def _count(fields: dict[str, str], name: str) -> int | None:
    text = fields.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX and int(text)):
        raise FieldMistake(name, f"{text[:20]!r} is no number of 1 and more")
    return int(text)


def _span(fields: dict[str, str], name: str, place: str) -> float | None:
    text = fields.get(name, "").strip()
    if not text:
        return None
    try:
        return parse_duration(text)
    except DurationError as error:
        raise FieldMistake(place, str(error)) from None


def _moment(fields: dict[str, str], name: str, zone: str) -> int | None:
    """Return a date and time as a browser sends it, read in the zone of the schedule."""
    text = fields.get(name, "").strip()
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        at_ms = round((at if at.tzinfo is not None else at.replace(tzinfo=zone_of(zone))).timestamp() * 1000)
    except (ValueError, OverflowError, UserError):
        raise FieldMistake(name, f"{text[:40]!r} is no date and time: write such as 2026-12-24T18:00") from None
    if not 0 <= at_ms <= UTC_MS_MAX:
        raise FieldMistake(name, f"{text[:40]!r} is not before the year 2200 and after 1970")
    return at_ms
