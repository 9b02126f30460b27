"""Campaigns as the API shows them (step 14)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from doai.admin.views import View
from doai.messages.campaigns import CampaignPlan
from doai.schedule import Schedule, ScheduleError, check_schedule, due_ms, next_time_ms, words, zone_of
from doai.states import CampaignState
from doai.store.campaign_reader import CampaignView, FireView
from doai.store.views import RunView

_read_plan = msgspec.json.Decoder(CampaignPlan).decode


class FireJson(View, frozen=True, kw_only=True):
    """What came of a time of a campaign; of several that were missed in a row, as one."""

    fire_at_ms: int
    """By the schedule, without jitter."""
    state: str
    run_id: str | None
    came_of: str | None
    """Outcome of its run, or the state of one that is open."""
    reason: str
    by: str
    """Who did it by hand; empty = the schedule."""
    times: int
    last_at_ms: int | None
    """Of several the last."""
    recorded_at_ms: int


class FirePage(View, frozen=True, kw_only=True):
    """Newest first."""

    items: list[FireJson]
    next: str | None


class ProgressJson(View, frozen=True, kw_only=True):
    """The open run of a campaign; ``counts`` are its tasks by state."""

    run_id: str
    state: str
    tasks: int
    counts: dict[str, int]


class CampaignJson(View, frozen=True, kw_only=True):
    """A campaign."""

    name: str
    campaign_id: str
    project: str
    state: str
    reason: str
    """Why it is paused, or has ended."""
    when: str
    """Its schedule in words."""
    schedule: dict[str, Any]
    run: dict[str, Any]
    """What is run, as it is asked for with POST /runs."""
    overlap: str
    catch_up: str
    catch_up_max: int
    runs: int
    """Made so far."""
    runs_max: int | None
    next_at_ms: int | None
    """Without jitter; null = nothing follows now."""
    waiting: int
    """Times whose run is made when the open one has ended."""
    current: ProgressJson | None
    newest: FireJson | None
    created_at_ms: int
    created_by: str
    changed_at_ms: int
    changed_by: str


class CampaignPage(View, frozen=True, kw_only=True):
    """By name."""

    items: list[CampaignJson]
    next: str | None


class TimeJson(View, frozen=True, kw_only=True):
    """A time that follows."""

    at_ms: int
    due_at_ms: int | None
    """With its jitter; null = not known before the campaign is made."""
    local: str
    """ISO 8601 in the zone of the schedule."""
    utc: str


class TimesJson(View, frozen=True, kw_only=True):
    """The next times of a schedule."""

    when: str
    zone: str
    items: list[TimeJson]


def plan_of(view: CampaignView) -> CampaignPlan:
    """Return the plan of a campaign."""
    return _read_plan(view.row.plan_body)


def fire_json(view: FireView) -> FireJson:
    """Return a time as the API shows it."""
    row = view.row
    return FireJson(
        fire_at_ms=row.fire_at_ms,
        state=row.state.value,
        run_id=row.run_id,
        came_of=view.came_of,
        reason=row.reason,
        by=row.actor,
        times=row.times,
        last_at_ms=row.last_at_ms,
        recorded_at_ms=row.recorded_at_ms,
    )


def campaign_json(view: CampaignView, current: RunView | None) -> CampaignJson:
    """Return a campaign as the API shows it; ``current`` is its open run."""
    row, plan = view.row, plan_of(view)
    progress = None
    if current is not None:
        progress = ProgressJson(
            run_id=current.row.run_id,
            state=current.row.state.value,
            tasks=current.row.tasks,
            counts=current.counts,
        )
    return CampaignJson(
        name=row.name,
        campaign_id=row.campaign_id,
        project=plan.project,
        state=row.state.value,
        reason=row.reason,
        when=words(plan.schedule),
        schedule=msgspec.to_builtins(plan.schedule),
        run=msgspec.to_builtins(plan.run),
        overlap=plan.overlap.value,
        catch_up=plan.catch_up.value,
        catch_up_max=plan.catch_up_max,
        runs=row.runs,
        runs_max=plan.runs_max,
        next_at_ms=_next_ms(view, plan.schedule),
        waiting=sum(fire.came_of is None for fire in view.going_on),
        current=progress,
        newest=fire_json(view.newest) if view.newest is not None else None,
        created_at_ms=row.created_at_ms,
        created_by=row.created_by,
        changed_at_ms=row.changed_at_ms,
        changed_by=row.changed_by,
    )


def times_json(schedule: Schedule, after_ms: int, count: int, key: str | None) -> TimesJson:
    """Return the times that follow; ``key`` is the campaign's id, for its jitter. Raises ScheduleError."""
    zone = zone_of(schedule.zone)
    items: list[TimeJson] = []
    at_ms = next_time_ms(schedule, after_ms)
    while at_ms is not None and len(items) < count:
        utc = datetime.fromtimestamp(at_ms / 1000, UTC)
        due = due_ms(schedule, key, at_ms) if key is not None else None
        local = utc.astimezone(zone).isoformat(timespec="seconds")
        items.append(TimeJson(at_ms=at_ms, due_at_ms=due, local=local, utc=utc.isoformat(timespec="seconds")))
        at_ms = next_time_ms(schedule, at_ms)
    return TimesJson(when=words(schedule), zone=schedule.zone, items=items)


def preview_json(schedule: Schedule, now_ms: int, count: int) -> TimesJson:
    """Return the next times of a schedule that nothing has yet; raises ScheduleError when it never comes."""
    if schedule.starts_at_ms is None:
        schedule = msgspec.structs.replace(schedule, starts_at_ms=now_ms)
    check_schedule(schedule, now_ms)
    return times_json(schedule, now_ms, count, None)


def _next_ms(view: CampaignView, schedule: Schedule) -> int | None:
    if view.row.state is not CampaignState.ACTIVE:
        return None
    try:
        return next_time_ms(schedule, view.row.decided_to_ms)
    except ScheduleError:
        return None  # this host knows no cron: the broker's may
