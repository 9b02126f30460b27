"""Who vouches for what: leases, unproven attempts, what a node holds after all, cancelling, restarts."""

from __future__ import annotations

import pytest

from doai import topics
from doai.codec import Kind
from doai.errors import ErrorClass
from doai.ids import Token
from doai.messages import commands as c
from doai.messages.work import Dispatch
from doai.states import Outcome, TaskState
from tests.unit.broker.harness import TAPPING, FakeAdmin, FakeNode, World, failure, started_world


def _held(workflow: str = "look", *, begun: bool = True) -> tuple[World, FakeNode, FakeAdmin, Dispatch]:
    world, node, admin = started_world("d1")
    admin.store(TAPPING)
    admin.run("d1", workflow=workflow)
    (dispatch,) = node.pump()
    if begun:
        node.begin(dispatch)
        node.flush()
    return world, node, admin, dispatch


@pytest.mark.parametrize("begun", [False, True])
def test_a_lease_that_ends_makes_unproven_and_a_word_makes_proven(begun: bool) -> None:
    world, node, _, dispatch = _held(begun=begun)
    before = world.task_state(dispatch.task_id)
    world.pass_time(59)
    assert world.task_state(dispatch.task_id) is before
    world.pass_time(2)
    assert world.task_state(dispatch.task_id) is TaskState.UNPROVEN
    waiting = FakeAdmin(world).run("d1").task_ids[0]
    assert node.pump() == []
    world.check()
    node.connect()
    assert world.task_state(dispatch.task_id) is before
    assert [d.task_id for d in node.held.values()] == [dispatch.task_id, waiting]
    assert topics.TASK_UNPROVEN in world.story(dispatch.task_id)
    assert world.story(dispatch.task_id)[-1] == topics.TASK_PROVEN
    world.check()


def test_heartbeats_extend_only_what_they_list() -> None:
    world, node, admin = started_world("d1", "d2")
    admin.run("d1", "d2")
    first, second = node.pump()
    for _ in range(7):
        world.pass_time(10)
        node.heartbeat([first.token])
    assert world.task_state(first.task_id) is TaskState.DISPATCHED
    assert world.task_state(second.task_id) is TaskState.UNPROVEN
    node.heartbeat([first.token, second.token])
    assert world.task_state(second.task_id) is TaskState.DISPATCHED
    world.check()


def test_an_abandoned_attempt_is_unknown_when_a_step_must_not_be_repeated() -> None:
    world, _, _, dispatch = _held("tapping")
    world.pass_time(600 + 60 + 29)
    assert world.task_state(dispatch.task_id) is TaskState.UNPROVEN
    world.pass_time(2)
    assert world.task_state(dispatch.task_id) is TaskState.UNKNOWN
    assert world.story(dispatch.task_id)[-3:] == [
        topics.TASK_UNPROVEN,
        topics.TASK_UNKNOWN,
        topics.DEADLETTER_CREATED,
    ]
    assert next(iter(world.tables.runs.values())).outcome is Outcome.UNKNOWN
    world.check()


def test_an_abandoned_attempt_is_tried_again_when_all_steps_may_be_repeated() -> None:
    world, node, _, dispatch = _held()
    world.pass_time(600 + 60 + 31 + 3)
    assert world.task_state(dispatch.task_id) is TaskState.QUEUED
    node.connect()
    (again,) = [d for d in node.held.values() if d.token != dispatch.token]
    assert again.attempt == 2
    assert node.released == [dispatch.token]
    world.check()


def test_being_heard_in_time_voids_the_end_of_the_wait() -> None:
    world, node, _, dispatch = _held("tapping")
    world.pass_time(300)
    node.connect()
    for _ in range(45):
        world.pass_time(10)
        node.heartbeat()
    assert world.task_state(dispatch.task_id) is TaskState.RUNNING
    world.pass_time(600 + 60 + 31)
    assert world.task_state(dispatch.task_id) is TaskState.UNKNOWN


