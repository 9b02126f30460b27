"""Which pictures of a run can be taken as baselines: those of comparisons that failed (steps 2 and 14). Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

import msgspec

from doai.admin.views import StepJson
from doai.errors import UserError
from doai.file_reference import BadFileNameError, parse_file_reference
from doai.workflow.mistakes import did_you_mean

COMPARE: Final = "screen.compare"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which comparisons are meant; what is not said is any."""

    task_id: str | None = None
    device_serial: str | None = None
    steps: Collection[str] = ()
    """Ids with the steps around them, as ``login/home``."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One that failed, by what its node said of it; nothing of it is proven but its ids."""

    name: str
    """Of the baseline, without a version."""
    artifact: str
    """Path of the picture."""
    asked_for: str
    """As the recipe names the baseline; empty = it does not."""
    task_id: str
    step_id: str
    device_serial: str


def failed_comparisons(tries: Iterable[StepJson], wanted: Wanted, of: str) -> list[Comparison]:
    """Return the comparisons that are meant and failed at their last try, by device and begin.

    ``of`` is what a sentence calls where was looked. Raises UserError (``nothing_to_accept``) when there is none.
    """
    last: dict[tuple[str, str], StepJson] = {}
    for step in tries:
        if step.use == COMPARE and wanted.task_id in (None, step.task_id):
            last.pop((step.task_id, step.step_id), None)
            last[step.task_id, step.step_id] = step
    _check_known(last.values(), wanted, of)
    meant = [
        step
        for step in last.values()
        if wanted.device_serial in (None, step.device_serial) and (not wanted.steps or step.step_id in wanted.steps)
    ]
    found = [told for step in meant if (told := _told(step)) is not None]
    if not found:
        raise UserError(
            f"no comparison of {of} that is meant failed at its last try, so there is nothing to accept",
            code="nothing_to_accept",
        )
    return sorted(found, key=lambda comparison: comparison.device_serial)


def first_of_each(comparisons: Iterable[Comparison]) -> tuple[list[Comparison], list[Comparison]]:
    """Return the first of each baseline's name, and the others: two pictures can not be one baseline."""
    first: dict[str, Comparison] = {}
    others = []
    for comparison in comparisons:
        if comparison.name in first:
            others.append(comparison)
        else:
            first[comparison.name] = comparison
    return list(first.values()), others


def _check_known(steps: Iterable[StepJson], wanted: Wanted, of: str) -> None:
    steps = list(steps)
    if not steps:
        raise UserError(f"{of} has compared no screen: a step {COMPARE} does", code="nothing_to_accept")
    ids, serials = {step.step_id for step in steps}, {step.device_serial for step in steps}
    for step_id in wanted.steps:
        if step_id not in ids:
            raise UserError(
                f"{of} has no comparison {step_id[:130]!r}: {did_you_mean(step_id, ids)}", code="nothing_to_accept"
            )
    if wanted.device_serial is not None and wanted.device_serial not in serials:
        raise UserError(
            f"{of} has compared nothing on {wanted.device_serial[:130]!r}: "
            f"{did_you_mean(wanted.device_serial, serials)}",
            code="nothing_to_accept",
        )


def _told(step: StepJson) -> Comparison | None:
    """Return what a failed try tells; None when it failed before there was a picture, or did not fail."""
    details = {} if step.failure is None else step.failure.details
    name, artifact = _text(details, "baseline"), _text(details, "screen")
    if step.state != "failed" or not name or not artifact:
        return None
    try:
        parsed = parse_file_reference(name)
    except BadFileNameError:
        return None
    return Comparison(
        name=parsed.name,
        artifact=artifact,
        asked_for=_text(details, "asked_for"),
        task_id=step.task_id,
        step_id=step.step_id,
        device_serial=step.device_serial,
    )


def _text(details: dict[str, Any], name: str) -> str:
    value = details.get(name)
    return value if isinstance(value, str) else ""
