"""Tasks of bots: any process of the kind takes one, nobody keeps what it does not vouch for."""

from __future__ import annotations

from typing import Any

import pytest

from doai import limits
from doai.codec import Kind
from doai.errors import ErrorClass
from doai.messages import commands as c
from doai.messages import queues as q
from doai.messages.dead_letters import RETRY_DEAD_LETTERS as RETRY
from doai.messages.dead_letters import DeadLettersRetried, LetterFilter, RetryDeadLetters
from doai.states import Outcome, TaskState
from tests.unit.broker.harness import FakeAdmin, FakeBot, World, failure, started_world
from tests.unit.broker.test_bots import processes

KIND = "report.build"
ON_BOTS = c.Targets(kind=c.TargetKind.BOT, bot=KIND)


def ask(admin: FakeAdmin | FakeBot, count: int = 1, **about: Any) -> list[str]:
    targets = c.Targets(kind=c.TargetKind.BOT, bot=KIND, count=count)
    create = c.CreateRun(workflow="", targets=targets, **about)
    made: c.RunCreated = admin.do(c.CREATE_RUN, create, c.RunCreated)
    return made.task_ids


def worker(world: World, instance: str = "x1") -> FakeBot:
    return FakeBot(world, instance).connect(task_kinds=[KIND])


def test_a_task_goes_to_a_process_and_its_end_ends_the_run() -> None:
    world, _, admin = started_world("d1")
    bot = worker(world)
    [task_id] = ask(admin, params={"month": "2026-11"})
    [task] = bot.tasks()
    assert (task.task_id, task.kind, task.params, task.attempt) == (task_id, KIND, {"month": "2026-11"}, 1)
    world.check()
    assert bot.end(task, outputs={"pages": 7}).taken
    row = world.tables.tasks[task_id]
    assert (row.status.state, row.status.outputs_body) == (TaskState.PASSED, b'{"pages":7}')
    assert world.story(task_id) == ["task.queued", "task.dispatched", "task.started", "task.completed"]
    assert world.events()[-1].type == "run.completed"
    assert bot.end(task, outputs={"pages": 7}).taken, "the same command again has the same answer"
    world.check()


def test_a_bot_asks_for_work_of_another_kind_itself() -> None:
    world, _, _ = started_world("d1")
    asking = FakeBot(world, name="other").connect(task_kinds=[])
    bot = worker(world)
    [task_id] = ask(asking)
    [task] = bot.tasks()
    assert task.task_id == task_id
    [run] = world.tables.runs.values()
    assert (run.actor, run.interface) == ("other/x1", "bot")


def test_what_nobody_knows_waits_until_somebody_does() -> None:
    world, _, admin = started_world("d1")
    [task_id] = ask(admin)
    assert world.tables.tasks[task_id].status.reason == f"no bot takes tasks of kind {KIND}"
    assert [task.task_id for task in worker(world).tasks()] == [task_id]


def test_processes_compete_and_none_has_more_than_its_slots() -> None:
    world, _, admin = started_world("d1")
    one, two = worker(world, "x1"), worker(world, "x2")
    ask(admin, count=10)
    first, second = one.tasks(), two.tasks()
    assert (len(first), len(second)) == (4, 4)
    one.end(first[0])
    assert len(one.tasks()) == 1
    world.check()


def test_a_lease_is_extended_by_heartbeats_and_ends_without() -> None:
    world, _, admin = started_world("d1")
    bot = worker(world)
    ask(admin)
    [task] = bot.tasks()
    for _ in range(12):
        world.pass_time(limits.HEARTBEAT_S)
        bot.heartbeat([task.token])
    assert world.task_state(task.task_id) is TaskState.RUNNING
    for _ in range(7):
        world.pass_time(limits.HEARTBEAT_S)
        bot.heartbeat()
    [again] = bot.tasks()
    assert (again.task_id, again.attempt) == (task.task_id, 2)
    assert again.token > task.token
    assert not bot.end(task).taken, "the token of the attempt before is nobody's"
    assert bot.end(again).taken
    world.check()


def test_a_process_that_leaves_gives_its_tasks_to_others_at_once() -> None:
    world, _, admin = started_world("d1")
    one = worker(world, "x1")
    ask(admin)
    [task] = one.tasks()
    two = worker(world, "x2")
    one.bye()
    world.pass_time(10.0)
    two.heartbeat()
    [again] = two.tasks()
    assert (again.task_id, again.attempt) == (task.task_id, 2)