def test_what_a_node_does_not_hold_and_had_not_begun_is_released() -> None:
    world, node, _, dispatch = _held(begun=False)
    node.held.clear()
    node.connect()
    (again,) = node.held.values()
    assert (again.task_id, again.attempt) == (dispatch.task_id, 1)
    assert again.token > dispatch.token
    assert world.story(dispatch.task_id)[-2:] == [topics.TASK_RELEASED, topics.TASK_DISPATCHED]
    world.check()


@pytest.mark.parametrize(("workflow", "state"), [("look", TaskState.DELAYED), ("tapping", TaskState.UNKNOWN)])
def test_what_a_node_does_not_hold_and_had_begun_is_lost(workflow: str, state: TaskState) -> None:
    world, node, _, dispatch = _held(workflow)
    node.held.clear()
    node.connect()
    assert world.task_state(dispatch.task_id) is state
    world.check()


def test_a_new_life_of_the_outbox_may_have_forgotten_a_start() -> None:
    world, node, _, dispatch = _held("tapping", begun=False)
    node.held.clear()
    node.incarnation, node.seq, node.trimmed, node.unsent = "second-life", 0, 0, []
    node.connect()
    assert world.task_state(dispatch.task_id) is TaskState.UNKNOWN
    world.check()


def test_absence_is_judged_only_when_the_facts_are_there() -> None:
    world, node, _, dispatch = _held()
    node.end(dispatch)
    kept, node.unsent = node.unsent, []
    node.connect()
    assert world.task_state(dispatch.task_id) is TaskState.RUNNING
    node.unsent = kept
    node.flush()
    assert world.task_state(dispatch.task_id) is TaskState.PASSED
    assert world.core.state.nodes["n1"].ready


def test_what_nobody_knows_is_released() -> None:
    world, node, _, dispatch = _held()
    stranger = Token(1, 4_000)
    node.held[stranger] = dispatch
    node.connect()
    assert node.released == [stranger]
    assert world.task_state(dispatch.task_id) is TaskState.RUNNING


def test_a_heartbeat_with_a_foreign_token_is_asked_to_list() -> None:
    world, node, _, _ = _held()
    node.heartbeat([Token(1, 4_000)])
    assert any(header.kind == 18 for header, _ in world.inbox[node.link])


# --- cancelling -------------------------------------------------------------------------------------------


def _cancel(admin: FakeAdmin, dispatch: Dispatch) -> c.Cancelled:
    cancelled: c.Cancelled = admin.do(
        c.CANCEL_TASK, c.CancelTask(task_id=dispatch.task_id, reason="no"), c.Cancelled
    )
    return cancelled


def test_waiting_tasks_are_cancelled_at_once() -> None:
    world, node, admin, _ = _held()
    run = admin.run("d1")
    third = admin.run("d1")
    node.pump()
    answer = admin.do(c.CANCEL_RUN, c.CancelRun(run_id=third.run_id), c.Cancelled)
    assert answer == c.Cancelled(cancelled=1, cancelling=0, ended_before=0)
    assert world.task_state(third.task_ids[0]) is TaskState.CANCELLED
    assert world.tables.runs[third.run_id].outcome is Outcome.CANCELLED
    assert world.task_state(run.task_ids[0]) is TaskState.DISPATCHED
    assert "user/ann" in world.tables.tasks[third.task_ids[0]].status.reason
    world.check()


def test_a_running_task_is_cancelled_by_its_node() -> None:
    world, node, admin, dispatch = _held()
    assert _cancel(admin, dispatch) == c.Cancelled(cancelled=0, cancelling=1, ended_before=0)
    node.pump()
    assert node.cancelled == [dispatch.token]
    assert world.task_state(dispatch.task_id) is TaskState.CANCELLING
    world.check()
    node.end(dispatch, Outcome.CANCELLED)
    node.flush()
    assert world.task_state(dispatch.task_id) is TaskState.CANCELLED
    assert world.story(dispatch.task_id)[-2:] == [topics.TASK_CANCELLING, topics.TASK_CANCELLED]
    world.check()


