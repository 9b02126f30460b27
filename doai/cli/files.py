"""`doai artifacts list|get`: what tasks left, checked against its hash (step 14)."""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

from doai.cli import exits, show
from doai.cli.client import ApiError, Client
from doai.cli.whole_file import write_whole


def artifact_list(client: Client, options: argparse.Namespace) -> int:
    """`doai artifacts list`."""
    found = list(client.items("/artifacts", run_id=options.run, task_id=options.task, limit=500))
    if not found:
        client.check_known(runs=options.run, tasks=options.task)
    if options.json:
        show.print_json(found)
        return exits.PASSED
    rows = (
        (item["path"], item["sizeBytes"], item["deviceSerial"], show.recently(item["storedAtMs"])) for item in found
    )
    show.print_table(("artifact", "bytes", "device", "stored"), rows, empty="No artifacts.")
    print(client.url("/artifacts", run_id=options.run, task_id=options.task))
    return exits.PASSED


def artifact_get(client: Client, options: argparse.Namespace) -> int:
    """`doai artifacts get PATH|RUN`: one file, or all of a run, into a folder."""
    is_path = "/" in options.what
    paths = (
        [options.what] if is_path else [item["path"] for item in client.items("/artifacts", run_id=options.what)]
    )
    if not paths:
        client.get(f"/runs/{options.what}")  # says so when there is no such run
        raise ApiError(f"run {options.what} has no artifacts", exit_code=exits.NOT_PASSED)
    written = []
    for path in paths:
        response = client.request("GET", f"/artifacts/{path}")
        digest = hashlib.sha256(response.content).hexdigest()
        if response.headers.get("etag", "").strip('"') != digest:
            raise ApiError(f"{path} arrived damaged: try again", exit_code=exits.UNAVAILABLE)
        target = Path(options.out, Path(path).name if is_path else path)
        write_whole(target, response.content, otherwise="name another folder with --out")
        written.append({"file": str(target), "url": client.url(f"/artifacts/{path}")})
    if options.json:
        show.print_json(written)
    else:
        print("\n".join(found["file"] for found in written))
        print(f"{show.many(len(written), 'file')} of {options.what}", file=sys.stderr)
    return exits.PASSED
