"""Loops and calls: rounds, identities, bounds, and how failures and stops go in and out of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doai.errors import ErrorClass, Failure
from doai.limits import ALWAYS_GRACE_S
from doai.node.core import tracks
from doai.node.core.acts import Act, Begin, CancelTry, Cause, Enter, Finish, FreeDevice, Passed, Skipped, TryFailed
from doai.node.core.sequence import Sequence
from doai.states import Outcome
from doai.workflow.calls import Found
from doai.workflow.model import link_workflow, parse_workflow
from doai.workflow.rules import Recipe
from doai.workflow.selection import DeviceFacts

LOGIN = """
workflow: login
params: {account: {type: string, default: demo}}
timeout: 100s
steps:
  - {id: open, use: app.launch, with: {package: com.a.b}}
  - {id: type, use: ui.text, with: {text: "${params.account}"}}
on_failure:
  - {id: proof, use: screen.capture}
always:
  - {id: tidy, use: ui.key, with: {key: HOME}}
outputs: {who: "${steps.open.package}"}
"""


class Play:
    """A recipe, driven by hand on the node's machine with its own rules."""

    def __init__(self, text: str, *others: str, timeout_s: float = 600.0, **params: Any) -> None:
        stored = {(other := parse_workflow(body)).name: Found(f"{other.name}@1", other) for body in others}
        find = lambda name: stored[name.partition("@")[0]]  # noqa: E731
        workflow = link_workflow(parse_workflow("workflow: w\n" + text), "w@1", find)
        recipe = Recipe(workflow)
        rules = recipe.rules(params, device=DeviceFacts(serial="A"), run_id="r", task_id="t")
        self.now_s = 0.0
        self.sequence = Sequence(recipe.plan({}), rules, timeout_s=timeout_s, began_s=0.0)
        self.acts: list[Act] = []
        self.running: dict[str, Begin] = {}
        self.seen: set[tuple[str, int]] = set()
        self.take(self.sequence.begin(0.0))

    def take(self, acts: list[Act]) -> None:
        for act in acts:
            assert not self.ended, "nothing comes after the end"
            self.acts.append(act)
            if isinstance(act, Begin | Enter):
                key = (act.step.id, act.try_number)
                assert key not in self.seen, "a try begins once"
                self.seen.add(key)
            if isinstance(act, Begin):
                self.running[act.step.id] = act
                assert sum(one.step.on_device for one in self.running.values()) <= 1
            if isinstance(act, FreeDevice):
                assert not any(one.step.on_device for one in self.running.values())

    def end(self, name: str, failure: ErrorClass | None = None, **outputs: Any) -> None:
        begun = self.running.pop(name)
        result: Any = outputs
        if failure is not None:
            result = Failure(error_class=failure, code="it_failed", message="It failed.")
        self.take(
            self.sequence.ended(name, begun.try_number, result, unobserved=False, now_s=self.now_s, random01=0.5)
        )

    def advance(self, to_s: float) -> None:
        while (due_s := self.sequence.due_s()) is not None and due_s <= to_s:
            self.now_s = max(self.now_s, due_s)
            self.take(self.sequence.tick(self.now_s))
        self.now_s = to_s

    def stop(self, cause: Cause) -> None:
        self.take(self.sequence.stop(cause, self.now_s))

    @property
    def ended(self) -> list[Finish]:
        return [act for act in self.acts if isinstance(act, Finish)]

    @property
    def finish(self) -> Finish:
        [found] = self.ended
        return found

    def told(self) -> list[str]:
        """The facts, as an operator would see them."""
        names = {Begin: "+", Enter: "+", Skipped: "~", Passed: "=", TryFailed: "!"}
        return [names[type(act)] + act.step.id for act in self.acts if type(act) in names]  # type: ignore[union-attr]


REPEAT = """
steps:
  - id: loop
    use: flow.repeat
    with: {times: 2, pause: 5s}
    steps:
      - {id: tap, use: ui.tap, with: {text: "n ${round.number}"}}
      - {id: key, use: ui.key, with: {key: "A"}, if: "steps.tap.x > 1"}
  - {id: end, use: report, with: {values: {n: "${steps.loop.rounds}", x: "${steps.loop.last.tap.x}"}}}
"""


