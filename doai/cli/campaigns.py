"""`doai campaigns`: runs that are made again and again by a schedule (steps 1 and 14)."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

import msgspec

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.runs import run_command
from doai.errors import UserError
from doai.messages.campaigns import CATCH_UP_TIMES, CampaignPlan, CatchUp, Overlap
from doai.schedule import Schedule, zone_of
from doai.workflow.duration import parse_duration


def listing(client: Client, options: argparse.Namespace) -> int:
    """`doai campaigns list`."""
    query = {"state": options.state, "project": options.project}
    found = list(client.items("/campaigns", **query))
    if options.json:
        show.print_json([{**item, "url": client.url(f"/campaigns/{item['name']}")} for item in found])
        return exits.PASSED
    rows = (
        (
            item["name"],
            item["state"],
            item["run"]["workflow"],
            item["when"],
            show.recently(item["nextAtMs"]),
            _progress(item["current"]),
            _last(item["newest"]),
            item["runs"],
            item["project"],
            item["reason"],
        )
        for item in found
    )
    headings = ("campaign", "state", "workflow", "when", "next", "now", "last", "runs", "project", show.WHY)
    show.print_table(headings, rows, empty="No campaigns: doai campaigns add ...")
    print(client.url("/campaigns", **query))
    return exits.PASSED


def show_one(client: Client, options: argparse.Namespace) -> int:
    """`doai campaigns show NAME`: its plan, its progress and its history."""
    path = f"/campaigns/{options.name}"
    found = client.get(path)
    times = client.first(options.limit, f"{path}/times")
    if options.json:
        show.print_json({**found, "times": times, "url": client.url(path)})
        return exits.PASSED
    current = found.pop("current")
    newest = found.pop("newest")
    show.print_fields({**found, "now": _progress(current), "last": _last(newest)})
    rows = (
        (
            _times(item),
            item["state"],
            item["cameOf"],
            item["runId"],
            item["by"] or "its schedule",
            item["reason"],
        )
        for item in times
    )
    print()
    headings = ("time", "came of it", "run is", "run", "by", show.WHY)
    show.print_table(headings, rows, empty="Nothing has come of it yet.")
    print(client.url(path))
    return exits.PASSED


def add(client: Client, options: argparse.Namespace) -> int:
    """`doai campaigns add NAME WORKFLOW`."""
    catch_up, catch_up_max = _catch_up(options.catch_up)
    plan = CampaignPlan(
        run=run_command(client, options),
        schedule=_schedule(options),
        project=options.project,
        overlap=Overlap(options.overlap),
        catch_up=catch_up,
        catch_up_max=catch_up_max,
        runs_max=options.runs_max,
    )
    body = {"name": options.name, "plan": msgspec.to_builtins(plan), "replace": options.replace}
    answer = client.post("/campaigns", body)
    return _tell(client, options, answer, f"campaign {answer['name']} is {answer['state']}")


def next_times(client: Client, options: argparse.Namespace) -> int:
    """`doai campaigns next`: of a campaign, or of a schedule before anything has it."""
    if options.name and (options.cron or options.every):
        raise UserError("next takes either the name of a campaign or a schedule: leave one out")
    if options.name:
        found = client.get(f"/campaigns/{options.name}/next", count=options.count)
    else:
        wish = {"schedule": msgspec.to_builtins(_schedule(options)), "count": options.count}
        found = client.post("/schedules/preview", wish)
    if options.json:
        show.print_json(found)
        return exits.PASSED
    rows = (
        (
            _clock(item["local"]),
            _clock(item["utc"]) if found["zone"] != "UTC" else None,
            show.when(item["atMs"]),
            show.when(item["dueAtMs"]) if item["dueAtMs"] not in (None, item["atMs"]) else None,
        )
        for item in found["items"]
    )
    print(found["when"])
    headings = (found["zone"], "UTC", "here", "begins here")
    show.print_table(headings, rows, empty="No time of it follows.")
    return exits.PASSED


def pause(client: Client, options: argparse.Namespace) -> int:
    """`doai campaigns pause NAME`."""
    answer = client.post(f"/campaigns/{options.name}/pause", {"reason": options.why})
    return _tell(client, options, answer, f"campaign {options.name} is paused: its times pass by")


def resume(client: Client, options: argparse.Namespace) -> int:
    """`doai campaigns resume NAME`."""
    answer = client.post(f"/campaigns/{options.name}/resume", {"reason": options.why})
    return _tell(client, options, answer, f"campaign {options.name} is {answer['state']}")


def fire(client: Client, options: argparse.Namespace) -> int:
    """`doai campaigns fire NAME`: a run of it now."""
    answer = client.post(f"/campaigns/{options.name}/fire")
    run_id = answer.get("runId")
    if options.json:
        show.print_json({**answer, "url": client.url(f"/runs/{run_id}" if run_id else "/campaigns")})
    elif run_id:
        print(f"run {run_id} of campaign {options.name}: {client.url(f'/runs/{run_id}')}")
    else:
        print(f"its run is made when the one before has ended: {client.url(f'/campaigns/{options.name}')}")
    return exits.PASSED


def remove(client: Client, options: argparse.Namespace) -> int:
    """`doai campaigns remove NAME`."""
    answer = client.request("DELETE", f"/campaigns/{options.name}").json()
    if options.json:
        show.print_json({**answer, "url": client.url("/campaigns")})
    else:
        print(f"campaign {options.name} is removed with its history, its runs stay: {client.url('/campaigns')}")
    return exits.PASSED


def _tell(client: Client, options: argparse.Namespace, answer: dict[str, Any], sentence: str) -> int:
    url = client.url(f"/campaigns/{answer['name']}")
    if options.json:
        show.print_json({**answer, "url": url})
        return exits.PASSED
    following = f", next {show.when(answer['nextAtMs'])}" if answer.get("nextAtMs") is not None else ""
    print(f"{sentence}{following}: {url}")
    return exits.PASSED


def _schedule(options: argparse.Namespace) -> Schedule:
    if not (options.cron or options.every):
        raise UserError("when? give --cron such as '0 3 * * *', or --every such as 15m")
    zone = options.zone
    return Schedule(
        cron=options.cron or "",
        every_s=parse_duration(options.every) if options.every else None,
        zone=zone,
        jitter_s=parse_duration(options.jitter) if options.jitter else 0.0,
        starts_at_ms=_moment("--from", options.begin, zone),
        ends_at_ms=_moment("--until", options.until, zone),
    )


def _moment(flag: str, text: str | None, zone: str) -> int | None:
    """Return a date and time as people write it, read in the zone unless it names an offset."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"{flag} {text!r} is no date and time: write such as 2026-12-24T18:00") from None
    return round((at if at.tzinfo is not None else at.replace(tzinfo=zone_of(zone))).timestamp() * 1000)


