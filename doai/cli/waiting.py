"""Waits for a run as `doai run --wait` does: its tasks, its end, its artifacts in their place (steps 1, 14)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from doai.artifact_path import BadArtifactPathError, parse_artifact_path
from doai.cli.client import Client

POLL_S: Final = 0.3
"""Between two looks: quicker than a person notices, and cheap for the admin."""
ARTIFACT_GRACE_S: Final = 60.0
"""How long to wait for uploads after the last task ended; an admin that is away fails no task."""
OPEN_STATES: Final = frozenset({"queued", "delayed", "dispatched", "running", "unproven", "cancelling"})


class Progress(msgspec.Struct, frozen=True):
    """A run as seen at one moment."""

    run: dict[str, Any]
    tasks: list[dict[str, Any]]

    @property
    def ended(self) -> int:
        """Tasks that have an outcome."""
        return sum(task["state"] not in OPEN_STATES for task in self.tasks)


class Result(msgspec.Struct, frozen=True):
    """A run that ended, with what it left."""

    run: dict[str, Any]
    tasks: list[dict[str, Any]]
    artifacts: dict[str, list[dict[str, Any]]]
    """By task id."""
    missing: list[str]
    """Paths of artifacts that tasks told of and that were not stored in time."""
    seconds: float


def look(client: Client, run_id: str) -> Progress:
    """Return how a run stands."""
    return Progress(client.get(f"/runs/{run_id}"), list(client.items("/tasks", run_id=run_id, limit=500)))


def wait_for_run(client: Client, run_id: str, on_progress: Callable[[Progress], None]) -> Result:
    """Return when the run has ended and its artifacts are stored; tells of each look."""
    begun = time.monotonic()
    while True:
        seen = look(client, run_id)
        on_progress(seen)
        if seen.run["state"] == "completed":
            break
        time.sleep(POLL_S)
    promised = _promised(client, run_id)
    deadline = time.monotonic() + ARTIFACT_GRACE_S
    while True:
        artifacts: dict[str, list[dict[str, Any]]] = {}
        for artifact in client.items("/artifacts", run_id=run_id, limit=500):
            artifacts.setdefault(artifact["taskId"], []).append(artifact)
        stored = {artifact["path"] for found in artifacts.values() for artifact in found}
        missing = sorted(promised - stored)
        if not missing or time.monotonic() > deadline:
            return Result(seen.run, seen.tasks, artifacts, missing, time.monotonic() - begun)
        time.sleep(POLL_S)


def _promised(client: Client, run_id: str) -> set[str]:
    """Paths that the run's upload steps handed over; the event log has them, and it does not change any more."""
    told = (
        event["payload"].get("outputs", {})
        for event in client.items(f"/story/{run_id}", type="step.completed", limit=1000)
    )
    return {
        outputs["path"] for outputs in told if "sha256" in outputs and _is_artifact(outputs.get("path", ""), run_id)
    }


def _is_artifact(path: object, run_id: str) -> bool:
    """Whether it is where an artifact of the run goes; other steps tell of paths too, such as those on a device."""
    try:
        return parse_artifact_path(str(path)).run_id == run_id
    except BadArtifactPathError:
        return False