def test_each_round_is_named_and_sees_its_own_outputs() -> None:
    play = Play(REPEAT)
    assert play.running["loop[1]/tap"].arguments == {"text": "n 1"}
    play.end("loop[1]/tap", x=1)
    assert play.running == {}
    play.advance(5.0)
    play.end("loop[2]/tap", x=2)
    play.end("loop[2]/key")
    assert play.running["end"].arguments == {"values": {"n": 2, "x": 2}}
    play.end("end", values={"n": 2})
    assert play.told() == [
        *("+loop", "+loop[1]/tap", "=loop[1]/tap", "~loop[1]/key"),
        *("+loop[2]/tap", "=loop[2]/tap", "+loop[2]/key", "=loop[2]/key", "=loop", "+end", "=end"),
    ]
    assert play.finish.outcome is Outcome.PASSED


UNTIL = """
steps:
  - id: ready
    use: flow.until
    until: "steps.look.status == 200"
    with: {times: 3, pause: 1s, within: 30s}
    retry: {attempts: 2, backoff: 1s, jitter: none}
    steps:
      - {id: look, use: http.request, with: {url: "http://a/"}}
"""


def test_until_ends_when_its_condition_holds() -> None:
    play = Play(UNTIL)
    play.end("ready[1]/look", status=503)
    play.advance(1.0)
    play.end("ready[2]/look", status=200)
    assert play.finish.outcome is Outcome.PASSED
    [passed] = [act for act in play.acts if isinstance(act, Passed) and act.step.id == "ready"]
    assert passed.outputs == {"rounds": 2, "met": True, "last": {"look": {"status": 200}}}


def test_until_may_ask_for_the_number_of_the_round() -> None:
    play = Play(UNTIL.replace("steps.look.status == 200", "round.number == 2 && steps.look.status > 1"))
    play.end("ready[1]/look", status=503)
    play.advance(1.0)
    play.end("ready[2]/look", status=503)
    assert play.finish.outcome is Outcome.PASSED


def test_until_fails_at_its_bound_and_a_second_try_counts_its_tries_on() -> None:
    play = Play(UNTIL)
    for number in (1, 2, 3):
        play.end(f"ready[{number}]/look", status=503)
        play.advance(play.now_s + 1.0)
    assert play.running["ready[1]/look"].try_number == 2
    play.now_s += 40.0  # the round that runs goes on, no other begins
    play.end("ready[1]/look", status=503)
    assert play.finish.failure is not None
    assert (play.finish.failure.code, play.finish.failure.error_class) == ("condition_not_met", ErrorClass.APP)
    assert "did not hold after 1 rounds" in play.finish.failure.message


def test_a_condition_that_can_not_be_answered_is_the_recipes_fault() -> None:
    play = Play(UNTIL)
    play.end("ready[1]/look")
    assert play.finish.failure is not None
    assert (play.finish.failure.code, play.finish.failure.error_class) == ("bad_condition", ErrorClass.USER)


def test_the_failure_of_a_round_names_the_step_in_it() -> None:
    play = Play(REPEAT)
    play.end("loop[1]/tap", ErrorClass.DEVICE)
    assert play.told()[-2:] == ["!loop[1]/tap", "!loop"]
    assert play.finish.failure is not None
    assert play.finish.failure.step == "loop[1]/tap"


def test_a_loop_has_its_own_timeout() -> None:
    play = Play(REPEAT.replace("use: flow.repeat", "use: flow.repeat\n    timeout: 7s"))
    play.end("loop[1]/tap", x=1)
    play.advance(8.0)
    [cancel] = [act for act in play.acts if isinstance(act, CancelTry)]
    assert cancel.step.id == "loop[2]/tap"
    play.end("loop[2]/tap", ErrorClass.CANCELLED)
    assert play.finish.failure is not None
    assert (play.finish.failure.code, play.finish.failure.step) == ("step_timeout", "loop")


def test_a_pause_ends_with_the_timeout_too() -> None:
    play = Play(REPEAT.replace("use: flow.repeat", "use: flow.repeat\n    timeout: 3s"))
    play.end("loop[1]/tap", x=1)
    play.advance(3.0)
    assert play.finish.failure is not None
    assert play.finish.failure.error_class is ErrorClass.TIMEOUT


