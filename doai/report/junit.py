"""A run as JUnit XML, for Jenkins, GitLab and whatever else reads it (step 14).

There is no standard. What is written here is what the schema ``junit-10.xsd`` of Jenkins' xunit plugin allows,
which GitLab reads too: one suite a run, one case a task or a step, names and counts as attributes, properties of
the suite only, seconds with a point. A case has at most one of failure (the app or the recipe), error (device,
infrastructure, nobody knows) and skipped (cancelled, or never begun).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

# Only its writer is used here: nothing is read that others wrote.
from xml.etree import ElementTree as Xml

import msgspec

from doai.report.results import OPEN_STATES, Artifact, Failure, Results, StepTry, Task

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 can not hold, not even escaped."""
_FAILURE_CLASSES: Final = frozenset({"app", "user", "auth", "rate_limit", "timeout"})
"""Of what was tested. The others are errors: the test itself could not be done."""
_MESSAGE_MAX: Final = 1000


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A test case before it is XML."""

    group: str
    name: str
    took_s: float | None
    kind: str = ""
    """failure, error or skipped; empty = passed."""
    type: str = ""
    message: str = ""
    told: str = ""
    """What it says beside its outcome."""


def junit(results: Results, *, by_step: bool = False) -> bytes:
    """Return the XML; a case is a task, or each step of each task."""
    run = results.run
    cases = list(_step_cases(results) if by_step else _task_cases(results))
    kinds = [case.kind for case in cases]
    counts = {"tests": len(cases), "failures": kinds.count("failure"), "errors": kinds.count("error")}
    totals = {name: str(count) for name, count in counts.items()} | {"time": _time(run.took_s)}
    root = Xml.Element("testsuites", {"name": _text(run.title)} | totals)
    made = datetime.fromtimestamp(run.created_at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    about = {"name": _text(run.title), **totals, "skipped": str(kinds.count("skipped")), "timestamp": made}
    suite = Xml.SubElement(root, "testsuite", about | {"id": _text(run.run_id), "url": _text(results.url)})
    properties = Xml.SubElement(suite, "properties")
    for name, value in _properties(results):
        Xml.SubElement(properties, "property", {"name": _text(name), "value": _text(value)})
    for case in cases:
        _add(suite, case)
    Xml.indent(root)
    return bytes(Xml.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _add(suite: Xml.Element, case: Case) -> None:
    about = {"classname": _text(case.group), "name": _text(case.name), "time": _time(case.took_s)}
    element = Xml.SubElement(suite, "testcase", about)
    if case.kind:
        message = _text(case.message)
        said = Xml.SubElement(element, case.kind, {"type": _text(case.type), "message": message[:_MESSAGE_MAX]})
        said.text = message
    if case.told:
        Xml.SubElement(element, "system-out").text = _text(case.told)


def _task_cases(results: Results) -> Iterator[Case]:
    files: dict[str, list[Artifact]] = {}
    for artifact in results.artifacts:
        files.setdefault(artifact.task_id, []).append(artifact)
    for task in results.tasks:
        kind, type_, message = _task_outcome(task)
        yield Case(
            group=results.run.workflow,
            name=task.target,
            took_s=task.took_s,
            kind=kind,
            type=type_,
            message=message,
            told=_told(task, files.get(task.task_id, [])),
        )


def _task_outcome(task: Task) -> tuple[str, str, str]:
    if task.state == "passed":
        return "", "", ""
    if task.state in OPEN_STATES:
        return "skipped", task.state, f"the task has not ended yet: it is {task.state}"
    if task.state == "cancelled":
        return "skipped", "cancelled", task.why or "the task was cancelled"
    if task.state == "failed" and task.failure is not None:
        return _failed(task.failure)
    return "error", task.state, task.why or f"the task ended as {task.state}"


def _failed(failure: Failure) -> tuple[str, str, str]:
    kind = "failure" if failure.error_class in _FAILURE_CLASSES else "error"
    where = f"step {failure.step}: " if failure.step else ""
    return kind, f"{failure.error_class}.{failure.code}", f"{where}{failure.message}"


def _told(task: Task, artifacts: Iterable[Artifact]) -> str:
    lines = [f"task {task.task_id}, attempt {task.attempt}, node {task.node_id or '-'}"]
    return "\n".join(lines + [f"{artifact.step_id}: {artifact.url}" for artifact in artifacts])


def _step_cases(results: Results) -> Iterator[Case]:
    by_task: dict[str, list[StepTry]] = {}
    for step in results.steps:
        by_task.setdefault(step.task_id, []).append(step)
    for task in results.tasks:
        group = f"{results.run.workflow}.{task.target}"
        steps = [step for step in by_task.get(task.task_id, []) if not step.retried]
        newest = steps[-1].token if steps else ""
        last = [step for step in steps if step.token == newest]
        for number, step in enumerate(last, 1):
            kind, type_, message = _step_outcome(step)
            name = f"{number:03d} {step.step_id}" + (f" - {step.label}" if step.label else "")
            yield Case(group=group, name=name, took_s=step.took_s, kind=kind, type=type_, message=message)
        told_by_a_step = any(step.state == "failed" and not step.optional for step in last)
        if task.state != "passed" and not (task.state == "failed" and told_by_a_step):
            # No step says why: the task itself does.
            kind, type_, message = _task_outcome(task)
            yield Case(group=group, name="task", took_s=task.took_s, kind=kind, type=type_, message=message)


def _step_outcome(step: StepTry) -> tuple[str, str, str]:
    if step.state == "passed":
        return "", "", ""
    if step.state == "skipped":
        return "skipped", "condition", "its condition was false"
    if step.failure is None:
        return "error", "unknown", "its end was not seen"
    kind, type_, message = _failed(step.failure)
    return ("skipped", type_, f"optional, and failed: {message}") if step.optional else (kind, type_, message)


def _properties(results: Results) -> Iterator[tuple[str, str]]:
    run = results.run
    yield "run", run.run_id
    yield "workflow", run.title
    yield "outcome", run.outcome or run.state
    yield "queue", run.queue
    yield "actor", run.actor
    yield "url", results.url
    for name, value in run.params.items():
        yield f"param.{name}", value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _time(seconds: float | None) -> str:
    return f"{seconds or 0:.3f}"


def _text(text: str) -> str:
    return _NOT_XML.sub("�", text)