@pytest.mark.parametrize(
    ("outcome", "about", "state"),
    [
        (Outcome.PASSED, {}, TaskState.PASSED),
        (Outcome.FAILED, {}, TaskState.FAILED),
        (Outcome.FAILED, {"released": True}, TaskState.CANCELLED),
        (Outcome.EXPIRED, {}, TaskState.CANCELLED),
        (Outcome.UNKNOWN, {"repeatable": False}, TaskState.UNKNOWN),
    ],
)
def test_what_really_happened_before_a_cancel_is_kept(
    outcome: Outcome, about: dict[str, bool], state: TaskState
) -> None:
    world, node, admin, dispatch = _held()
    _cancel(admin, dispatch)
    node.end(dispatch, outcome, **about)
    node.flush()
    assert world.task_state(dispatch.task_id) is state
    world.check()


def test_a_task_that_its_node_has_not_begun_is_cancelled_when_it_gives_it_back() -> None:
    world, node, admin, dispatch = _held(begun=False)
    assert _cancel(admin, dispatch).cancelling == 1
    node.pump()
    assert node.cancelled == [dispatch.token]
    node.end(dispatch, Outcome.CANCELLED)
    node.flush()
    assert world.task_state(dispatch.task_id) is TaskState.CANCELLED
    world.check()


def test_a_delayed_task_is_cancelled_at_once() -> None:
    world, node, admin, dispatch = _held()
    node.end(dispatch, Outcome.FAILED, failure=failure(ErrorClass.DEVICE))
    node.flush()
    assert world.task_state(dispatch.task_id) is TaskState.DELAYED
    assert _cancel(admin, dispatch) == c.Cancelled(cancelled=1, cancelling=0, ended_before=0)
    assert world.task_state(dispatch.task_id) is TaskState.CANCELLED
    world.pass_time(10)
    assert node.pump() == [], "the delay comes to nothing"
    world.check()


def test_an_unproven_task_is_cancelled_when_its_holder_speaks() -> None:
    world, node, _, dispatch = _held()
    world.pass_time(61)
    assert world.task_state(dispatch.task_id) is TaskState.UNPROVEN
    admin = FakeAdmin(world)
    assert _cancel(admin, dispatch).cancelling == 1
    assert admin.run("d1").task_ids[0] in world.core.state.tasks
    world.check()
    node.connect()
    assert node.cancelled == [dispatch.token]
    assert len(node.held) == 2, "the next may wait at the node once the holder is heard"
    node.end(dispatch, Outcome.CANCELLED)
    node.flush()
    assert world.task_state(dispatch.task_id) is TaskState.CANCELLED
    world.check()


def test_cancelling_again_changes_nothing_and_asks_again() -> None:
    world, node, admin, dispatch = _held()
    for _ in range(2):
        assert _cancel(admin, dispatch).cancelling == 1
    node.pump()
    assert node.cancelled == [dispatch.token] * 2
    assert world.story(dispatch.task_id).count(topics.TASK_CANCELLING) == 1
    world.check()


def test_an_ended_task_can_not_be_cancelled() -> None:
    _, node, admin, dispatch = _held()
    node.end(dispatch)
    node.flush()
    assert admin.refused(c.CANCEL_TASK, c.CancelTask(task_id=dispatch.task_id)).code == "not_open"


def test_a_cancel_reaches_a_node_that_was_away() -> None:
    world, node, admin, dispatch = _held()
    node.bye()
    _cancel(admin, dispatch)
    world.pass_time(100)
    assert world.task_state(dispatch.task_id) is TaskState.CANCELLING
    node.connect()
    assert node.cancelled == [dispatch.token]
    world.check()


@pytest.mark.parametrize(("workflow", "state"), [("look", TaskState.CANCELLED), ("tapping", TaskState.UNKNOWN)])
def test_a_cancelled_task_of_a_lost_node_ends_when_the_wait_ends(workflow: str, state: TaskState) -> None:
    world, _, admin, dispatch = _held(workflow)
    _cancel(admin, dispatch)
    world.pass_time(700)
    assert world.task_state(dispatch.task_id) is state
    world.check()


