"""The order of steps of one attempt: each rule of WORKFLOW.md, then any plan with any results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.backoff import Backoff
from doai.errors import ErrorClass, Failure, StepError
from doai.limits import ALWAYS_GRACE_S
from doai.node.core.acts import Act, Begin, CancelTry, Cause, Finish, FreeDevice, Passed, Skipped, TryFailed
from doai.node.core.sequence import ON_FAILURE_GRACE_S, Sequence
from doai.states import Outcome
from doai.workflow.resolve import PlannedStep, RetryRule, TaskPlan

RETRY = RetryRule(attempts=2, backoff=Backoff(first_s=1.0, jitter=False), on=frozenset({ErrorClass.DEVICE}))


def step(name: str, *needs: str, **fields: Any) -> PlannedStep:
    kind = fields.pop("use", "device.shell")
    off_device = kind in ("artifact.upload", "report", "wait")
    defaults: dict[str, Any] = {
        "arguments": {},
        "condition": None,
        "expect": None,
        "timeout_s": 90.0,
        "retry": RetryRule(),
        "optional": False,
        "idempotent": True,
        "on_device": not off_device,
        "holds_device": kind not in ("artifact.upload", "report"),
        "sensitive": False,
        "label": "",
    }
    return PlannedStep(id=name, recipe="check", use=kind, predecessors=needs, **{**defaults, **fields})


def plan(
    *steps: PlannedStep, on_failure: tuple[PlannedStep, ...] = (), always: tuple[PlannedStep, ...] = ()
) -> TaskPlan:
    return TaskPlan(workflow="w", steps=steps, on_failure=on_failure, always=always, outputs={}, timeout_s=600.0)


class FakeRules:
    """Skips, refuses or fails what it is told to."""

    def __init__(
        self, *, skip: frozenset[str] = frozenset(), broken: frozenset[str] = frozenset(), unmet: str = ""
    ) -> None:
        self.skip, self.broken, self.unmet_id = skip, broken, unmet

    def condition(self, step_id: str, outputs: Mapping[str, Mapping[str, Any]]) -> bool:
        return step_id not in self.skip

    def arguments(self, step_id: str, outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        if step_id in self.broken:
            raise StepError(Failure(error_class=ErrorClass.USER, code="missing_output", message="There is none."))
        return {"seen": sorted(outputs)}

    def unmet(
        self, step_id: str, outputs: Mapping[str, Mapping[str, Any]], result: Mapping[str, Any]
    ) -> str | None:
        return "ok == true" if step_id == self.unmet_id else None

    def results(self, outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        return {"passed": sorted(outputs)}


class Play:
    """Drives a sequence by hand and keeps what it said."""

    def __init__(self, wanted: TaskPlan, rules: FakeRules | None = None, *, timeout_s: float = 600.0) -> None:
        self.now_s = 0.0
        self.sequence = Sequence(wanted, rules or FakeRules(), timeout_s=timeout_s, began_s=0.0)
        self.acts: list[Act] = []
        self.running: dict[str, int] = {}
        self.cancelled: set[str] = set()
        self.take(self.sequence.begin(0.0))

    def take(self, acts: list[Act]) -> None:
        for act in acts:
            self.acts.append(act)
            if isinstance(act, Begin):
                assert act.step.id not in self.running
                self.running[act.step.id] = act.try_number
            elif isinstance(act, CancelTry):
                assert act.step.id in self.running
                self.cancelled.add(act.step.id)

    def end(
        self, name: str, failure: ErrorClass | None = None, *, unobserved: bool = False, **outputs: Any
    ) -> None:
        result: Any = outputs
        if failure is not None:
            result = Failure(error_class=failure, code="it_failed", message="It failed.")
        try_number = self.running.pop(name)
        self.take(
            self.sequence.ended(name, try_number, result, unobserved=unobserved, now_s=self.now_s, random01=0.5)
        )

    def stop(self, cause: Cause) -> None:
        self.take(self.sequence.stop(cause, self.now_s))

    def advance(self, to_s: float) -> None:
        while (due_s := self.sequence.due_s()) is not None and due_s <= to_s:
            self.now_s = max(self.now_s, due_s)
            self.take(self.sequence.tick(self.now_s))
        self.now_s = to_s

    @property
    def finish(self) -> Finish:
        [found] = [act for act in self.acts if isinstance(act, Finish)]
        return found

    def order(self) -> list[str]:
        return [act.step.id for act in self.acts if isinstance(act, Begin)]


def test_device_steps_run_one_at_a_time_and_uploads_overlap() -> None:
    play = Play(plan(step("a"), step("up", "a", use="artifact.upload"), step("b"), step("c", "b")))
    assert set(play.running) == {"a"}
    play.end("a")
    assert set(play.running) == {"up", "b"}
    play.end("b")
    play.end("c")
    assert [act for act in play.acts if isinstance(act, FreeDevice)] != []
    assert not play.sequence.finished
    play.end("up")
    assert play.finish.outcome is Outcome.PASSED
    assert play.finish.outputs == {"passed": ["a", "b", "c", "up"]}


def test_always_waits_for_a_wait_but_not_for_an_upload() -> None:
    play = Play(plan(step("a"), step("nap", "a", use="wait"), always=(step("z"),)))
    play.end("a")
    assert set(play.running) == {"nap"}
    play.end("nap")
    assert set(play.running) == {"z"}
    play = Play(plan(step("a"), step("up", "a", use="artifact.upload"), always=(step("z"),)))
    play.end("a")
    assert set(play.running) == {"up", "z"}
    play.end("z")
    assert isinstance(play.acts[-1], FreeDevice)
    play.end("up", ErrorClass.INFRASTRUCTURE)
    assert play.finish.outcome is Outcome.FAILED


def test_a_recipe_with_on_failure_waits_for_uploads_because_they_may_fail() -> None:
    shot = plan(step("a"), step("up", "a", use="artifact.upload"), on_failure=(step("f"),), always=(step("z"),))
    play = Play(shot)
    play.end("a")
    assert set(play.running) == {"up"}
    play.end("up", ErrorClass.INFRASTRUCTURE)
    play.end("f")
    play.end("z")
    assert play.order() == ["a", "up", "f", "z"]


def test_after_a_failure_nothing_new_starts_and_what_overlaps_finishes() -> None:
    play = Play(
        plan(
            step("a"),
            step("up", "a", use="artifact.upload"),
            step("up2", "up", use="artifact.upload"),
            step("b", "a"),
            step("c", "b"),
            on_failure=(step("f1"), step("f2")),
            always=(step("z1"), step("z2")),
        )
    )
    play.end("a")
    play.end("b", ErrorClass.APP)
    assert set(play.running) == {"up"}
    play.end("up")
    play.end("f1", ErrorClass.DEVICE)
    play.end("f2")
    play.end("z1", ErrorClass.DEVICE)
    play.end("z2")
    assert play.order() == ["a", "up", "b", "f1", "f2", "z1", "z2"]
    assert play.finish.failure is not None
    assert (play.finish.outcome, play.finish.failure.step) == (Outcome.FAILED, "b")


def test_an_optional_step_may_fail() -> None:
    play = Play(plan(step("a", optional=True), step("b", "a")))
    play.end("a", ErrorClass.APP)
    play.end("b")
    assert play.finish.outcome is Outcome.PASSED


def test_a_step_that_needs_a_skipped_one_runs_unless_it_refers_to_it() -> None:
    play = Play(plan(step("a"), step("b", "a")), FakeRules(skip=frozenset({"a"})))
    assert isinstance(play.acts[0], Skipped)
    play.end("b")
    assert play.finish.outcome is Outcome.PASSED
    play = Play(plan(step("a"), step("b", "a")), FakeRules(skip=frozenset({"a"}), broken=frozenset({"b"})))
    assert play.finish.failure is not None
    assert (play.finish.failure.error_class, play.finish.failure.step) == (ErrorClass.USER, "b")


def test_a_step_is_tried_again_after_its_backoff_and_keeps_the_device() -> None:
    play = Play(plan(step("a", retry=RETRY), step("b")))
    play.end("a", ErrorClass.DEVICE)
    assert play.running == {}
    play.advance(0.9)
    assert play.running == {}
    play.advance(1.0)
    assert play.running == {"a": 2}
    play.end("a", ErrorClass.DEVICE)
    assert [act.retried for act in play.acts if isinstance(act, TryFailed)] == [True, False]
    assert play.finish.outcome is Outcome.FAILED


def test_expect_that_is_not_met_is_the_apps_fault() -> None:
    play = Play(plan(step("a")), FakeRules(unmet="a"))
    play.end("a")
    assert play.finish.failure is not None
    assert play.finish.failure.error_class is ErrorClass.APP
    assert "ok == true" in play.finish.failure.message


@pytest.mark.parametrize("cause", [Cause.CANCEL, Cause.DRAIN])
def test_cancel_and_drain_run_always_and_no_on_failure(cause: Cause) -> None:
    play = Play(plan(step("a"), on_failure=(step("f"),), always=(step("z"),)))
    play.stop(cause)
    play.stop(Cause.CANCEL)
    assert play.cancelled == {"a"}
    play.end("a", ErrorClass.CANCELLED)
    play.end("z")
    assert play.order() == ["a", "z"]
    assert (play.finish.outcome, play.finish.released) == (Outcome.CANCELLED, cause is Cause.DRAIN)


def test_the_tasks_own_time_ends_it_with_always() -> None:
    play = Play(plan(step("a"), always=(step("z"),)), timeout_s=10.0)
    play.advance(10.0)
    play.end("a", ErrorClass.CANCELLED)
    play.end("z")
    assert play.finish.failure is not None
    assert (play.finish.outcome, play.finish.failure.code) == (Outcome.FAILED, "task_timeout")


def test_the_graces_of_on_failure_and_always() -> None:
    play = Play(plan(step("a"), on_failure=(step("f1"), step("f2")), always=(step("z1"), step("z2"))))
    play.end("a", ErrorClass.APP)
    play.advance(ON_FAILURE_GRACE_S)
    assert play.cancelled == {"f1"}
    play.end("f1", ErrorClass.CANCELLED)
    assert set(play.running) == {"z1"}
    play.advance(ALWAYS_GRACE_S)
    play.end("z1", ErrorClass.CANCELLED)
    assert play.finish.failure is not None
    assert play.finish.failure.step == "a"
    assert play.order() == ["a", "f1", "z1"]


def test_always_is_shielded() -> None:
    play = Play(plan(step("a"), always=(step("z"),)))
    play.end("a")
    play.stop(Cause.CANCEL)
    assert play.cancelled == set()
    play.end("z")
    assert play.finish.outcome is Outcome.PASSED


def test_release_does_nothing_more() -> None:
    play = Play(plan(step("a"), always=(step("z"),)))
    play.stop(Cause.RELEASE)
    play.end("a", ErrorClass.CANCELLED)
    assert play.order() == ["a"]
    assert play.finish.released


def test_what_was_not_seen_to_end_is_unknown_and_only_tried_again_on_demand() -> None:
    play = Play(plan(step("a", idempotent=False, retry=RETRY)))
    play.end("a", ErrorClass.DEVICE, unobserved=True)
    assert (play.finish.outcome, play.finish.repeatable) == (Outcome.UNKNOWN, False)
    again = RetryRule(attempts=2, backoff=Backoff(first_s=1.0), on=frozenset({ErrorClass.UNKNOWN}))
    play = Play(plan(step("a", idempotent=False, retry=again)))
    play.end("a", ErrorClass.DEVICE, unobserved=True)
    play.advance(5.0)
    assert play.running == {"a": 2}
    play = Play(plan(step("a", idempotent=True)))
    play.end("a", ErrorClass.DEVICE, unobserved=True)
    assert (play.finish.outcome, play.finish.repeatable) == (Outcome.FAILED, True)


@pytest.mark.parametrize(
    ("cause", "outcome"),
    [(Cause.TIMEOUT, Outcome.UNKNOWN), (Cause.DRAIN, Outcome.UNKNOWN), (Cause.CANCEL, Outcome.CANCELLED)],
)
def test_a_stop_amid_such_a_step(cause: Cause, outcome: Outcome) -> None:
    play = Play(plan(step("a", idempotent=False)))
    play.stop(cause)
    play.end("a", ErrorClass.CANCELLED, unobserved=True)
    assert play.finish.outcome is outcome
    assert not play.finish.released
    assert not play.finish.repeatable


def test_reports_add_to_the_outputs_whatever_comes_after() -> None:
    play = Play(plan(step("r", use="report"), step("b", "r")))
    play.end("r", values={"x": 1})
    play.end("b", ErrorClass.APP)
    assert play.finish.outputs == {"x": 1}


# --- any plan, any results --------------------------------------------------------------------------------------

USES = st.sampled_from(["device.shell", "artifact.upload", "wait", "report"])
RESULTS = st.sampled_from([None, None, None, *ErrorClass])


@st.composite
def steps_of(draw: st.DrawFn, prefix: str, most: int, *, graph: bool) -> tuple[PlannedStep, ...]:
    made: list[PlannedStep] = []
    for index in range(draw(st.integers(1 if graph else 0, most))):
        names = [other.id for other in made]
        needs = draw(st.lists(st.sampled_from(names), unique=True, max_size=3)) if graph and names else []
        made.append(
            step(
                f"{prefix}{index}",
                *needs,
                use=draw(USES),
                optional=draw(st.booleans()),
                idempotent=draw(st.booleans()),
                retry=RetryRule(
                    attempts=draw(st.integers(1, 3)),
                    backoff=Backoff(first_s=draw(st.floats(0, 50))),
                    on=draw(st.frozensets(st.sampled_from(list(ErrorClass)))),
                ),
            )
        )
    return tuple(made)


@given(st.data())
def test_any_plan_with_any_results(data: st.DataObject) -> None:
    wanted = plan(
        *data.draw(steps_of("s", 6, graph=True)),
        on_failure=data.draw(steps_of("f", 2, graph=False)),
        always=data.draw(steps_of("z", 2, graph=False)),
    )
    names = [s.id for s in wanted.steps]
    rules = FakeRules(
        skip=data.draw(st.frozensets(st.sampled_from(names))),
        broken=data.draw(st.frozensets(st.sampled_from(names), max_size=1)),
        unmet=data.draw(st.sampled_from(["", *names])),
    )
    play = Play(wanted, rules, timeout_s=data.draw(st.floats(1, 200)))
    on_device = {s.id for s in (*wanted.steps, *wanted.on_failure, *wanted.always) if s.on_device}
    causes: list[Cause] = []
    for _ in range(300):
        assert len(set(play.running) & on_device) <= 1, "one device step at a time"
        if play.sequence.finished:
            break
        due_s = play.sequence.due_s()
        assert due_s is not None or play.running, "it waits for something"
        kinds = ["end"] * 6 * bool(play.running) + ["time"] * (due_s is not None) + ["stop"]
        kind = data.draw(st.sampled_from(kinds))
        if kind == "end":
            name = data.draw(st.sampled_from(sorted(play.running)))
            result = ErrorClass.CANCELLED if name in play.cancelled else data.draw(RESULTS)
            play.end(name, result, unobserved=data.draw(st.booleans()))
        elif kind == "time":
            assert due_s is not None
            play.advance(due_s + data.draw(st.floats(0, 5)))
        elif len(causes) < 2:
            causes.append(data.draw(st.sampled_from(list(Cause))))
            play.stop(causes[-1])
    assert play.sequence.finished, "it terminates"
    check(play, wanted, released=Cause.RELEASE in causes)


def check(play: Play, wanted: TaskPlan, *, released: bool) -> None:
    assert play.running == {}
    assert isinstance(play.acts[-1], Finish)
    assert sum(isinstance(act, Finish) for act in play.acts) == 1
    assert sum(isinstance(act, FreeDevice) for act in play.acts) == 1
    begun = [(act.step.id, act.try_number) for act in play.acts if isinstance(act, Begin)]
    assert len(begun) == len(set(begun)), "each try begins once"
    ended = {(act.step.id, act.try_number) for act in play.acts if isinstance(act, Passed | TryFailed)}
    assert set(begun) <= ended, "each try that began has an end"
    freed = next(index for index, act in enumerate(play.acts) if isinstance(act, FreeDevice))
    assert not any(isinstance(act, Begin) and act.step.holds_device for act in play.acts[freed:])
    tried = {act.step.id for act in play.acts if isinstance(act, Begin | Skipped | TryFailed)}
    if not released and play.now_s < ALWAYS_GRACE_S:
        assert {s.id for s in wanted.always} <= tried, "always runs"
    failed = play.finish.failure is not None and play.finish.failure.step is not None
    if any(s.id in tried for s in wanted.on_failure):
        assert failed or released, "on_failure runs after a failure of a step only"
    places = {s.id: index for index, s in enumerate(wanted.steps)}
    for index, act in enumerate(play.acts):
        if isinstance(act, Begin) and act.step.id in places:
            before = {a.step.id for a in play.acts[:index] if isinstance(a, Passed | Skipped | TryFailed)}
            assert set(act.step.predecessors) <= before, "after what it needs"
