"""What keeps a loop, a call or a sensitive step from being stored (step 2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from doai.limits import CALL_DEPTH_MAX, LOOP_DEPTH_MAX, STEPS_PLANNED_MAX
from doai.workflow.flow_steps import CALL, LOOPS, UNTIL, called_by
from doai.workflow.language import Parameter, Step, Workflow
from doai.workflow.mistakes import MistakeList, Path
from doai.workflow.names import ANY, Kinds
from doai.workflow.nesting import every_step
from doai.workflow.parameters import unfit
from doai.workflow.step_type import StepType


def result_kinds(workflow: Workflow) -> Mapping[str, Kinds]:
    """Return what may be named of a call's outputs; their values are not known before it runs."""
    return dict.fromkeys(workflow.outputs, ANY)


def check_flow(step: Step, step_type: StepType | None, depth: int, path: Path, mistakes: MistakeList) -> None:
    """Note what is wrong with a step's `steps`, `until`, bound and called workflow; ``depth`` counts its loops."""
    if step_type is None:
        return
    if step.use not in LOOPS:
        for field, given in (("steps", bool(step.steps)), ("until", step.until is not None)):
            if given:
                message = f"{step.use} takes no {field}: only flow.until does" + (
                    " and flow.repeat" if field == "steps" else ""
                )
                mistakes.add((*path, field), f"{message}; remove it", at_key=True)
    else:
        _check_loop(step, depth, path, mistakes)
    if step.use == CALL and "${" in str(step.with_.get("workflow", "")):
        message = "which workflow is called is decided before there are values; write its name"
        mistakes.add((*path, "with", "workflow"), message)


def _check_loop(step: Step, depth: int, path: Path, mistakes: MistakeList) -> None:
    if not step.steps and not mistakes.within((*path, "steps")):
        mistakes.add(path, f"{step.use} needs steps to do; add steps: [...]")
    if not {"times", "within"} & {name for name, value in step.with_.items() if value is not None}:
        mistakes.add(path, f"{step.use} has no bound; give times or within, or both, under with")
    if step.use == UNTIL and step.until is None:
        mistakes.add(path, "flow.until needs a condition; add until, or use flow.repeat")
    if step.use != UNTIL and step.until is not None:
        mistakes.add((*path, "until"), "flow.repeat has no condition; use flow.until", at_key=True)
    if depth >= LOOP_DEPTH_MAX:
        mistakes.add(path, f"loops in loops are {LOOP_DEPTH_MAX} deep at most; call a workflow instead")


def check_sensitive(
    step: Step,
    around: Sequence[Step],
    workflow: Workflow,
    step_types: Mapping[str, StepType],
    path: Path,
    mistakes: MistakeList,
) -> None:
    """Note a picture that would be taken while a sensitive step runs; ``around`` are its loops and the step."""
    secret = next((other for other in around if other.sensitive), None)
    if secret is None:
        return
    pictures = [inner.id for inner in _steps_of(step, workflow) if _takes_pictures(inner, step_types)]
    if pictures and not step.steps:  # of a loop it is said where the picture is taken
        what = "it takes a picture of the screen" if pictures == [step.id] else f"its step {pictures[0]} takes one"
        who = "it is sensitive" if secret is step else f"{secret.id} around it is sensitive"
        mistakes.add(path, f"{what}, and {who}, which forbids pictures; take it before or after")


def _steps_of(step: Step, workflow: Workflow) -> Iterator[Step]:
    yield step
    name = called_by(step)
    if name is not None and name in workflow.called:
        called = workflow.called[name]
        for _, inner in every_step(called):
            deeper = called_by(inner)
            # A recipe can not be called by what it calls: that is noted elsewhere, and must not hang here.
            if deeper is None:
                yield inner


def _takes_pictures(step: Step, step_types: Mapping[str, StepType]) -> bool:
    step_type = step_types.get(step.use)
    return step_type is not None and step_type.takes_pictures


def check_calls(workflow: Workflow, mistakes: MistakeList) -> None:
    """Note calls of a run's recipe that go round, too deep or make too many steps, and their parameters."""
    if not workflow.called:
        return
    counts: dict[str, int] = {}
    for path, step in every_step(workflow):
        name = called_by(step)
        if name is not None:
            _check_call(name, (workflow.name,), workflow.called, counts, path, mistakes)
            if name in workflow.called and not mistakes.within(path):
                check_params(step, workflow.called[name], path, mistakes)
    total = sum(1 + counts.get(called_by(step) or "", 0) for _, step in every_step(workflow))
    if total > STEPS_PLANNED_MAX:
        message = f"with those of the called workflows it has {total} steps; {STEPS_PLANNED_MAX} are allowed"
        mistakes.add(("steps",), message)


def _check_call(
    name: str,
    chain: tuple[str, ...],
    called: Mapping[str, Workflow],
    counts: dict[str, int],
    path: Path,
    mistakes: MistakeList,
) -> int:
    """Return how many steps a call makes; note what is wrong with it or below it."""
    if name in chain:
        way = " calls ".join((*chain[chain.index(name) :], name))
        mistakes.add(
            (*path, "with", "workflow"), f"the workflows call each other without end ({way}); remove a call"
        )
        return 0
    if len(chain) > CALL_DEPTH_MAX:
        way = " calls ".join((*chain, name))
        mistakes.add((*path, "with", "workflow"), f"calls are {CALL_DEPTH_MAX} deep at most ({way}); flatten them")
        return 0
    if name not in called:
        mistakes.add((*path, "with", "workflow"), f"{name} is called and was not pinned; make the run again")
        return 0
    if name in counts:
        return counts[name]
    total = 0
    for _, step in every_step(called[name]):
        deeper = called_by(step)
        total += 1
        if deeper is not None:
            total += _check_call(deeper, (*chain, name), called, counts, path, mistakes)
    counts[name] = total
    return total


def check_params(step: Step, called: Workflow, path: Path, mistakes: MistakeList) -> None:
    """Note parameters of a call that its workflow does not take; references are looked at when it is called."""
    given = step.with_.get("params", {})
    if not isinstance(given, dict):
        return
    place: Path = (*path, "with", "params")
    for name, value in given.items():
        parameter = called.params.get(name)
        if parameter is None:
            known = ", ".join(sorted(called.params)) or "none"
            mistakes.add((*place, name), f"{called.name} has no parameter {name!r}; it has: {known}", at_key=True)
        elif not _has_reference(value):
            for sentence in unfit(value, parameter):
                mistakes.add((*place, name), sentence)
    for name, parameter in called.params.items():
        if name not in given and _is_needed(parameter):
            where = place if given else path
            mistakes.add(where, f"{called.name} needs the parameter {name!r}; add it under with: params")


def _is_needed(parameter: Parameter) -> bool:
    return not parameter.nullable and parameter.default is msgspec.UNSET


def _has_reference(value: object) -> bool:
    return "${" in str(value)