@pytest.mark.parametrize("pausing", [True, False])
def test_a_cancelled_loop_begins_no_round(pausing: bool) -> None:
    play = Play(REPEAT)
    if pausing:
        play.end("loop[1]/tap", x=1)
    play.stop(Cause.CANCEL)
    if not pausing:
        play.end("loop[1]/tap", ErrorClass.CANCELLED)
    assert play.finish.outcome is Outcome.CANCELLED
    assert "+loop[2]/tap" not in play.told()


BUSY = """
steps:
  - id: a
    use: flow.repeat
    with: {times: 1000}
    steps:
      - id: b
        use: flow.repeat
        with: {times: 9}
        steps:
          - {id: c, use: flow.repeat, with: {times: 9}, steps: [{id: d, use: wait, with: {for: 1s}, if: "false"}]}
"""


def test_a_loop_whose_rounds_do_nothing_is_bounded_and_leaves_the_others_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracks, "TRIES_PER_ATTEMPT_MAX", 200)
    play = Play(BUSY)
    assert len(play.acts) < 10
    play.advance(60.0)
    assert play.finish.failure is not None
    assert play.finish.failure.code == "too_many_steps"
    assert len(play.acts) < 2 * 200


CALLS = """
steps:
  - id: login
    use: workflow.call
    with: {workflow: login, params: {account: "${params.who}"}}
    retry: {attempts: 2, backoff: 1s, jitter: none}
  - {id: tell, use: report, with: {values: {who: "${steps.login.who}"}}}
  - {id: beside, use: wait, with: {for: 60s}, needs: []}
always:
  - {id: home, use: ui.key, with: {key: HOME}}
params: {who: {type: string}}
"""


def test_a_call_is_its_steps_and_its_outputs() -> None:
    play = Play(CALLS, LOGIN, who="kim")
    play.end("login/open", package="com.a.b")
    assert play.running["login/type"].arguments == {"text": "kim"}
    play.end("login/type")
    play.end("login/tidy")
    assert play.running["tell"].arguments == {"values": {"who": "com.a.b"}}
    play.end("tell", values={"who": "com.a.b"})
    play.end("beside")
    play.end("home")
    assert play.finish.outcome is Outcome.PASSED


def test_a_call_that_fails_tidies_up_and_is_tried_again_with_new_tries() -> None:
    play = Play(CALLS, LOGIN, who="kim")
    play.end("login/open", ErrorClass.APP)
    play.end("login/proof")
    play.end("login/tidy")
    assert play.told()[-1] == "!login"
    play.advance(1.0)
    assert play.running["login/open"].try_number == 2
    play.end("login/open", package="x")
    play.end("login/type", ErrorClass.APP)
    play.end("login/proof")
    play.end("login/tidy")
    play.end("beside")
    play.end("home")
    assert play.finish.failure is not None
    assert play.finish.failure.step == "login/type"


@pytest.mark.parametrize("cause", [Cause.CANCEL, Cause.DRAIN, Cause.TIMEOUT])
def test_a_stop_runs_the_always_of_the_call_and_then_its_own(cause: Cause) -> None:
    play = Play(CALLS, LOGIN, who="kim", timeout_s=90.0)
    if cause is Cause.TIMEOUT:
        play.advance(90.0)
    else:
        play.stop(cause)
    assert {act.step.id for act in play.acts if isinstance(act, CancelTry)} == {"login/open", "beside"}
    play.end("login/open", ErrorClass.CANCELLED)
    play.end("beside", ErrorClass.CANCELLED)
    assert list(play.running) == ["login/tidy"]
    play.advance(play.now_s + ALWAYS_GRACE_S / 2)
    play.end("login/tidy", ErrorClass.CANCELLED)
    assert list(play.running) == ["home"]
    play.end("home")
    assert play.finish.outcome is (Outcome.FAILED if cause is Cause.TIMEOUT else Outcome.CANCELLED)
    assert "+login/proof" not in play.told()


def test_a_release_ends_a_call_without_anything_more() -> None:
    play = Play(CALLS, LOGIN, who="kim")
    play.stop(Cause.RELEASE)
    play.end("login/open", ErrorClass.CANCELLED)
    play.end("beside", ErrorClass.CANCELLED)
    assert play.finish.released
    assert "+login/tidy" not in play.told()


