"""Queues: order by their priority, pause, resume, drain, degraded, and nobody waits for ever."""

from __future__ import annotations

from typing import Any

from doai import topics
from doai.broker.core.queues import is_degraded
from doai.broker.core.scheduler import OLDEST_EVERY
from doai.broker.core.settings import CoreSettings
from doai.messages import commands as c
from doai.messages import queues as q
from doai.states import QueueState
from tests.unit.broker.harness import FakeAdmin, FakeNode, World, started_world

SETTINGS = CoreSettings(queues={"default": 0, "urgent": 10}, held_per_device_max=1)


def put(admin: FakeAdmin, name: str, **wish: Any) -> q.QueueStatus:
    status: q.QueueStatus = admin.do(q.PUT_QUEUE, q.PutQueue(name=name, **wish), q.QueueStatus)
    return status


def pause(admin: FakeAdmin, name: str = "default", reason: str = "") -> q.QueueStatus:
    status: q.QueueStatus = admin.do(q.PAUSE_QUEUE, q.PauseQueue(name=name, reason=reason), q.QueueStatus)
    return status


def resume(admin: FakeAdmin, name: str = "default") -> q.QueueStatus:
    status: q.QueueStatus = admin.do(q.RESUME_QUEUE, q.ResumeQueue(name=name), q.QueueStatus)
    return status


def drain(admin: FakeAdmin, name: str = "default") -> q.QueueStatus:
    status: q.QueueStatus = admin.do(q.DRAIN_QUEUE, q.DrainQueue(name=name), q.QueueStatus)
    return status


def end_one(node: FakeNode) -> list[str]:
    """End what is held longest; return the ids of what comes instead."""
    node.end(next(iter(node.held.values())))
    return [dispatch.task_id for dispatch in node.flush()]


def any_device(admin: FakeAdmin, count: int = 1, **about: Any) -> list[str]:
    targets = c.Targets(kind=c.TargetKind.ANY, count=count)
    create = c.CreateRun(workflow="look", targets=targets, **about)
    created: c.RunCreated = admin.do(c.CREATE_RUN, create, c.RunCreated)
    return created.task_ids


def row(world: World, name: str = "default") -> Any:
    return world.tables.queues[name]


def test_nothing_of_a_paused_queue_is_given_out_and_all_of_it_after_resume() -> None:
    world, node, admin = started_world("d1", "d2", settings=SETTINGS)
    first = admin.run("d1").task_ids[0]
    assert [d.task_id for d in node.pump()] == [first]
    assert pause(admin, reason="rewired").state is QueueState.PAUSED
    waiting = admin.run("d1", "d2").task_ids
    urgent = admin.run("d2", queue="urgent").task_ids[0]
    assert [d.task_id for d in node.pump()] == [urgent], "another queue goes on"
    assert end_one(node) == [], "what a node held goes on and ends, nothing follows"
    assert end_one(node) == []
    assert world.core._scheduler.waiting_reason(world.core.state.tasks[waiting[0]]) == "queue default is paused"
    resume(admin)
    assert sorted(d.task_id for d in node.pump()) == sorted(waiting)
    told = [world.payload(event) for event in world.events(topics.QUEUE_PAUSED)]
    assert [(t["name"], t["reason"], t["actor"]) for t in told] == [("default", "rewired", "user/ann")]
    world.check()


def test_a_pause_survives_the_broker_and_pools_wait_too() -> None:
    world, node, admin = started_world("d1", settings=SETTINGS)
    pause(admin)
    ids = any_device(admin, 2)
    world.restart()
    node.connect()
    node.pump()
    assert not node.held
    admin = FakeAdmin(world)
    assert pause(admin).waiting == 2, "again changes nothing"
    assert len(world.events(topics.QUEUE_PAUSED)) == 1
    resume(admin)
    assert [d.task_id for d in node.pump()] == ids[:1]
    assert end_one(node) == ids[1:]
    world.check()


def test_a_draining_queue_ends_what_it_has_and_takes_no_new_runs() -> None:
    world, node, admin = started_world("d1", settings=SETTINGS)
    ids = [admin.run("d1").task_ids[0] for _ in range(3)]
    assert drain(admin).waiting == 2
    targets = c.Targets(kind=c.TargetKind.DEVICES, serials=["d1"])
    problem = admin.refused(c.CREATE_RUN, c.CreateRun(workflow="look", targets=targets))
    assert problem.code == "queue_draining"
    assert problem.message == (
        "queue default is draining: it ends what it has and takes no new runs; name another queue, or resume it"
    )
    node.pump()
    assert end_one(node) == ids[1:2]
    assert end_one(node) == ids[2:]
    assert pause(admin).state is QueueState.PAUSED
    resume(admin)
    admin.run("d1")
    world.check()


