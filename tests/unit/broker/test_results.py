"""What nodes tell, and what comes of it: outcomes, retries, stale tokens, what nobody can read."""

from __future__ import annotations

import msgspec
import pytest

from doai import topics
from doai.broker.core.settings import CoreSettings
from doai.broker.core.tasks import outcome_of_run
from doai.changes.dead_letters import DeadReason
from doai.codec import Kind, encode
from doai.errors import ErrorClass
from doai.ids import Token
from doai.messages.link import Heartbeat, Record
from doai.messages.work import Dispatch
from doai.states import DeviceState, Outcome, TaskState, WorkflowState
from tests.unit.broker.harness import RECIPE, TAPPING, FakeAdmin, FakeNode, World, failure, sample, started_world


def _dispatched(workflow: str = "look") -> tuple[World, FakeNode, FakeAdmin, Dispatch]:
    world, node, admin = started_world("d1")
    admin.store(TAPPING)
    admin.run("d1", workflow=workflow)
    (dispatch,) = node.pump()
    node.begin(dispatch)
    return world, node, admin, dispatch


def test_a_failed_attempt_is_tried_again_after_its_delay_at_the_end_of_the_fifo() -> None:
    world, node, admin, first = _dispatched()
    second_task = admin.run("d1").task_ids[0]
    third_task = admin.run("d1").task_ids[0]
    (second,) = node.pump()
    assert second.task_id == second_task
    node.end(first, Outcome.FAILED, failure=failure(ErrorClass.DEVICE))
    (third,) = node.flush()
    assert third.task_id == third_task
    assert world.task_state(first.task_id) is TaskState.DELAYED
    assert world.story(first.task_id)[-1] == topics.TASK_RETRIED
    world.check()
    world.pass_time(2.1)
    assert world.task_state(first.task_id) is TaskState.QUEUED
    node.end(second)
    (again,) = node.flush()
    assert again.task_id == first.task_id
    assert again.attempt == 2
    assert again.token > third.token
    node.end(third)
    node.end(again)
    node.flush()
    assert world.task_state(first.task_id) is TaskState.PASSED
    assert [a.outcome for a in world.tables.attempts.values() if a.task_id == first.task_id] == [
        Outcome.FAILED,
        Outcome.PASSED,
    ]
    world.check()


def test_attempts_end() -> None:
    world, node, _, dispatch = _dispatched()
    for attempt in (1, 2, 3):
        assert dispatch.attempt == attempt
        node.end(dispatch, Outcome.FAILED, failure=failure(ErrorClass.INFRASTRUCTURE))
        node.flush()
        if attempt < 3:
            world.pass_time(60)
            node.heartbeat()
            world.pass_time(1)
            (dispatch,) = list(node.held.values())
    assert world.task_state(dispatch.task_id) is TaskState.FAILED
    assert world.tables.tasks[dispatch.task_id].status.failure is not None
    assert [r.outcome for r in world.tables.runs.values()] == [Outcome.FAILED]
    world.check()


@pytest.mark.parametrize("error_class", [ErrorClass.USER, ErrorClass.AUTH, ErrorClass.CANCELLED, ErrorClass.APP])
def test_some_failures_are_never_tried_again(error_class: ErrorClass) -> None:
    world, node, _, dispatch = _dispatched()
    node.end(dispatch, Outcome.FAILED, failure=failure(error_class))
    node.flush()
    assert world.task_state(dispatch.task_id) is TaskState.FAILED


def test_a_rate_limit_waits_for_a_minute() -> None:
    world, node, _, dispatch = _dispatched()
    node.end(dispatch, Outcome.FAILED, failure=failure(ErrorClass.RATE_LIMIT))
    node.flush()
    world.pass_time(59)
    assert world.task_state(dispatch.task_id) is TaskState.DELAYED
    world.pass_time(2)
    assert world.task_state(dispatch.task_id) is not TaskState.DELAYED


