"""Results of a run as reports get them: one task passed, one failed, one cancelled, one that went nowhere."""

from __future__ import annotations

from typing import Any

from doai.report.results import (
    Artifact,
    Failure,
    PlannedStep,
    Results,
    Run,
    StepTry,
    StoryLine,
    Task,
)

AT_MS = 1_763_712_000_000
PLAN = (
    PlannedStep(step_id="open", use="app.launch", label={"en": "Open", "ko": "열기"}, section="steps"),
    PlannedStep(step_id="see", use="ui.assert_visible", label={}, section="steps"),
    PlannedStep(step_id="always-1", use="app.stop", label={}, section="always"),
)
NOT_SEEN = Failure(error_class="app", code="not_visible", message="no element 'Log in' after 10 s", step="see")


def task(serial: str | None, state: str = "passed", **more: Any) -> Task:
    fields: dict[str, Any] = {
        "task_id": f"T-{serial}",
        "device_serial": serial,
        "node_id": "node-1",
        "state": state,
        "attempt": 1,
        "created_at_ms": AT_MS,
        "started_at_ms": AT_MS + 1_000,
        "ended_at_ms": AT_MS + 3_500,
        "failure": None,
        "reason": "",
    }
    return Task(**fields | more)


def step(serial: str, step_id: str, state: str = "passed", **more: Any) -> StepTry:
    fields: dict[str, Any] = {
        "task_id": f"T-{serial}",
        "device_serial": serial,
        "attempt": 1,
        "token": "1.1",
        "step_id": step_id,
        "use": "ui.tap",
        "label": "",
        "try_number": 1,
        "state": state,
        "retried": False,
        "optional": False,
        "started_at_ms": AT_MS + 1_000,
        "ended_at_ms": AT_MS + 2_000,
        "duration_ms": 1_000,
        "failure": None,
        "outputs": {},
    }
    return StepTry(**fields | more)


def artifact(serial: str, name: str = "shot", **more: Any) -> Artifact:
    fields: dict[str, Any] = {
        "path": f"look/node-1/{serial}/R1/{name}.png",
        "url": f"http://127.0.0.1:1/api/v1/artifacts/look/node-1/{serial}/R1/{name}.png",
        "size_bytes": 100,
        "media_type": "image/png",
        "task_id": f"T-{serial}",
        "step_id": name,
    }
    return Artifact(**fields | more)


def results(
    *tasks: Task, outcome: str | None = "failed", params: dict[str, Any] | None = None, **more: Any
) -> Results:
    run = Run(
        run_id="R1",
        workflow="look",
        version=2,
        state="completed" if outcome else "active",
        outcome=outcome,
        counts={"passed": 1, "failed": 1},
        tasks=len(tasks),
        created_at_ms=AT_MS,
        ended_at_ms=AT_MS + 65_000 if outcome else None,
        queue="default",
        params=params or {},
        actor="user/ann",
    )
    fields: dict[str, Any] = {"url": "http://127.0.0.1:1/api/v1/runs/R1", "tasks": tasks, "steps": (), "plan": PLAN}
    return Results(**fields | {"run": run} | more)


MIXED = results(
    task("A1"),
    task("A2", "failed", failure=NOT_SEEN),
    task("A3", "cancelled", reason="enough"),
    task("A4", "failed", failure=Failure(error_class="device", code="offline", message="device A4 went away")),
    task("A5", "expired", reason="it did not begin within 5 s"),
    steps=(
        step("A1", "open"),
        step("A1", "see"),
        step("A2", "open", label="Open"),
        step("A2", "see", "failed", failure=NOT_SEEN, retried=True),
        step("A2", "see", "failed", failure=NOT_SEEN, try_number=2),
        step("A2", "extra", "skipped", use=None),
        step("A4", "open", "started", duration_ms=None, ended_at_ms=None),
    ),
    artifacts=(artifact("A1"), artifact("A2")),
    params={"name": "민지", "seconds": 20},
    title={"en": "Look around", "ko": "둘러보기"},
    story=(StoryLine(at="2025-11-21T08:00:00.123Z", text="Run made"),),
)
