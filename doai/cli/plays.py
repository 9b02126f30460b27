"""`doai plays`: how videos played on devices, and the checks that let them play (steps 1 and 14)."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import msgspec

from doai.bots.playback.check import KIND, WORKFLOW
from doai.cli import exits, show
from doai.cli.bot_tasks import ask_bot, store_recipes, wait_for_task
from doai.cli.client import Client
from doai.cli.targets import parse_targets


def plays(client: Client, options: argparse.Namespace) -> int:
    """`doai plays`: rows, or added up."""
    query = {
        "check": options.check,
        "run_id": options.run,
        "device": options.device,
        "model": options.model,
        "url": options.video,
        "hours": options.hours,
    }
    if options.by:
        return _report(client, options.by, query, as_json=options.json)
    found = client.first(options.limit, "/plays", **query)
    if options.json:
        show.print_json(found)
        return exits.PASSED
    rows = (
        (
            show.recently(item["endedAtMs"]),
            item["device"],
            item["model"] or None,
            item["title"] or item["url"],
            item["outcome"],
            _milliseconds(item["startedMs"]),
            item["stalls"],
            _milliseconds(item["stalledMs"]),
            f"{item['widthPx']}x{item['heightPx']}" if item["widthPx"] else None,
            item["failure"] or item["screenshot"] or None,
        )
        for item in found
    )
    headings = (
        "ended",
        "device",
        "model",
        "video",
        "outcome",
        "started",
        "stalls",
        "stalled",
        "size",
        "why, or picture",
    )
    show.print_table(headings, rows, empty="No plays: `doai plays check --video URL --on all` makes some.")
    print(client.url("/plays", **query))
    return exits.PASSED


def _report(client: Client, by: str, query: dict[str, Any], *, as_json: bool) -> int:
    found = client.get("/plays/report", by=by, **query)
    if as_json:
        show.print_json(found)
        return exits.PASSED
    _print_report(found, by)
    if found["more"]:
        print(f"These are the newest {found['plays']} plays only: there are older ones.")
    print(client.url("/plays/report", by=by, **query))
    return exits.PASSED


def _print_report(found: dict[str, Any], by: str) -> None:
    rows = (
        (
            item["name"] or "(not known)",
            item["devices"],
            item["plays"],
            item["passed"],
            _milliseconds(item["startP50Ms"]),
            _milliseconds(item["startP95Ms"]),
            item["stalls"],
            None if item["stallsPerPlay"] is None else f"{item['stallsPerPlay']:.2f}",
            None if item["stalledShare"] is None else f"{item['stalledShare'] * 100:.1f} %",
        )
        for item in found["items"]
    )
    headings = (by, "devices", "plays", "passed", "start p50", "p95", "stalls", "a play", "stalled")
    show.print_table(headings, rows, empty="No plays: `doai plays check --video URL --on all` makes some.")


def _milliseconds(value: int | None) -> str | None:
    return None if value is None else f"{value / 1000:.2f} s"


def check(client: Client, options: argparse.Namespace) -> int:
    """`doai plays check`: give the playback-bot a task, and wait for it if wanted."""
    params = _params(options)
    store_recipes(client, [WORKFLOW])
    task = ask_bot(client, "playback-bot", KIND, params)
    check_id, run_id = task["taskId"], task["runId"]
    if not options.wait:
        if options.json:
            show.print_json({"check": check_id, "runId": run_id})
        else:
            print(f"check {check_id}: {client.url('/plays', check=check_id)}")
        return exits.PASSED
    try:
        task = wait_for_task(client, check_id, quiet=options.json)
    except KeyboardInterrupt:
        print(f"doai: no longer waiting, and the check goes on: `doai cancel {run_id}` ends it", file=sys.stderr)
        return exits.INTERRUPTED
    report = client.get("/plays/report", check=check_id, by="model")
    if options.json:
        show.print_json({"check": check_id, "state": task["state"], "outputs": task["outputs"], "report": report})
    else:
        if report["items"]:
            _print_report(report, "model")
        _say_end(task, check_id)
    good = task["state"] == "passed" and all(item["plays"] == item["passed"] for item in report["items"])
    return exits.PASSED if good else exits.NOT_PASSED


def _say_end(task: dict[str, Any], check_id: str) -> None:
    if task["state"] == "passed":
        outputs = task["outputs"] or {}
        print(f"check {check_id}: {outputs.get('passed')} of {outputs.get('plays')} plays passed")
    else:
        failure = task.get("failure") or {}
        said = failure.get("message") or task.get("reason") or "no reason is given"
        print(f"doai: check {check_id} {task['state']}: {said}", file=sys.stderr)


def _params(options: argparse.Namespace) -> dict[str, Any]:
    params: dict[str, Any] = {
        "videos": [{"url": url} for url in options.video],
        "targets": msgspec.to_builtins(parse_targets(options.on)),
        "watchSeconds": options.watch,
        "repeats": options.repeats,
        "startWithinSeconds": options.start_within,
        "queue": options.queue,
    }
    if options.stalls_max is not None:
        params["stallsMax"] = options.stalls_max
    if options.app:
        params["app"] = options.app
    return params