def test_a_process_in_the_place_of_a_killed_one_has_its_tasks_at_once() -> None:
    world, _, admin = started_world("d1")
    killed = worker(world, "x1")
    [task_id] = ask(admin)
    assert killed.tasks()
    other = FakeBot(world, "x2").connect(task_kinds=[KIND], replaces="nobody")
    assert world.task_state(task_id) is TaskState.RUNNING
    FakeBot(world, "x3").connect(task_kinds=[KIND], replaces="x1")
    assert world.task_state(task_id) is TaskState.DELAYED
    assert b"replaces" not in world.tables.bots["robot"].declared_body, "it is of a process, not of the bot"
    [fenced] = world.take(killed.link, Kind.FENCED)
    assert fenced.reason == "robot/x3 took its place"
    killed.bye()
    assert processes(world) == ["x2", "x3"]
    world.pass_time(10.0)
    assert world.tables.tasks[task_id].status.attempt == 2
    assert other.name == "robot"
    world.check()


def test_a_restart_of_the_broker_takes_no_task_from_its_process() -> None:
    world, _, admin = started_world("d1")
    bot = worker(world)
    ask(admin)
    [task] = bot.tasks()
    world.restart()
    bot.connect()
    [told_again] = bot.tasks()
    assert told_again == task
    for _ in range(12):
        world.pass_time(limits.HEARTBEAT_S)
        bot.heartbeat([task.token])
    assert bot.end(task).taken
    world.check()


@pytest.mark.parametrize(
    ("outcome", "error", "state"),
    [
        (Outcome.FAILED, ErrorClass.APP, TaskState.FAILED),
        (Outcome.FAILED, ErrorClass.INFRASTRUCTURE, TaskState.DELAYED),
        (Outcome.UNKNOWN, ErrorClass.UNKNOWN, TaskState.UNKNOWN),
    ],
)
def test_failures_are_tried_again_by_their_class(outcome: Outcome, error: ErrorClass, state: TaskState) -> None:
    world, _, admin = started_world("d1")
    bot = worker(world)
    ask(admin)
    [task] = bot.tasks()
    assert bot.end(task, outcome, failure=failure(error)).taken
    assert world.task_state(task.task_id) is state
    world.check()


def test_a_task_that_gave_up_is_a_dead_letter_and_can_be_tried_again() -> None:
    world, _, admin = started_world("d1")
    bot = worker(world)
    ask(admin, params={"n": 1})
    [task] = bot.tasks()
    bot.end(task, Outcome.FAILED, failure=failure(ErrorClass.USER))
    [letter] = world.tables.dead_letters.values()
    assert (letter.workflow, letter.task_id) == (f"{KIND}@0", task.task_id)
    retry = RetryDeadLetters(which=LetterFilter(ids=[letter.letter_id]))
    assert admin.do(RETRY, retry, DeadLettersRetried).retried == 1
    [again] = bot.tasks()
    assert again.params == {"n": 1}
    world.check()


def test_a_cancel_reaches_the_process() -> None:
    world, _, admin = started_world("d1")
    bot = worker(world)
    ask(admin)
    [task] = bot.tasks()
    admin.do(c.CANCEL_TASK, c.CancelTask(task_id=task.task_id), c.Cancelled)
    [cancels] = world.take(bot.link, Kind.CANCEL)
    assert [ref.token for ref in cancels.tasks] == [task.token]
    assert bot.end(task, Outcome.CANCELLED).taken
    assert world.task_state(task.task_id) is TaskState.CANCELLED


def test_a_paused_queue_and_a_process_that_drains_give_nothing_out() -> None:
    world, _, admin = started_world("d1")
    bot = worker(world)
    admin.do(q.PAUSE_QUEUE, q.PauseQueue(name="default"), q.QueueStatus)
    ask(admin)
    assert not bot.tasks()
    admin.do(q.RESUME_QUEUE, q.ResumeQueue(name="default"), q.QueueStatus)
    assert len(bot.tasks()) == 1
    bot.heartbeat(intake_closed="it stops")
    ask(admin)
    assert not bot.tasks()
    assert len(worker(world, "x2").tasks()) == 1


@pytest.mark.parametrize(
    ("create", "words"),
    [
        (c.CreateRun(workflow="look", targets=ON_BOTS), "of no workflow"),
        (c.CreateRun(workflow="", targets=c.Targets(kind=c.TargetKind.BOT, bot="No Kind")), "no kind"),
        (
            c.CreateRun(workflow="", targets=ON_BOTS, canary=1),
            "no canary",
        ),
        (
            c.CreateRun(workflow="", targets=ON_BOTS, params={"x": "y" * 70_000}),
            "bytes",
        ),
    ],
)
def test_what_can_not_be_of_a_run_on_bots_is_refused(create: c.CreateRun, words: str) -> None:
    _, _, admin = started_world("d1")
    assert words in admin.refused(c.CREATE_RUN, create).message