def _catch_up(text: str) -> tuple[CatchUp, int]:
    kind, colon, count = text.partition(":")
    if kind not in [policy.value for policy in CatchUp] or (colon and (kind != "all" or not count.isdecimal())):
        raise UserError(f"--catch-up {text!r} can not be: write none, latest, all, or all:N for N at most")
    return CatchUp(kind), int(count) if colon else CATCH_UP_TIMES


def _progress(current: dict[str, Any] | None) -> str | None:
    if current is None:
        return None
    open_states = ("queued", "delayed", "dispatched", "running", "unproven", "cancelling")
    ended = current["tasks"] - sum(current["counts"].get(state, 0) for state in open_states)
    return f"{ended} of {show.many(current['tasks'], 'task')}: {show.counts(current['counts'])}"


def _last(newest: dict[str, Any] | None) -> str | None:
    if newest is None:
        return None
    return f"{show.recently(newest['fireAtMs'])} {newest['cameOf'] or newest['state']}"


def _times(item: dict[str, Any]) -> str:
    first = show.when(item["fireAtMs"])
    return first if item["lastAtMs"] is None else f"{item['times']} times, {first} to {show.when(item['lastAtMs'])}"


def _clock(iso: str) -> str:
    at = datetime.fromisoformat(iso)
    return at.strftime("%a %Y-%m-%d %H:%M:%S" if at.tzinfo is UTC else "%a %Y-%m-%d %H:%M:%S %z")
