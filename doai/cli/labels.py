"""`doai devices set|export|import` and `doai identify`: which phone is this? (step 1)"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from doai.cli import exits, show
from doai.cli.client import ApiError, Client
from doai.cli.waiting import wait_for_run
from doai.errors import UserError
from doai.workflow.duration import parse_duration

TEXTS: Final = ("label", "shelf", "notes")
LISTS: Final = ("tags", "groups")
INFORMATIVE: Final = ("node", "usb_path", "model")
"""Written so that a person knows the row; not read."""
COLUMNS: Final = ("serial", *TEXTS, *LISTS, *INFORMATIVE)
CHUNK: Final = 100
"""Devices in one request: with the longest notes that still crosses the mesh as one command."""


class Row(msgspec.Struct, frozen=True):
    """One line of a file: its number, and what it says."""

    line: int
    said: dict[str, Any]


class ImportRefused(UserError):
    """A file was not taken; ``details`` has a sentence for every mistake, with its line."""

    code = "bad_import"
    exit_code = exits.NOT_PASSED

    def __init__(self, message: str, details: list[str]) -> None:
        super().__init__(message)
        self.details = details


def device_set(client: Client, options: argparse.Namespace) -> int:
    """`doai devices set SERIAL`."""
    path = f"/devices/{options.serial}"
    said: dict[str, Any] = {name: getattr(options, name) for name in TEXTS}
    before = client.get(path)["description"]
    for name, more, less in (("tags", options.tag, options.untag), ("groups", options.group, options.ungroup)):
        if more or less:
            said[name] = [each for each in dict.fromkeys([*before[name], *more]) if each not in less]
    if all(value is None for value in said.values()):
        raise UserError("nothing is said: give --label, --shelf, --notes, --tag, --untag, --group or --ungroup")
    answer = client.request("PATCH", path, json_body=said).json()
    if options.json:
        show.print_json({**answer, "url": client.url(path)})
    else:
        print(
            f"{options.serial} {'is described anew' if answer['changed'] else 'is as it was'}: {client.url(path)}"
        )
    return exits.PASSED


def device_export(client: Client, options: argparse.Namespace) -> int:
    """`doai devices export`."""
    text = to_csv(client.items("/devices", limit=500))
    if options.file == "-":
        sys.stdout.write(text)
        return exits.PASSED
    try:
        # The mark at the start makes Excel read it as UTF-8.
        Path(options.file).write_text(text, encoding="utf-8-sig", newline="")
    except OSError as error:
        raise UserError(f"cannot write {options.file}: {error.strerror}") from None
    return exits.PASSED


def device_import(client: Client, options: argparse.Namespace) -> int:
    """`doai devices import FILE`: every line is checked first, by the broker too."""
    try:
        text = Path(options.file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text: save it as CSV UTF-8"
        raise UserError(f"cannot read {options.file}: {reason}") from None
    rows = from_csv(text, options.file)
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    changed, mistakes = 0, []
    for chunk in chunks:
        try:
            changed += _send(client, chunk, check_only=True)
        except ApiError as error:
            if not error.details:
                raise
            mistakes += _with_lines(error.details, chunk, options.file)
    if mistakes:
        raise ImportRefused(f"{options.file} is not imported, nothing was changed:", mistakes)
    if not options.dry_run:
        changed = sum(_send(client, chunk, check_only=False) for chunk in chunks)
    if options.json:
        show.print_json({"described": len(rows), "changed": changed, "dryRun": options.dry_run})
    else:
        what = "would change (dry run)" if options.dry_run else "changed"
        print(f"{show.many(len(rows), 'device')} in {options.file}, {changed} {what}: {client.url('/devices')}")
    return exits.PASSED


def _send(client: Client, rows: Sequence[Row], *, check_only: bool) -> int:
    body = {"devices": [row.said for row in rows], "checkOnly": check_only}
    return int(client.post("/devices/descriptions", body)["changed"])


def _with_lines(details: Sequence[str], rows: Sequence[Row], name: str) -> list[str]:
    # Each sentence begins with its device's serial.
    lines = {row.said["serial"][:80]: row.line for row in rows}
    return [f"{name}:{lines.get(detail.partition(': ')[0], rows[0].line)}: {detail}" for detail in details]


def to_csv(devices: Iterator[Mapping[str, Any]]) -> str:
    """Return a file with a line a device; tags and groups are separated by spaces."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for device in devices:
        said = device["description"]
        writer.writerow(
            [
                device["serial"],
                *(said[name] for name in TEXTS),
                *(" ".join(said[name]) for name in LISTS),
                *(device[name] for name in ("nodeId", "usbPath", "model")),
            ]
        )
    return out.getvalue()