def test_the_timeout_of_the_called_workflow_ends_the_call() -> None:
    play = Play(CALLS.replace("attempts: 2", "attempts: 1"), LOGIN, who="kim")
    play.advance(100.0)
    play.end("login/open", ErrorClass.CANCELLED)
    play.end("login/tidy")
    play.end("beside")
    play.end("home")
    assert play.finish.failure is not None
    assert (play.finish.failure.code, play.finish.failure.step) == ("step_timeout", "login")


def test_a_failure_beside_a_call_begins_nothing_more_in_it() -> None:
    play = Play(CALLS, LOGIN, who="kim")
    play.end("beside", ErrorClass.DEVICE)
    assert not any(isinstance(act, CancelTry) for act in play.acts)
    play.end("login/open", package="x")
    assert list(play.running) == ["login/tidy"]
    play.end("login/tidy")
    play.end("home")
    assert "+login/type" not in play.told()
    assert play.finish.failure is not None
    assert play.finish.failure.step == "beside"


def test_parameters_that_do_not_fit_are_found_when_it_is_called() -> None:
    picky = LOGIN.replace("default: demo", "max_length: 2")
    play = Play(CALLS, picky, who="kim")
    play.end("home")
    assert play.finish.failure is not None
    assert (play.finish.failure.code, play.finish.failure.step) == ("bad_call", "login")


def test_an_unknown_end_inside_is_an_unknown_end() -> None:
    play = Play(CALLS, LOGIN, who="kim")
    play.end("login/open", package="x")
    begun = play.running.pop("login/type")
    failure = Failure(error_class=ErrorClass.DEVICE, code="device_offline", message="Gone.")
    play.take(play.sequence.ended("login/type", begun.try_number, failure, unobserved=True, now_s=0, random01=0.5))
    for name in ("login/proof", "login/tidy", "beside", "home"):
        play.end(name)
    assert play.finish.outcome is Outcome.UNKNOWN


def test_no_picture_is_taken_beside_a_sensitive_step() -> None:
    text = """
steps:
  - {id: secret, use: http.request, with: {url: "http://a/"}, sensitive: true}
  - {id: shot, use: screen.capture, needs: []}
"""
    play = Play(text)
    assert list(play.running) == ["secret"]
    play.end("secret", status=200)
    assert list(play.running) == ["shot"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_happens_each_try_begins_once_and_the_attempt_ends(data: st.DataObject) -> None:
    text = """
timeout: 600s
params: {who: {type: string, default: kim}}
steps:
  - id: outer
    use: flow.until
    until: "steps.tap.x > 2"
    with: {times: 3, pause: 1s}
    retry: {attempts: 2, backoff: 1s}
    steps:
      - {id: login, use: workflow.call, with: {workflow: login, params: {account: "${params.who}"}}, optional: true}
      - {id: tap, use: ui.tap, with: {text: a}, retry: {attempts: 2, backoff: 1s}}
      - {id: again, use: flow.repeat, with: {within: 5s, times: 2}, steps: [{id: key, use: ui.key, with: {key: A}}]}
  - {id: beside, use: wait, with: {for: 60s}, needs: []}
on_failure: [{id: proof, use: workflow.call, with: {workflow: login}}]
always: [{id: home, use: ui.key, with: {key: HOME}}]
"""
    play = Play(text, LOGIN, who="kim")
    for _ in range(200):
        if play.ended:
            break
        choice = data.draw(st.integers(0, 9))
        if choice == 0:
            play.stop(data.draw(st.sampled_from([Cause.CANCEL, Cause.DRAIN, Cause.RELEASE])))
        elif choice < 4 or not play.running:
            play.advance(play.now_s + data.draw(st.sampled_from([0.5, 2.0, 40.0, 200.0])))
        else:
            name = data.draw(st.sampled_from(sorted(play.running)))
            failure = data.draw(st.sampled_from([None, None, None, ErrorClass.APP, ErrorClass.CANCELLED]))
            play.end(name, failure, x=data.draw(st.integers(0, 4)), package="p")
    for _ in range(200):
        if play.ended:
            break
        play.advance(play.now_s + 100.0)
        for name in list(play.running):
            play.end(name, ErrorClass.CANCELLED)
    assert play.finish is not None
    assert not play.running
    assert sum(isinstance(act, FreeDevice) for act in play.acts) == 1
    assert play.sequence.due_s() is None
