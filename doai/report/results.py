"""A run with its tasks, steps and files, as the API tells it: what every form of a report is made from (step 14).

Fields that a newer API adds are left out; times are ms since 1970 (UTC).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

OPEN_STATES: Final = frozenset({"queued", "delayed", "dispatched", "running", "unproven", "cancelling"})
"""Of a task that has no outcome yet."""


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of what the API tells, in its camelCase."""


class Failure(Part, frozen=True, kw_only=True):
    """Why something did not pass."""

    error_class: str
    code: str
    message: str
    step: str | None = None


class Run(Part, frozen=True, kw_only=True):
    """The run."""

    run_id: str
    workflow: str
    version: int
    state: str
    outcome: str | None
    counts: dict[str, int]
    tasks: int
    created_at_ms: int
    ended_at_ms: int | None
    queue: str
    params: dict[str, Any]
    actor: str

    @property
    def title(self) -> str:
        """``name@version``."""
        return f"{self.workflow}@{self.version}"

    @property
    def took_s(self) -> float | None:
        """From its making to its end; None while it goes on."""
        return seconds_between(self.created_at_ms, self.ended_at_ms)


class Task(Part, frozen=True, kw_only=True):
    """The workflow on one target."""

    task_id: str
    device_serial: str | None
    node_id: str | None
    state: str
    attempt: int
    created_at_ms: int
    started_at_ms: int | None
    ended_at_ms: int | None
    failure: Failure | None
    reason: str

    @property
    def target(self) -> str:
        """The device; a task that was never bound to one has its id."""
        return self.device_serial or f"(any) {self.task_id}"

    @property
    def took_s(self) -> float | None:
        """From the begin of its last attempt to its end."""
        return seconds_between(self.started_at_ms, self.ended_at_ms)

    @property
    def why(self) -> str:
        """One sentence on why it did not pass; empty when it did."""
        if self.state == "passed":
            return ""
        return self.failure.message if self.failure is not None else self.reason


class StepTry(Part, frozen=True, kw_only=True):
    """One try of one step of one attempt; ``state`` is passed, failed, skipped or started."""

    task_id: str
    device_serial: str
    attempt: int | None
    step_id: str
    use: str | None
    label: str
    try_number: int
    state: str
    retried: bool
    optional: bool
    started_at_ms: int | None
    ended_at_ms: int | None
    duration_ms: int | None
    failure: Failure | None
    outputs: dict[str, Any]
    token: str

    @property
    def took_s(self) -> float | None:
        return None if self.duration_ms is None else self.duration_ms / 1000


class Artifact(Part, frozen=True, kw_only=True):
    """A stored file."""

    path: str
    url: str
    size_bytes: int
    media_type: str
    task_id: str
    step_id: str


class StoryLine(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence of the run's story."""

    at: str
    """ISO 8601, UTC."""
    text: str


class PlannedStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step as the workflow has it."""

    step_id: str
    use: str
    label: Mapping[str, str]
    """By language; ``en`` when there is any."""
    section: str
    """steps, on_failure or always."""


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a report tells."""

    url: str
    """Address of the run."""
    run: Run
    tasks: tuple[Task, ...]
    """By device."""
    steps: tuple[StepTry, ...]
    """In the order in which they began."""
    artifacts: tuple[Artifact, ...] = ()
    title: Mapping[str, str] = {}
    """Of the workflow, by language."""
    plan: tuple[PlannedStep, ...] = ()
    """In the order of the workflow; empty when it is not known."""
    story: tuple[StoryLine, ...] = ()
    story_left_out: int = 0
    """Lines of the story that are not in it."""


def plan_of(recipe: Mapping[str, Any]) -> tuple[PlannedStep, ...]:
    """Return the steps of a stored recipe; those inside of a loop behind it."""
    return tuple(
        step
        for section in ("steps", "on_failure", "always")
        for step in _planned(recipe.get(section) or [], section)
    )


def _planned(steps: Sequence[Mapping[str, Any]], section: str) -> Iterator[PlannedStep]:
    for step in steps:
        label = translations(step.get("label"))
        yield PlannedStep(step_id=str(step["id"]), use=str(step["use"]), label=label, section=section)
        yield from _planned(step.get("steps") or [], section)


def translations(text: object) -> dict[str, str]:
    """Return a text of a recipe by language: nothing, one text, or several."""
    if isinstance(text, str):
        return {"en": text}
    if isinstance(text, Mapping):
        return {str(language): str(said) for language, said in text.items() if said is not None}
    return {}


def last_tries(results: Results) -> dict[tuple[str, str], StepTry]:
    """Return by task and step the last try within each task's last attempt: what came of it in the end."""
    newest: dict[str, str] = {}
    for step in results.steps:
        newest[step.task_id] = step.token  # in the order of their begin: the last one wins
    return {(step.task_id, step.step_id): step for step in results.steps if newest[step.task_id] == step.token}


def seconds_between(begin_ms: int | None, end_ms: int | None) -> float | None:
    """Return the seconds between two times, None while one is open; never below 0, whatever clocks say."""
    return None if begin_ms is None or end_ms is None else max(0, end_ms - begin_ms) / 1000
