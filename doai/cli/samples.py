"""`doai devices samples`: how a device was, a minute or an hour at a time (step 14)."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.since import since_ms
from doai.errors import UserError
from doai.messages.samples import THERMAL_LEVELS
from doai.workflow.duration import parse_duration


def samples(client: Client, options: argparse.Namespace) -> int:
    """`doai devices samples SERIAL`."""
    path = f"/devices/{quote(options.serial, safe='')}/samples"
    step_s = None if options.step is None else parse_duration(options.step)
    if step_s is not None and step_s != round(step_s):
        raise UserError(f"a step of {options.step} can not be: whole minutes, from an hour on whole hours")
    query: dict[str, object] = {"from": since_ms(options.since), "step": None if step_s is None else round(step_s)}
    found = client.get(path, **query)
    if options.json:
        show.print_json(found)
        return exits.PASSED
    headings = ("time", "battery %", "C", "thermal", "cpu %", "memory free", "storage free", "samples", "silent")
    empty = "No samples of this time: a bot that wants them must run, such as health-bot, and the device be there."
    show.print_table(headings, [_row(point) for point in found["points"]], empty=empty)
    print(client.url(path, **query))
    return exits.PASSED


def _row(point: dict[str, Any]) -> tuple[object, ...]:
    thermal = point["thermalLevel"]
    return (
        show.when(point["atMs"]),
        _mean(point["batteryPercent"]),
        _range(point["batteryTempC"]),
        None if thermal is None else THERMAL_LEVELS[round(thermal["max"])],
        _mean(point["cpuPercent"]),
        _mean(point["memoryFreeMb"], " MB"),
        _mean(point["storageFreeMb"], " MB"),
        point["samples"],
        point["unanswered"] or None,
    )


def _mean(spread: dict[str, float] | None, unit: str = "") -> str | None:
    return None if spread is None else f"{spread['mean']:.0f}{unit}"


def _range(spread: dict[str, float] | None) -> str | None:
    if spread is None:
        return None
    low, high = f"{spread['min']:.1f}", f"{spread['max']:.1f}"
    return low if low == high else f"{low} to {high}"