def test_the_priority_of_a_queue_can_be_changed_under_what_waits() -> None:
    world, node, admin = started_world("d1", settings=SETTINGS)
    admin.run("d1")
    low = admin.run("d1").task_ids
    urgent = admin.run("d1", queue="urgent").task_ids
    put(admin, "default", priority=20)
    node.pump()
    assert end_one(node) == low
    put(admin, "default", priority=5)
    assert end_one(node) == urgent
    world.restart()
    assert world.core.state.queues["default"].priority == 5, "the configuration makes a queue, no more"
    world.check()


def test_within_a_queue_priority_then_age() -> None:
    world, node, admin = started_world("d1", settings=SETTINGS)
    admin.run("d1")
    low = admin.run("d1", priority=-5).task_ids[0]
    first, second = admin.run("d1").task_ids[0], admin.run("d1").task_ids[0]
    high = any_device(admin, priority=3)[0]
    node.pump()
    assert [end_one(node)[0] for _ in range(4)] == [high, first, second, low]
    world.check()


def test_one_in_ten_is_the_longest_waiting_of_the_node_so_that_nobody_waits_for_ever() -> None:
    world, node, admin = started_world("d1", "d2", settings=SETTINGS)
    admin.run("d1", "d2")
    old = admin.run("d1", priority=-7).task_ids[0]
    pooled = any_device(admin, priority=-9)[0]
    node.pump()
    given: list[str] = []
    for _ in range(4 * OLDEST_EVERY):
        admin.run("d1", "d2", queue="urgent")
        given += end_one(node)
    assert old in given[: 2 * OLDEST_EVERY], "each device has its own turn"
    assert pooled in given[: 3 * OLDEST_EVERY]
    world.check()


def test_a_stream_of_urgent_tasks_does_not_starve_a_slow_one() -> None:
    world, node, admin = started_world("d1", settings=SETTINGS)
    admin.run("d1", queue="urgent")
    slow = [admin.run("d1", priority=-1).task_ids[0] for _ in range(3)]
    node.pump()
    given = []
    for _ in range(3 * OLDEST_EVERY):
        admin.run("d1", queue="urgent")
        given += end_one(node)
    places = [given.index(task_id) for task_id in slow]
    assert places == [OLDEST_EVERY - 2, 2 * OLDEST_EVERY - 2, 3 * OLDEST_EVERY - 2]
    world.check()


def test_a_queue_is_degraded_while_too_many_wait_and_a_little_longer() -> None:
    world, node, admin = started_world("d1", settings=SETTINGS)
    put(admin, "default", degraded_above=4)
    for _ in range(6):
        admin.run("d1")
    node.pump()
    world.pass_time(2.0)
    assert (row(world).waiting, row(world).held, row(world).degraded) == (5, 1, True)
    end_one(node)
    world.pass_time(2.0)
    assert (row(world).waiting, row(world).degraded) == (4, True)
    world.restart()
    node.connect()
    node.pump()
    assert world.core.state.queues["default"].row.degraded
    end_one(node)
    world.pass_time(2.0)
    assert (row(world).waiting, row(world).degraded) == (3, False)
    told = [e.type for e in world.events() if e.type in (topics.QUEUE_DEGRADED, topics.QUEUE_RECOVERED)]
    assert told == [topics.QUEUE_DEGRADED, topics.QUEUE_RECOVERED]
    world.check()


def test_degraded_has_hysteresis() -> None:
    assert [is_degraded(n, 200, before=False) for n in (200, 201)] == [False, True]
    assert [is_degraded(n, 200, before=True) for n in (151, 150)] == [True, False]


def test_how_a_queue_stands_is_written_once_a_second_at_most() -> None:
    world, node, admin = started_world("d1", settings=SETTINGS)
    writes = 0
    commit = world.writer.commit

    def counting(ops: Any) -> None:
        nonlocal writes
        writes += sum(type(op).__name__ == "PutQueue" for op in ops)
        commit(ops)

    world.writer.commit = counting  # type: ignore[method-assign]
    for _ in range(20):
        admin.run("d1")
    node.pump()
    assert writes <= 1
    world.pass_time(5.0)
    assert writes <= 2
    assert row(world).waiting == 19
    world.check()


def test_what_can_not_be_is_refused_with_a_sentence() -> None:
    _, _, admin = started_world("d1", settings=SETTINGS)
    problem = admin.refused(q.PAUSE_QUEUE, q.PauseQueue(name="urgnet"))
    assert (problem.code, problem.message) == (
        "queue_not_found",
        "there is no queue 'urgnet': did you mean 'urgent'?",
    )
    assert admin.refused(q.PUT_QUEUE, q.PutQueue(name="No Name")).code == "bad_name"
    assert admin.refused(q.PUT_QUEUE, q.PutQueue(name="a", priority=10**9)).code == "bad_priority"
    assert admin.refused(q.PUT_QUEUE, q.PutQueue(name="a", degraded_above=0)).code == "bad_degraded_above"
    for number in range(98):
        put(admin, f"q{number}")
    assert admin.refused(q.PUT_QUEUE, q.PutQueue(name="one-more")).code == "too_many_queues"
