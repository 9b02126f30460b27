"""What gave up is kept until a person decides: tasks, messages; tried again as new tasks, discarded, told of."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from doai import limits, topics
from doai.broker.core import dead_letters
from doai.broker.core.results import Results
from doai.changes.dead_letters import DeadLetterKind, DeadLetterRow, DeadReason
from doai.codec import Kind
from doai.errors import ErrorClass
from doai.incidents import IncidentType
from doai.messages import commands as c
from doai.messages import dead_letters as d
from doai.messages.link import Record
from doai.states import DeadLetterState, Outcome, TaskState
from tests.unit.broker.harness import FakeAdmin, FakeNode, World, failure, started_world


def _fail(world: World, node: FakeNode, admin: FakeAdmin, *serials: str, **about: Any) -> c.RunCreated:
    """Make a run of which every task fails for good."""
    run = admin.run(*serials, **{"attempts": 1, **about})
    node.pump()
    for dispatch in list(node.held.values()):
        node.begin(dispatch)
        node.end(dispatch, Outcome.FAILED, failure=failure(ErrorClass.APP))
    node.flush()
    world.check()
    return run


def _letters(world: World, state: DeadLetterState = DeadLetterState.OPEN) -> list[DeadLetterRow]:
    return [row for row in world.tables.dead_letters.values() if row.state is state]


def _retry(admin: FakeAdmin, *, everything: bool = False, **which: Any) -> d.DeadLettersRetried:
    wish = d.RetryDeadLetters(which=d.LetterFilter(**which), everything=everything)
    answer: d.DeadLettersRetried = admin.do(d.RETRY_DEAD_LETTERS, wish, d.DeadLettersRetried)
    return answer


def _discard(admin: FakeAdmin, confirm: str = "", **which: Any) -> d.DeadLettersDiscarded:
    wish = d.DiscardDeadLetters(which=d.LetterFilter(**which), reason="seen", confirm=confirm)
    answer: d.DeadLettersDiscarded = admin.do(d.DISCARD_DEAD_LETTERS, wish, d.DeadLettersDiscarded)
    return answer


# --- tasks ------------------------------------------------------------------------------------------------


def test_a_task_gives_up_after_its_last_try_and_not_before() -> None:
    world, node, admin = started_world("d1")
    run = admin.run("d1", attempts=2)
    node.pump()
    for _ in range(2):
        assert _letters(world) == []
        (dispatch,) = node.held.values()
        node.begin(dispatch)
        node.end(dispatch, Outcome.FAILED, failure=failure(ErrorClass.DEVICE, "no_answer"))
        node.flush()
        world.pass_time(5)
        node.pump()
    (letter,) = _letters(world)
    assert (letter.kind, letter.reason, letter.code) == (DeadLetterKind.TASK, DeadReason.FAILED, "no_answer")
    assert (letter.task_id, letter.run_id, letter.attempts) == (run.task_ids[0], run.run_id, 2)
    assert (letter.device_serial, letter.node_id, letter.workflow) == ("d1", "n1", "look@1")
    event = world.tables.events[letter.position - 1].envelope
    assert (event.type, event.subject) == (topics.DEADLETTER_CREATED, f"task/{letter.task_id}")
    assert world.story(letter.task_id)[-1] == topics.DEADLETTER_CREATED
    world.check()


def test_an_end_that_nobody_knows_is_one_and_what_somebody_wanted_is_none() -> None:
    world, node, admin = started_world("d1", "d2")
    unknown = admin.run("d1")
    (dispatch,) = node.pump()
    node.begin(dispatch)
    node.end(dispatch, Outcome.UNKNOWN, failure=failure(ErrorClass.UNKNOWN), repeatable=False)
    node.device_gone("d2")
    node.flush()
    admin.do(c.CANCEL_RUN, c.CancelRun(run_id=admin.run("d2").run_id), c.Cancelled)
    expires = admin.run("d2", expires_in_s=5.0)
    world.pass_time(6)
    assert world.task_state(expires.task_ids[0]) is TaskState.EXPIRED
    (letter,) = _letters(world)
    assert (letter.task_id, letter.reason) == (unknown.task_ids[0], DeadReason.UNKNOWN)
    world.check()


def test_a_restart_keeps_them_and_what_they_need() -> None:
    world, node, admin = started_world("d1")
    run = _fail(world, node, admin, "d1")
    world.restart()
    world.check()
    node.connect()
    answer = _retry(FakeAdmin(world), ids=[run.task_ids[0]])
    assert answer.retried == 1
    assert len(node.pump()) == 1
    world.check()


# --- again ------------------------------------------------------------------------------------------------


def test_a_retry_is_a_new_task_linked_to_the_old() -> None:
    world, node, admin = started_world("d1", "d2")
    run = _fail(world, node, admin, "d1", "d2", priority=7)
    answer = _retry(admin, run_id=run.run_id)
    assert (answer.retried, answer.refused, answer.left) == (2, [], 0)
    again = world.tables.runs[answer.run_ids[0]]
    assert (again.priority, again.attempts_max, again.tasks) == (7, 1, 2)
    settled = _letters(world, DeadLetterState.RETRIED)
    new = {row.device_serial: row.retried_as for row in settled}
    assert {dispatch.device_serial: dispatch.task_id for dispatch in node.pump()} == new
    assert {row.settled_by for row in settled} == {"user/ann"}
    assert [world.task_state(row.task_id) for row in settled] == [TaskState.FAILED] * 2, "an end never changes"
    (event, _) = world.events(topics.DEADLETTER_RETRIED)
    assert event.actor == "user/ann"
    assert world.payload(event)["retriedAs"] in new.values()
    world.check()


def test_those_of_any_device_go_to_any_device_again() -> None:
    world, node, admin = started_world("d1")
    targets = c.Targets(kind=c.TargetKind.ANY, count=2, selector=c.Selector(nodes=["n1"]))
    admin.do(c.CREATE_RUN, c.CreateRun(workflow="look", targets=targets, attempts=1), c.RunCreated)
    for _ in range(2):
        node.pump()
        (dispatch,) = node.held.values()
        node.begin(dispatch)
        node.end(dispatch, Outcome.FAILED, failure=failure(ErrorClass.APP))
        node.flush()
    answer = _retry(admin, everything=True)
    assert answer.retried == 2
    new = [world.tables.tasks[row.retried_as] for row in world.tables.dead_letters.values()]
    assert {row.target_kind for row in new} == {c.TargetKind.ANY}
    assert len({row.task_id for row in new}) == 2
    world.check()


@pytest.mark.parametrize(
    ("which", "count"),
    [
        ({"workflow": "look"}, 3),
        ({"workflow": "look@1"}, 3),
        ({"workflow": "look@2"}, 0),
        ({"device": "d2"}, 1),
        ({"device": "d2", "code": "other"}, 0),
        ({"node": "n1", "error_class": "app", "kind": "task", "reason": "failed", "queue": "default"}, 3),
        ({"kind": "message"}, 0),
    ],
)
def test_many_by_a_filter(which: dict[str, Any], count: int) -> None:
    world, node, admin = started_world("d1", "d2")
    _fail(world, node, admin, "d1", "d2")
    _fail(world, node, admin, "d1")
    assert _retry(admin, **which).retried == count
    assert len(_letters(world)) == 3 - count
    world.check()


def test_a_run_that_can_not_be_made_again_is_told_and_stays() -> None:
    world, node, admin = started_world("d1")
    admin.store("workflow: gone\nsteps:\n  - {id: look, use: screen.capture}\n")
    _fail(world, node, admin, "d1", workflow="gone")
    _fail(world, node, admin, "d1")
    admin.do(c.ARCHIVE_WORKFLOW, c.ArchiveWorkflow(name="gone", version=1), c.WorkflowVersion)
    answer = _retry(admin, everything=True)
    assert answer.retried == 1
    (sentence,) = answer.refused
    assert "(gone@1) can not be made again" in sentence
    assert [row.workflow for row in _letters(world)] == ["gone@1"]
    world.check()


def test_what_is_not_open_is_refused() -> None:
    world, node, admin = started_world("d1")
    run = _fail(world, node, admin, "d1")
    assert admin.refused(d.RETRY_DEAD_LETTERS, d.RetryDeadLetters()).code == "bad_request"
    _retry(admin, ids=run.task_ids)
    again = d.RetryDeadLetters(which=d.LetterFilter(ids=run.task_ids))
    assert admin.refused(d.RETRY_DEAD_LETTERS, again).code == "dead_letter_not_found"
    assert len(world.events(topics.DEADLETTER_RETRIED)) == 1


# --- discarding -------------------------------------------------------------------------------------------


def test_a_discard_is_confirmed_for_these_letters_by_this_person_once() -> None:
    world, node, admin = started_world("d1")
    _fail(world, node, admin, "d1")
    first = _discard(admin, workflow="look")
    assert (first.discarded, first.left) == (0, 1)
    assert len(_letters(world)) == 1
    _fail(world, node, admin, "d1")
    stale = d.DiscardDeadLetters(which=d.LetterFilter(workflow="look"), confirm=first.confirm)
    assert admin.refused(d.DISCARD_DEAD_LETTERS, stale).code == "confirmation_outdated"
    confirm = _discard(admin, workflow="look").confirm
    admin.actor = "user/bob"
    others = d.DiscardDeadLetters(which=d.LetterFilter(workflow="look"), confirm=confirm)
    assert admin.refused(d.DISCARD_DEAD_LETTERS, others).code == "confirmation_of_another"
    admin.actor = "user/ann"
    done = _discard(admin, confirm, workflow="look")
    assert (done.discarded, done.left) == (2, 0)
    assert _letters(world) == []
    settled = _letters(world, DeadLetterState.DISCARDED)
    assert {(row.settled_by, row.settled_why) for row in settled} == {("user/ann", "seen")}
    assert len(world.events(topics.DEADLETTER_DISCARDED)) == 2
    assert admin.refused(d.DISCARD_DEAD_LETTERS, others).code == "confirmation_unknown"
    world.check()


# --- messages ---------------------------------------------------------------------------------------------


def _garbage(node: FakeNode, size: int) -> None:
    node.seq += 1
    node.unsent.append(Record(node.seq, msgspec.Raw(msgspec.msgpack.encode(b"x" * size))))


def test_a_message_that_is_none_is_set_aside_with_its_first_bytes() -> None:
    world, node, _ = started_world("d1")
    _garbage(node, 40_000)
    node.device("d2")
    node.flush()
    assert "d2" in world.tables.devices, "the stream goes on"
    assert node.unsent == [], "and it is acknowledged"
    (letter,) = _letters(world)
    assert (letter.kind, letter.reason, letter.node_id) == (DeadLetterKind.MESSAGE, DeadReason.UNDECODABLE, "n1")
    assert letter.data_bytes > len(letter.data) == limits.DEAD_LETTER_BYTES_KEPT
    assert (letter.incarnation, letter.seq) == ("life-n1", node.seq - 1)
    assert world.events(topics.DEADLETTER_CREATED)[0].subject == "node/n1"
    world.check()


def test_a_node_that_goes_on_is_counted_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "MESSAGE_LETTERS_PER_NODE", 3)
    world, node, admin = started_world("d1")
    for _ in range(5):
        _garbage(node, 5)
    node.flush()
    [row] = world.tables.incidents.values()
    assert (row.type, row.subject, row.affected) == (IncidentType.MESSAGES_NOT_KEPT, "node/n1", 2)
    assert row.message.startswith("2 messages of node n1 could not be handled and are not kept: 3 of it wait")
    world.check()
    world.restart()
    node.connect()
    node.fact("no.such", "node/n1", b"\x80")
    _garbage(node, 5)
    node.device("d2")
    node.flush()
    [row] = world.tables.incidents.values()
    assert (row.affected, len(_letters(world))) == (4, 3), "the number is right over a restart"
    assert "d2" in world.tables.devices, "the stream goes on"
    assert world.events("no.such"), "and the log has what it may tell"
    admin = FakeAdmin(world)
    oldest = _letters(world)[0].letter_id
    _discard(admin, _discard(admin, ids=[oldest]).confirm, ids=[oldest])
    _garbage(node, 5)
    node.flush()
    assert len(_letters(world)) == 3, "there is room again"
    other = FakeNode(world, "n2").connect()
    _garbage(other, 5)
    other.flush()
    assert len(_letters(world)) == 4, "another node has room of its own"
    world.check()


def test_a_message_is_not_tried_again() -> None:
    world, node, admin = started_world("d1")
    _garbage(node, 5)
    node.flush()
    (letter,) = _letters(world)
    wish = d.RetryDeadLetters(which=d.LetterFilter(ids=[letter.letter_id]))
    assert admin.refused(d.RETRY_DEAD_LETTERS, wish).code == "not_retryable"
    confirm = _discard(admin, ids=[letter.letter_id]).confirm
    assert _discard(admin, confirm, ids=[letter.letter_id]).discarded == 1
    world.check()


def test_a_handler_that_fails_sets_its_message_aside_and_the_core_begins_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    online = Results._device_online

    def broken(self: Results, decision: Any, peer: Any, envelope: Any, body: Any) -> None:
        online(self, decision, peer, envelope, body)
        if b"poison" in bytes(envelope.payload):
            raise KeyError("the handler has a mistake")

    monkeypatch.setattr(Results, "_device_online", broken)
    world, node, admin = started_world("d1")
    run = admin.run("d1")
    (dispatch,) = node.pump()
    taken = node.seq
    node.begin(dispatch)
    node.device("poison")
    node.device("d2")
    node.flush()
    (letter,) = _letters(world)
    assert (letter.reason, letter.type) == (DeadReason.HANDLER_FAILED, topics.DEVICE_ONLINE)
    assert "KeyError: 'the handler has a mistake'" in letter.message
    assert letter.seq == taken + 2
    assert world.tables.streams["n1", "main", "life-n1"].last_seq == taken, "nothing else of its frame"
    assert world.task_state(run.task_ids[0]) is TaskState.DISPATCHED
    node.flush()
    assert Kind.HELLO_REQUIRED in world.kinds(node.link), "the new core knows nobody yet"
    node.connect()
    assert world.task_state(run.task_ids[0]) is TaskState.RUNNING
    assert "poison" not in world.tables.devices, "half of what it was to change is nothing"
    assert "d2" in world.tables.devices
    assert node.unsent == []
    assert _letters(world) == [letter], "it is told once"
    world.restart()
    world.check()


# --- the alert --------------------------------------------------------------------------------------------


def test_many_of_them_are_told_once_and_few_again() -> None:
    world, node, admin = started_world("d1")

    def alerts() -> list[str]:
        return [world.payload(event)["code"] for event in world.events(topics.SYSTEM_ALERT)]

    for _ in range(limits.DEAD_LETTERS_ALERT):
        _fail(world, node, admin, "d1")
    assert alerts() == []
    for _ in range(3):
        _fail(world, node, admin, "d1")
    assert alerts() == ["dead_letters"]
    world.restart()
    node.connect()
    admin = FakeAdmin(world)
    ids = [row.letter_id for row in _letters(world)]
    _retry(admin, ids=ids[: len(ids) - limits.DEAD_LETTERS_CALM - 1])
    assert alerts() == ["dead_letters"]
    _retry(admin, ids=ids[-1:])
    assert alerts() == ["dead_letters", "dead_letters_few"]
    world.check()