def test_the_run_may_say_how_many_attempts() -> None:
    world, node, admin = started_world("d1")
    admin.run("d1", attempts=1)
    (dispatch,) = node.pump()
    node.end(dispatch, Outcome.FAILED, failure=failure(ErrorClass.DEVICE))
    node.flush()
    assert world.task_state(dispatch.task_id) is TaskState.FAILED


def test_the_recipe_may_switch_retries_off() -> None:
    world, node, admin = started_world("d1")
    admin.store("workflow: once\nretry: {attempts: 1}\nsteps:\n  - {id: look, use: screen.capture}\n")
    admin.run("d1", workflow="once")
    (dispatch,) = node.pump()
    node.end(dispatch, Outcome.FAILED, failure=failure(ErrorClass.DEVICE))
    node.flush()
    assert world.task_state(dispatch.task_id) is TaskState.FAILED


def test_without_a_word_of_the_recipe_there_are_three_attempts_with_full_jitter() -> None:
    world, node, admin = started_world("d1", settings=CoreSettings(quarantine_after=0))
    admin.store("workflow: plain\nsteps:\n  - {id: look, use: screen.capture}\n")
    delays: dict[int, list[int]] = {1: [], 2: []}
    for _ in range(12):
        world.send(admin.link, admin.name, Kind.HEARTBEAT, encode(Heartbeat(sample=sample())))
        task_id = admin.run("d1", workflow="plain").task_ids[0]
        for attempt in (1, 2, 3):
            world.pass_time(5)
            node.heartbeat()
            (dispatch,) = list(node.held.values())
            assert dispatch.attempt == attempt
            node.end(dispatch, Outcome.FAILED, failure=failure(ErrorClass.DEVICE))
            node.flush()
            status = world.tables.tasks[task_id].status
            if status.not_before_ms is not None:
                delays[attempt].append(status.not_before_ms - world.utc_ms)
        assert world.task_state(task_id) is TaskState.FAILED
    assert max(delays[1]) <= 2000 < max(delays[2]) <= 4000
    assert len(set(delays[1])) > 8, "spread over the whole time, not all at its end"
    assert min(delays[1]) < 500


def test_unknown_is_not_tried_again_unless_listed() -> None:
    world, node, _, dispatch = _dispatched("tapping")
    node.end(dispatch, Outcome.UNKNOWN, failure=failure(ErrorClass.UNKNOWN), repeatable=False)
    node.flush()
    assert world.task_state(dispatch.task_id) is TaskState.UNKNOWN
    assert world.story(dispatch.task_id)[-2:] == [topics.TASK_UNKNOWN, topics.DEADLETTER_CREATED]


def test_a_crash_in_which_nothing_unrepeatable_was_under_way_is_infrastructure() -> None:
    world, node, _, dispatch = _dispatched()
    node.end(dispatch, Outcome.UNKNOWN, failure=failure(ErrorClass.UNKNOWN), repeatable=True)
    node.flush()
    assert world.task_state(dispatch.task_id) is TaskState.DELAYED


def test_a_released_task_keeps_its_place_and_its_attempt() -> None:
    world, node, admin = started_world("d1")
    first_id = admin.run("d1").task_ids[0]
    admin.run("d1")
    admin.run("d1")
    first, second = node.pump()
    node.end(first, Outcome.FAILED, released=True)
    (again,) = node.flush()
    assert (again.task_id, again.attempt) == (first_id, 1)
    assert world.story(first_id) == ["task.queued", "task.dispatched", "task.released", "task.dispatched"]
    node.end(second)
    node.flush()
    world.check()


def test_a_task_that_its_node_did_not_begin_in_time_is_expired() -> None:
    world, node, admin = started_world("d1")
    admin.run("d1", expires_in_s=30.0)
    (dispatch,) = node.pump()
    assert dispatch.begin_within_s == 30.0
    node.end(dispatch, Outcome.EXPIRED)
    node.flush()
    assert world.task_state(dispatch.task_id) is TaskState.EXPIRED
    assert world.story(dispatch.task_id)[-1] == topics.TASK_EXPIRED
    world.check()


