"""`doai backup|backups`: copies of the broker's store, made by the admin (step 13)."""

from __future__ import annotations

import argparse

from doai.cli import exits, show
from doai.cli.client import Client

WAIT_S = 3600.0
"""For a copy of a large store beside the load, or for reading one."""


def backup(client: Client, options: argparse.Namespace) -> int:
    """`doai backup`: make one; it was opened and checked when this returns."""
    made = client.post("/backups", timeout_s=WAIT_S)
    if options.json:
        show.print_json({**made, "url": client.url("/backups")})
        return exits.PASSED
    print(
        f"backup {made['name']}: {show.many(made['tasks'], 'task')} ({made['openTasks']} open), up to event "
        f"{made['lastPosition']}, {made['sizeBytes']:,} bytes; opened and checked"
    )
    print(f"  on the admin's host: {made['folder']}")
    print(
        f"  the files of {show.many(made['artifacts'], 'artifact')} are not in it: artifacts.jsonl lists them\n"
        f"  it holds the broker's private key: keep it as private as the broker's data folder\n"
        f"  doai restore {made['folder']} --to DIR puts it in place\n{client.url('/backups')}"
    )
    return exits.PASSED


def backups(client: Client, options: argparse.Namespace) -> int:
    """`doai backups [NAME]`: all of them, or one read wholly."""
    if options.name:
        found = [client.post(f"/backups/{options.name}/check", timeout_s=WAIT_S)]
    else:
        found = list(client.items("/backups"))
    if options.json:
        show.print_json(found[0] if options.name else found)
        return exits.PASSED
    rows = (
        (b["name"], show.recently(b["createdAtMs"]), b["sizeBytes"], b["tasks"], b["openTasks"], b["folder"])
        for b in found
    )
    show.print_table(("backup", "made", "bytes", "tasks", "open", "folder"), rows, empty="No backups.")
    if options.name:
        print(f"{options.name} is whole: every byte was read, and its store opened")
    print(client.url("/backups"))
    return exits.PASSED
