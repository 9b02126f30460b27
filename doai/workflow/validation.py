"""Is a recipe sound: names, graph, arguments, conditions, times; every mistake and not only the first (step 2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from doai.limits import STEPS_MAX
from doai.workflow.arguments import check_arguments, check_references
from doai.workflow.conditions import Condition, ConditionError, TypesError, compile_condition
from doai.workflow.defaults import step_timeout
from doai.workflow.duration import DurationError, parse_duration
from doai.workflow.flow_checks import check_calls, check_flow, check_sensitive, result_kinds
from doai.workflow.graph import CycleError, Graph, build_graph
from doai.workflow.language import Retry, Step, Workflow, text_of
from doai.workflow.mistakes import MistakeList, Path, did_you_mean, path_text, shown
from doai.workflow.names import (
    ANY,
    SECRET,
    Kinds,
    Symbols,
    UnknownNameError,
    look_up,
    parameter_kinds,
    step_kinds,
    symbols,
)
from doai.workflow.nesting import every_step
from doai.workflow.parameters import check_declarations
from doai.workflow.step_schema import is_of_plugin
from doai.workflow.step_type import StepType
from doai.workflow.templates import TemplateError, references

_EXAMPLES: Final[Mapping[str, Any]] = {
    "string": "text",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "list": [],
    "object": {},
    "null": None,
}
"""With which conditions are tried out, so that `stalls < '3'` is found before a phone is touched."""


def validate(workflow: Workflow, step_types: Mapping[str, StepType], mistakes: MistakeList) -> None:
    """Note everything that keeps the recipe (its step ids made up already) from being stored or executed."""
    _Validation(workflow, step_types, mistakes).check()
    check_calls(workflow, mistakes)
    for name, other in workflow.called.items():
        inner = MistakeList()
        pinned = {title: body for title, body in workflow.called.items() if title != name}
        _Validation(msgspec.structs.replace(other, called=pinned), step_types, inner).check()
        for mistake in inner.found:
            mistakes.add(("called", name), str(mistake))


class _Validation:
    """One pass over a recipe."""

    def __init__(self, workflow: Workflow, step_types: Mapping[str, StepType], mistakes: MistakeList) -> None:
        self._workflow = workflow
        self._step_types = step_types
        self._mistakes = mistakes
        self._params: dict[str, Kinds] = {
            name: ANY if mistakes.within(("params", name)) else parameter_kinds(parameter)
            for name, parameter in workflow.params.items()
        }

        self._called = {name: result_kinds(other) for name, other in workflow.called.items()}
        groups = (workflow.steps, workflow.on_failure, workflow.always)
        self._everyone = [step.id for steps in groups for step in steps]

    def check(self) -> None:
        workflow = self._workflow
        check_declarations(workflow.params, self._mistakes)
        self._time(workflow.timeout, ("timeout",))
        self._time(workflow.defaults.timeout, ("defaults", "timeout"))
        self._retry(workflow.retry, ("retry",))
        self._retry(workflow.defaults.retry, ("defaults", "retry"))
        self._ids()
        graph = self._graph()
        for index, step in enumerate(workflow.steps):
            before = [other for other in workflow.steps if other.id in graph.ancestors.get(step.id, ())]
            self._step(step, before, ("steps", index))
        # What runs afterwards may refer to any step, and finds null... or nothing; it is asked for when it runs.
        self._sequence(workflow.on_failure, workflow.steps, "on_failure")
        self._sequence(workflow.always, workflow.steps, "always")
        self._content_id()
        known = self._known(workflow.steps, None)
        check_references(workflow.outputs, known, ("outputs",), self._mistakes, secret_ok=False)
        self._bounds()

    def _known(self, before: Sequence[Step], round_of: Step | None, *, later: Sequence[str] = ()) -> Symbols:
        return symbols(
            self._params,
            before,
            self._step_types,
            later,
            called=self._called,
            in_round=round_of is not None,
        )

    def _ids(self) -> None:
        first: dict[str, Path] = {}
        every = list(every_step(self._workflow))
        if len(every) > STEPS_MAX:
            self._mistakes.add(("steps",), f"{len(every)} steps are too many; {STEPS_MAX} are allowed")
        for path, step in every:
            if step.id in first:
                other = path_text(first[step.id])
                self._mistakes.add((*path, "id"), f"the id {step.id!r} is used already by {other}; give another")
            else:
                first[step.id] = path

    def _graph(self) -> Graph:
        steps = self._workflow.steps
        names = {step.id for step in steps}
        for index, step in enumerate(steps):
            for at, name in enumerate(step.needs or ()):
                if name not in names:
                    message = f"there is no step {shown(name)} to wait for; {did_you_mean(name, names)}"
                    self._mistakes.add(("steps", index, "needs", at), message)
        first = {step.id: step for step in reversed(steps)}
        try:
            # Of two steps with one id the first counts: that there are two has been said.
            return build_graph([step for step in steps if first[step.id] is step])
        except CycleError as error:
            at = next(index for index, step in enumerate(steps) if step.id == error.steps[0])
            waits = " waits for ".join(error.steps)
            self._mistakes.add(("steps", at, "needs"), f"the steps wait for each other ({waits}); remove one need")
            # Every reference is allowed then: what is wrong with the order has been said.
            everything = frozenset(names)
            return Graph(order=(), predecessors={}, ancestors=dict.fromkeys(names, everything))

    def _sequence(self, steps: Sequence[Step], earlier: Sequence[Step], group: str) -> None:
        before = list(earlier)
        for index, step in enumerate(steps):
            if step.needs is not None:
                message = f"steps of {group} run one after the other; remove needs"
                self._mistakes.add((group, index, "needs"), message, at_key=True)
            self._step(step, before, (group, index))
            before.append(step)

    def _step(self, step: Step, before: Sequence[Step], path: Path, loops: tuple[Step, ...] = ()) -> None:
        self._time(step.timeout, (*path, "timeout"))
        self._retry(step.retry, (*path, "retry"))
        loop = loops[-1] if loops else None
        later = [*self._everyone, *(inner.id for outer in loops for inner in outer.steps)]
        known = self._known(before, loop, later=later)
        step_type = self._step_types.get(step.use)
        if step_type is None:
            if not self._mistakes.within((*path, "use")) and step.use:
                self._mistakes.add((*path, "use"), self._no_such_step(step.use))
            check_references(step.with_, known, (*path, "with"), self._mistakes, secret_ok=True)
        elif not self._mistakes.within((*path, "with")):
            check_arguments(step, step_type, known, self._timeout_s(step, step_type), path, self._mistakes)
        self._label(step, path)
        self._condition(step.if_, known, (*path, "if"))
        own = step_kinds(step, self._step_types, self._called)
        ended = self._known([*before, step], loop, later=later)
        names = {**({} if isinstance(own, frozenset) else own), **ended, "outputs": own}
        self._condition(step.expect, names, (*path, "expect"), anything=own is ANY)
        check_flow(step, step_type, len(loops), path, self._mistakes)
        check_sensitive(step, (*loops, step), self._workflow, self._step_types, path, self._mistakes)
        self._loop(step, before, path, (*loops, step))

    def _loop(self, step: Step, before: Sequence[Step], path: Path, loops: tuple[Step, ...]) -> None:
        """Check what a loop does in each round; a step of a round sees those before it in that round."""
        seen = list(before)
        for index, inner in enumerate(step.steps):
            if inner.needs is not None:
                message = "steps of a loop run one after the other; remove needs"
                self._mistakes.add((*path, "steps", index, "needs"), message, at_key=True)
            self._step(inner, seen, (*path, "steps", index), loops)
            seen.append(inner)
        self._condition(step.until, self._known(seen, step), (*path, "until"))

    def _label(self, step: Step, path: Path) -> None:
        # A label is shown as it is: nothing in it is looked up, so nothing secret can get into it.
        if any(f"${{{SECRET}." in text for text in (text_of(step.label), text_of(step.label, "ko"))):
            self._mistakes.add((*path, "label"), "a label is shown to people as it is; name no secret in it")

    def _no_such_step(self, use: str) -> str:
        hint = did_you_mean(use, self._step_types)
        if not is_of_plugin(use):
            return f"there is no step called {shown(use)}; {hint}"
        more = f", or {hint}" if hint.startswith("did you mean") else ""
        return f"no node ever offered a step called {shown(use)}; install its plug-in on one{more}"

    def _timeout_s(self, step: Step, step_type: StepType) -> float:
        try:
            return parse_duration(step_timeout(step, step_type, self._workflow.defaults))
        except DurationError:
            # Said at its own place; no wait is longer than this one.
            return math.inf

    def _condition(self, source: str | None, known: Symbols, path: Path, *, anything: bool = False) -> None:
        if source is None or self._mistakes.within(path):
            return
        try:
            condition = compile_condition(source)
        except ConditionError as error:
            self._mistakes.add(path, str(error))
            return
        for usage in condition.usages:
            if usage.names[0] == SECRET:
                self._mistakes.add(path, "a condition can not use a secret; compare something else")
            elif not anything:
                try:
                    look_up(usage.names, known)
                except UnknownNameError as error:
                    self._mistakes.add(path, str(error))
        if not self._mistakes.within(path) and not anything:
            self._try_out(condition, known, path)

    def _try_out(self, condition: Condition, known: Symbols, path: Path) -> None:
        """Evaluate with made-up values of the right kinds, unless some kind is not known before it runs."""
        if any("any" in look_up(usage.names, known) for usage in condition.usages):
            return
        try:
            value = condition.value({name: _example(kinds) for name, kinds in known.items()})
        except TypesError as error:
            self._mistakes.add(path, str(error))
        except ConditionError:
            # Made-up values may be refused, e.g. by int('text'): that says nothing about real ones.
            return
        else:
            if not isinstance(value, bool):
                self._mistakes.add(path, "it does not say true or false; compare it with something")

    def _content_id(self) -> None:
        content_id = self._workflow.content_id
        if content_id is None or self._mistakes.within(("content_id",)):
            return
        try:
            for reference in references(content_id):
                if reference.names[0] != "params":
                    message = f"{reference} is not known when the path is made; refer to parameters only"
                    self._mistakes.add(("content_id",), message)
                    return
        except TemplateError as error:
            self._mistakes.add(("content_id",), str(error))
            return
        check_references(content_id, {"params": self._params}, ("content_id",), self._mistakes, secret_ok=False)

    def _bounds(self) -> None:
        names = {step.id for _, step in every_step(self._workflow)}
        for name, bounds in self._workflow.bounds.items():
            path: Path = ("bounds", name)
            if name not in names:
                hint = did_you_mean(name, names)
                self._mistakes.add(path, f"there is no step {shown(name)} to bound; {hint}", at_key=True)
            if bounds.timeout is None or self._mistakes.within((*path, "timeout")):
                continue
            least = self._time(bounds.timeout.minimum, (*path, "timeout", "minimum"))
            most = self._time(bounds.timeout.maximum, (*path, "timeout", "maximum"))
            if least is not None and most is not None and least > most:
                self._mistakes.add((*path, "timeout"), "the minimum is above the maximum; exchange them")

    def _retry(self, retry: Retry | None, path: Path) -> None:
        if retry is not None:
            self._time(retry.backoff, (*path, "backoff"), zero=True)

    def _time(self, text: str | None, path: Path, *, zero: bool = False) -> float | None:
        """Return the seconds; note a duration of nothing."""
        if text is None or self._mistakes.within(path):
            return None
        try:
            seconds = parse_duration(text)
        except DurationError as error:
            self._mistakes.add(path, str(error))
            return None
        if seconds == 0 and not zero:
            self._mistakes.add(path, "no time at all would never be enough; write a longer one")
        return seconds


def _example(kinds: Kinds | Symbols) -> Any:
    if isinstance(kinds, frozenset):
        kind = min(kinds - {"null"}, default="null")
        return _EXAMPLES.get(kind)
    return {name: _example(inner) for name, inner in kinds.items()}