def test_an_attempt_that_says_expired_after_it_began_failed() -> None:
    world, node, _, dispatch = _dispatched()
    node.end(dispatch, Outcome.EXPIRED)
    node.flush()
    assert world.task_state(dispatch.task_id) is TaskState.DELAYED


def test_a_stale_token_is_late_and_changes_nothing() -> None:
    world, node, _, dispatch = _dispatched()
    stale = msgspec.structs.replace(dispatch, token=Token(1, dispatch.token.n + 5000))
    node.flush()
    before = world.tables.tasks[dispatch.task_id]
    node.end(stale)
    node.flush()
    assert world.story(dispatch.task_id)[-1] == topics.TASK_LATE
    assert world.tables.tasks[dispatch.task_id] == before
    node.end(dispatch)
    node.end(dispatch, Outcome.FAILED)
    node.flush()
    assert world.task_state(dispatch.task_id) is TaskState.PASSED
    assert world.story(dispatch.task_id)[-2:] == [topics.TASK_COMPLETED, topics.TASK_LATE]
    world.check()


def test_facts_keep_their_event_id_and_a_resend_is_only_acknowledged() -> None:
    world, node, _, dispatch = _dispatched()
    node.end(dispatch)
    records = list(node.unsent)
    node.flush()
    count = len(world.tables.events)
    node.send_records(records)
    assert len(world.tables.events) == count
    assert world.kinds(node.link)[-1] is Kind.ACK
    assert len({event.event_id for event in world.events()}) == count


def test_an_unknown_type_is_stored_as_it_is_and_set_aside() -> None:
    world, node, _ = started_world()
    node.fact("coffee.brewed", "node/n1", b"\x80")
    node.flush()
    assert [event.type for event in world.events()][-2:] == ["coffee.brewed", topics.DEADLETTER_CREATED]
    (letter,) = world.tables.dead_letters.values()
    assert (letter.reason, letter.type) == (DeadReason.UNKNOWN_TYPE, "coffee.brewed")
    assert node.unsent == []


def test_a_type_of_the_brokers_own_is_set_aside() -> None:
    world, node, _, dispatch = _dispatched()
    node.fact(topics.TASK_COMPLETED, topics.task_subject(dispatch.task_id), b"\x80", source="broker/main")
    node.flush()
    (letter,) = world.tables.dead_letters.values()
    assert (letter.reason, letter.node_id) == (DeadReason.FORBIDDEN_TYPE, "n1")
    assert "task.completed, which is not a node's to tell" in letter.message
    assert world.task_state(dispatch.task_id) is TaskState.RUNNING


def test_what_can_not_be_read_is_stored_reported_and_blocks_nothing() -> None:
    world, node, _, dispatch = _dispatched()
    node.fact(topics.ATTEMPT_ENDED, topics.task_subject(dispatch.task_id), b"\x81\xa1x\x01")
    node.seq += 1
    node.unsent.append(Record(node.seq, msgspec.Raw(b"\x93\x01\x02\x03")))
    node.fact(
        topics.DEVICE_ONLINE, "device/..", b"\x84\xa6serial\xa2..\xa6nodeId\xa2n1\xa6driver\xa1x\xaaconnection\xa1x"
    )
    node.end(dispatch)
    node.flush()
    types = [event.type for event in world.events()]
    letters = list(world.tables.dead_letters.values())
    assert types.count(topics.DEADLETTER_CREATED) == len(letters) == 3
    assert {letter.reason for letter in letters} == {DeadReason.UNDECODABLE}
    assert letters[1].data == b"\x93\x01\x02\x03"
    assert topics.ATTEMPT_ENDED in types
    assert world.task_state(dispatch.task_id) is TaskState.PASSED
    assert ".." not in world.core.state.devices
    assert node.unsent == []


def test_a_gap_starts_the_stream_again() -> None:
    world, node, _ = started_world()
    node.fact("coffee.brewed", "node/n1", b"\x80")
    lost = node.unsent.pop()
    node.fact("coffee.drunk", "node/n1", b"\x80")
    node.flush()
    assert Kind.HELLO_REQUIRED in world.kinds(node.link)
    assert len(node.unsent) == 1
    node.unsent.insert(0, lost)
    node.connect()
    told = [event.type for event in world.events() if event.type.startswith("coffee.")]
    assert told == ["coffee.brewed", "coffee.drunk"]


