"""Tasks for bots that come with doai: given, and waited for (step 1)."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from doai.cli.client import ApiError, Client
from doai.cli.runs import store_workflow
from doai.cli.waiting import OPEN_STATES, POLL_S
from doai.messages.commands import CreateRun, TargetKind, Targets

_WORKFLOWS: Final = Path(__file__).resolve().parents[2] / "workflows"


def store_recipes(client: Client, names: Sequence[str]) -> None:
    """Store shipped recipes that are not there; one that somebody has changed stays as it is."""
    for name in names:
        try:
            client.get(f"/workflows/{name}")
        except ApiError as error:
            if error.status != 404:
                raise
            store_workflow(client, _WORKFLOWS / f"{name}.yaml")


def ask_bot(client: Client, bot: str, kind: str, params: dict[str, Any], key: str | None = None) -> dict[str, Any]:
    """Make a run of one task on a kind of bots; return the task, and say when nobody takes it."""
    command = CreateRun(workflow="", targets=Targets(kind=TargetKind.BOT, bot=kind), params=params)
    headers = {"Idempotency-Key": key} if key else {}
    created = client.post("/runs", msgspec.to_builtins(command), headers=headers)
    [task_id] = created["taskIds"]
    task: dict[str, Any] = client.get(f"/tasks/{task_id}")
    if task["waitingBecause"]:
        print(f"doai: it waits: {task['waitingBecause']}; `bin/bot {bot}` takes it", file=sys.stderr)
    return task


def wait_for_task(client: Client, task_id: str, *, quiet: bool) -> dict[str, Any]:
    """Return a task when it has ended."""
    if not quiet:
        print(f"task {task_id}: {client.url(f'/tasks/{task_id}')}", file=sys.stderr, flush=True)
    while True:
        task: dict[str, Any] = client.get(f"/tasks/{task_id}")
        if task["state"] not in OPEN_STATES:
            return task
        time.sleep(POLL_S)