# --- time and restarts ------------------------------------------------------------------------------------


def test_a_waiting_task_expires() -> None:
    world, node, admin, _ = _held()
    node.bye()
    task_id = admin.run("d1", expires_in_s=20.0).task_ids[0]
    world.pass_time(19)
    assert world.task_state(task_id) is TaskState.QUEUED
    world.pass_time(2)
    assert world.task_state(task_id) is TaskState.EXPIRED
    assert world.story(task_id) == [topics.TASK_QUEUED, topics.TASK_EXPIRED]
    world.check()


def test_a_task_given_back_after_its_time_expires() -> None:
    world, node, admin = started_world("d1")
    admin.run("d1", expires_in_s=20.0)
    (dispatch,) = node.pump()
    for _ in range(3):
        world.pass_time(9)
        node.heartbeat()
    node.device_gone("d1")
    node.end(dispatch, Outcome.FAILED, released=True)
    node.flush()
    world.pass_time(1)
    assert world.task_state(dispatch.task_id) is TaskState.EXPIRED


def test_a_broker_that_starts_again_goes_on() -> None:
    world, node, admin, running = _held()
    waiting = [admin.run("d1").task_ids[0] for _ in range(3)]
    node.pump()
    world.restart()
    world.check()
    world.pass_time(5)
    node.connect()
    assert node.welcome.last_seq == node.seq
    tokens = {dispatch.token for dispatch in node.held.values()}
    order = []
    while node.held:
        dispatch = next(iter(node.held.values()))
        order.append(dispatch.task_id)
        node.end(dispatch)
        tokens |= {new.token for new in node.flush()}
    assert order == [running.task_id, *waiting]
    assert len(tokens) == 4, "a token is never used again"
    assert not world.core.state.tasks
    world.check()


def test_a_restart_gives_open_leases_a_full_term_and_keeps_delays() -> None:
    world, _, _, running = _held()
    world.pass_time(50)
    world.restart()
    world.pass_time(50)
    assert world.task_state(running.task_id) is TaskState.RUNNING
    world.pass_time(11)
    assert world.task_state(running.task_id) is TaskState.UNPROVEN
    world.restart()
    world.check()
    world.pass_time(600 + 60 + 31 + 5)
    assert world.task_state(running.task_id) is TaskState.QUEUED
    assert world.tables.tasks[running.task_id].status.attempt == 2
    world.check()


def test_a_heartbeat_before_the_holdings_shows_that_these_were_lost() -> None:
    world, node, _, dispatch = _held()
    node.connect(holdings=False)
    node.heartbeat()
    assert Kind.HELLO_REQUIRED in world.kinds(node.link)
    node.connect()
    node.heartbeat()
    assert Kind.HELLO_REQUIRED not in world.kinds(node.link)
    assert world.task_state(dispatch.task_id) is TaskState.RUNNING
    world.check()


def test_a_dispatch_that_was_lost_is_given_anew_without_burning_an_attempt() -> None:
    world, node, _, dispatch = _held(begun=False)
    del node.held[dispatch.token]
    world.pass_time(10)
    node.heartbeat()
    assert Kind.HELLO_REQUIRED not in world.kinds(node.link), "one heartbeat may cross it"
    world.pass_time(11)
    node.heartbeat()
    assert Kind.HELLO_REQUIRED in world.kinds(node.link)
    node.connect()
    (again,) = node.held.values()
    assert (again.task_id, again.attempt) == (dispatch.task_id, 1)
    assert again.token > dispatch.token
    world.check()


def test_a_cancel_that_was_lost_is_asked_for_again() -> None:
    world, node, admin, dispatch = _held()
    admin.do(c.CANCEL_TASK, c.CancelTask(task_id=dispatch.task_id), c.Cancelled)
    world.inbox[node.link].clear()
    node.heartbeat()
    assert node.cancelled == [dispatch.token]