def from_csv(text: str, name: str) -> list[Row]:
    """Read a file with a heading; raises ImportRefused with every mistake of its form.

    A column that is left out stays as it is, an empty cell takes away. Commas or, as some spreadsheets write,
    semicolons separate.
    """
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text), delimiter=";" if ";" in first and "," not in first else ",", strict=True)
    try:
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except csv.Error as error:
        raise ImportRefused(f"{name} is no CSV:", [f"{name}:{reader.line_num}: {error}"]) from None
    heading = lines[0][1] if lines else []
    unknown = [f"{name}:1: there is no column {column!r}" for column in heading if column not in COLUMNS]
    unknown += [f"{name}:1: column {column} is there twice" for column in COLUMNS if heading.count(column) > 1]
    if "serial" not in heading:
        unknown.append(f"{name}:1: the column serial is missing")
    if unknown:
        raise ImportRefused(f"{name}: its first line names columns, out of {', '.join(COLUMNS)}:", unknown)
    rows, mistakes, seen = [], [], dict[str, int]()
    for line, cells in lines[1:]:
        if len(cells) != len(heading):
            mistakes.append(f"{name}:{line}: it has {len(cells)} cells, the first line names {len(heading)}")
            continue
        found = dict(zip(heading, cells, strict=True))
        serial = found["serial"]
        if not serial:
            mistakes.append(f"{name}:{line}: the serial is missing")
        elif serial in seen:
            mistakes.append(f"{name}:{line}: {serial} is in line {seen[serial]} already")
        seen.setdefault(serial, line)
        said: dict[str, Any] = {column: found[column] for column in ("serial", *TEXTS) if column in found}
        rows.append(Row(line, said | {column: found[column].split() for column in LISTS if column in found}))
    if not rows and not mistakes:
        mistakes = [f"{name}:1: there is no device in it"]
    if mistakes:
        raise ImportRefused(f"{name} is not imported, nothing was changed:", mistakes)
    return rows


def identify(client: Client, options: argparse.Namespace) -> int:
    """`doai identify SERIAL`: a run of its own, so that nothing else has the phone meanwhile."""
    seconds = round(parse_duration(options.term))
    made = client.post(f"/devices/{options.serial}/identify", {"text": options.text or "", "seconds": seconds})
    run_id, text = made["runId"], made["text"]
    url = client.url(f"/runs/{run_id}")
    if not options.json:
        print(f"{options.serial} shows {text!r} for {show.duration(seconds)} (Ctrl-C ends it): {url}", flush=True)
    try:
        result = wait_for_run(client, run_id, lambda progress: None)
    except KeyboardInterrupt:
        client.post(f"/runs/{run_id}/cancel", {"reason": "the person who looked for it has seen it"})
        return exits.INTERRUPTED
    [task] = result.tasks
    shown = client.get(f"/tasks/{task['taskId']}")["outputs"].get("text_shown", False)
    if options.json:
        show.print_json({"runId": run_id, "state": task["state"], "text": text, "textShown": shown, "url": url})
    elif task["state"] != "passed":
        why = (task.get("failure") or {}).get("message") or task["reason"] or task["state"]
        print(f"doai: {options.serial} could not show itself: {why}", file=sys.stderr)
    elif not shown:
        print("Its screen was bright, without a text: its Android is older than 10.")
    return exits.PASSED if task["state"] == "passed" else exits.NOT_PASSED
