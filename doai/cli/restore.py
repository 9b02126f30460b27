"""`doai restore`: a backup in the place of a broker's store, while that broker is stopped (steps 4, 12)."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import msgspec

from doai.cli import exits
from doai.errors import DoaiError, StoreError, StoreUnavailable

_SHOWN = 5


def add_restore_flags(parser: argparse.ArgumentParser) -> None:
    """Add what `doai restore` can be told."""
    parser.description = (
        "Put a backup in the place of a broker's store. The broker must be stopped; the store that was there stays "
        "beside it. Nodes see that the broker lost its past, and tell it what they hold and what ended since."
    )
    parser.add_argument("backup", type=Path, help="folder that `doai backup` made")
    parser.add_argument(
        "--to",
        type=Path,
        required=True,
        metavar="DIR",
        help="data folder of the broker (with `doai up`: DIR/broker)",
    )
    parser.add_argument("--artifacts-dir", type=Path, metavar="DIR", help="folder of artifacts (TO/artifacts)")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


class RestoreFailed(DoaiError):
    """Nothing was changed."""

    code = "restore_failed"

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def restore(options: argparse.Namespace) -> int:
    """Restore and say what was done and what is missing."""
    from doai.cli import show
    from doai.ids import make_id
    from doai.store.restore import restore_store

    now_ms = time.time_ns() // 1_000_000
    artifacts_dir = options.artifacts_dir or options.to / "artifacts"
    new_store_id = make_id(now_ms, int.from_bytes(os.urandom(10)))
    try:
        done = restore_store(options.backup, options.to, artifacts_dir, new_store_id=new_store_id, now_ms=now_ms)
    except StoreUnavailable as error:
        raise RestoreFailed(str(error), exits.UNAVAILABLE) from error
    except StoreError as error:
        raise RestoreFailed(str(error), exits.IO_ERROR) from error
    if options.json:
        show.print_json(msgspec.to_builtins(done))
        return exits.PASSED
    manifest = done.manifest
    print(
        f"restored {show.many(manifest.tasks, 'task')} ({manifest.open_tasks} open), up to event "
        f"{manifest.last_position}, of {show.recently(manifest.created_at_ms)}; the store is now {done.store_id}"
    )
    if done.replaced:
        print(f"  the store that was there is now {done.replaced}")
    for name in done.keys_kept:
        print(f"  {options.to / 'keys' / name} is another one than in the backup, and stayed")
    if done.artifacts_missing:
        shown = ", ".join(done.artifacts_missing[:_SHOWN])
        more = ", ..." if len(done.artifacts_missing) > _SHOWN else ""
        print(
            f"  {len(done.artifacts_missing)} of {manifest.artifacts} artifacts have no file in {artifacts_dir}: "
            f"{shown}{more}"
        )
    print("  start the broker now")
    return exits.PASSED