def test_start_and_end_in_one_frame_are_one_write_of_the_task() -> None:
    world, node, _, dispatch = _dispatched()
    node.end(dispatch)
    before = len(world.tables.events)
    node.flush()
    assert world.task_state(dispatch.task_id) is TaskState.PASSED
    assert world.tables.tasks[dispatch.task_id].status.started_at_ms is not None
    assert len(world.tables.events) == before + 3


def test_precedence_of_a_runs_outcome() -> None:
    assert outcome_of_run({"passed": 3}) is Outcome.PASSED
    assert outcome_of_run({"passed": 3, "cancelled": 1}) is Outcome.CANCELLED
    assert outcome_of_run({"expired": 1, "cancelled": 1}) is Outcome.EXPIRED
    assert outcome_of_run({"unknown": 1, "expired": 1}) is Outcome.UNKNOWN
    assert outcome_of_run({"unknown": 1, "failed": 1, "passed": 9}) is Outcome.FAILED


def test_a_device_seen_twice_stays_with_its_proven_holder() -> None:
    world, node, admin = started_world("d1")
    other = FakeNode(world, "n2").connect()
    other.device("d1")
    other.flush()
    assert world.tables.devices["d1"].node_id == "n1"
    assert world.events()[-1].type == topics.SYSTEM_ALERT
    node.device_gone("d1")
    node.flush()
    assert world.tables.devices["d1"].node_id == "n2"
    admin.run("d1")
    assert [d.device_serial for d in other.pump()] == ["d1"]
    world.check()


def test_a_device_that_a_restarted_node_does_not_find_goes_to_the_node_that_does() -> None:
    world, node, _ = started_world("d1")
    other = FakeNode(world, "n2").connect()
    other.device("d1")
    other.flush()
    node.bye()
    node.here.clear()
    node.connect()
    node.hello(sample=msgspec.structs.replace(sample(), started_at_ms=2))
    node.list_holdings()
    other.heartbeat()
    world.pass_time(10)
    node.heartbeat()
    assert world.tables.devices["d1"].state is DeviceState.ONLINE, "its drivers are still looking"
    for _ in range(2):
        world.pass_time(10)
        other.heartbeat()
        node.heartbeat()
    assert world.tables.devices["d1"].node_id == "n2"
    world.check()


def test_a_device_that_nobody_finds_any_more_is_offline() -> None:
    world, node, _ = started_world("d1", "d2")
    node.here.discard("d1")
    world.pass_time(25)
    node.heartbeat()
    rows = world.tables.devices
    assert rows["d1"].state is DeviceState.OFFLINE
    assert rows["d1"].reason == "node n1 has not found it since it started"
    assert rows["d2"].state is DeviceState.ONLINE
    assert world.events(topics.DEVICE_OFFLINE)[-1].subject == topics.device_subject("d1")
    world.check()


def test_a_device_moves_when_its_holder_goes() -> None:
    world, node, admin = started_world("d1")
    admin.run("d1")
    (held,) = node.pump()
    other = FakeNode(world, "n2").connect()
    other.device("d1")
    other.flush()
    node.bye()
    assert world.tables.devices["d1"].node_id == "n2"
    second = admin.run("d1").task_ids[0]
    assert other.pump() == [], "the first attempt may still act on it"
    node.connect()
    node.begin(held)
    node.end(held)
    node.flush()
    assert [d.task_id for d in other.pump()] == [second]
    world.check()


def test_a_recipe_for_two_names_is_two_recipes() -> None:
    world, node, admin = started_world("d1", "d2")
    admin.store(RECIPE.format(name="other"))
    admin.run("d1")
    admin.run("d2", workflow="other")
    assert len(node.pump()) == 2
    assert len(node.recipes) == 2
    assert world.tables.workflows[("other", 1)].state is WorkflowState.ACTIVE
