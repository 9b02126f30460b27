"""Flags of `doai devices` and `doai identify` (step 1)."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, Final

_ACTIONS: Final = {
    "campaigns": ("list", "show", "add", "next", "pause", "resume", "fire", "remove"),
    "devices": ("list", "samples", "set", "export", "import"),
    "nodes": ("list", "enroll", "rotate", "revoke", "enrolments"),
    "incidents": ("list", "acknowledge", "resolve"),
    "plays": ("list", "check"),
    "queues": ("list", "put", "pause", "resume", "drain", "discard", "clean", "retry-failed"),
}
"""Groups of which `list` need not be said."""


def add_devices(commands: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add `doai devices` and `doai identify`; ``add`` makes a command that talks to the API."""
    group = commands.add_parser("devices", help="List devices, show one, or say which one it is.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = add(
        actions, "list", "List devices, or show one with its last proofs (the default).", "fleet", "devices"
    )
    listing.add_argument("serial", nargs="?")
    listing.add_argument(
        "--state",
        choices=("online", "unresponsive", "unauthorized", "offline", "silent"),
        help="as it is known now; silent: its node is not heard",
    )
    listing.add_argument(
        "--unauthorized",
        action="store_true",
        help="those that wait for a person to press Allow, and where they are",
    )
    listing.add_argument("--node", metavar="NAME")
    listing.add_argument("--service", choices=("in_service", "quarantined", "probing", "held"))
    listing.add_argument("--group", metavar="NAME", help="that are in this group")
    listing.add_argument("--search", metavar="TEXT", help="part of serial, model, node, label, shelf, tag, group")
    how = add(
        actions,
        "samples",
        "Tell how a device was: battery, heat, memory, storage, processor.",
        "samples",
        "samples",
    )
    how.add_argument("serial")
    how.add_argument("--since", default="1h", metavar="TIME", help="from when on: 12h, 30d, 2026-11-01 (1h)")
    how.add_argument(
        "--step", metavar="TIME", help="10m, 1h ... (by the minute up to 36 hours, by the hour beyond)"
    )
    said = add(
        actions, "set", "Say what a device is called, where it lies, what it belongs to.", "labels", "device_set"
    )
    said.add_argument("serial")
    for name, text in (("label", "as people call it"), ("shelf", "where it lies"), ("notes", "what else to know")):
        said.add_argument(f"--{name}", metavar="TEXT", help=f"{text}; an empty text takes it away")
    for name in ("tag", "group"):
        said.add_argument(f"--{name}", action="append", default=[], metavar="NAME", help=f"give it this {name}")
        said.add_argument(f"--un{name}", action="append", default=[], metavar="NAME", help=f"take this {name} away")
    export = add(actions, "export", "Write what is said of all devices as CSV.", "labels", "device_export")
    export.add_argument(
        "file", nargs="?", default="-", help="file to write, readable by spreadsheets (default: stdout)"
    )
    taken = add(
        actions, "import", "Take what a CSV file says of devices: all of it or nothing.", "labels", "device_import"
    )
    taken.add_argument("file")
    taken.add_argument("--dry-run", action="store_true", help="check every line, change nothing")
    shows = add(commands, "identify", "Light the screen of a device, with its label on it.", "labels", "identify")
    shows.add_argument("serial")
    shows.add_argument("--for", dest="term", default="30s", metavar="TIME", help="how long (30s)")
    shows.add_argument("--text", help="what it shows (its label and shelf; else its serial)")


def with_default_action(words: Sequence[str]) -> list[str]:
    """`doai devices`, also with a serial or flags, is `doai devices list`; so for every group."""
    actions = _ACTIONS.get(words[0]) if words else None
    if actions is not None and (len(words) < 2 or words[1] not in ("-h", "--help", *actions)):
        return [words[0], "list", *words[1:]]
    return list(words)
