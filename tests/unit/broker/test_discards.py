"""Discarding in two steps: bound to who asks and to what waits, in slices, over a restart too."""

from __future__ import annotations

from typing import Any

import pytest

from doai import topics
from doai.broker.core import discards
from doai.messages import queues as q
from doai.states import TaskState
from tests.unit.broker.harness import FakeAdmin, started_world
from tests.unit.broker.test_queues import any_device, drain, end_one, pause, resume


def ask(admin: FakeAdmin, **wish: Any) -> q.QueueDiscarded:
    payload = q.DiscardQueue(**{"name": "default", **wish})
    answer: q.QueueDiscarded = admin.do(q.DISCARD_QUEUE, payload, q.QueueDiscarded)
    return answer


def refused(admin: FakeAdmin, **wish: Any) -> str:
    return admin.refused(q.DISCARD_QUEUE, q.DiscardQueue(**{"name": "default", **wish})).code


def test_what_waits_is_cancelled_and_what_nodes_hold_goes_on() -> None:
    world, node, admin = started_world("d1")
    ids = [admin.run("d1").task_ids[0] for _ in range(5)]
    pooled = any_device(admin)
    node.pump()
    first = ask(admin)
    assert (first.tasks, first.done, len(first.confirm)) == (4, False, 32)
    assert len(world.core.state.tasks) == 6, "nothing has happened"
    done = ask(admin, confirm=first.confirm, reason="made by mistake")
    assert (done.tasks, done.digest, done.done) == (4, first.digest, True)
    world.pass_time(1.0)
    states = [world.task_state(task_id) for task_id in [*ids, *pooled]]
    assert states == [TaskState.DISPATCHED] * 2 + [TaskState.CANCELLED] * 4
    assert world.tables.tasks[ids[4]].status.reason == "discarded by user/ann: made by mistake"
    later = admin.run("d1").task_ids
    end_one(node)
    assert later[0] in {d.task_id for d in node.held.values()}
    assert len(world.events(topics.QUEUE_DISCARDED)) == 1
    world.check()


def test_a_large_discard_goes_in_slices_and_on_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discards, "SLICE", 3)
    world, node, admin = started_world("d1")
    world.pass_time(0.1)
    pause(admin)
    ids = [admin.run("d1").task_ids[0] for _ in range(10)]
    ask(admin, confirm=ask(admin).confirm)
    assert sum(world.task_state(task_id) is TaskState.CANCELLED for task_id in ids) == 3
    resume(admin)
    drain(admin)
    node.pump()
    assert not node.held, "what is discarded is not given out"
    world.restart()
    node.connect()
    node.pump()
    assert not node.held
    world.pass_time(1.0)
    assert all(world.task_state(task_id) is TaskState.CANCELLED for task_id in ids)
    assert world.tables.queues["default"].discard_to == 0
    admin = FakeAdmin(world)
    resume(admin)
    admin.run("d1")
    assert len(node.pump()) == 1
    world.check()


def test_a_slice_waits_until_the_one_before_is_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discards, "SLICE", 3)
    world, _, admin = started_world("d1")
    pause(admin)
    for _ in range(8):
        admin.run("d1")
    with monkeypatch.context() as disk:
        disk.setattr(world.core, "landed", lambda now: None)
        ask(admin, confirm=ask(admin).confirm)
        world.pass_time(5.0)
        assert len(world.core.state.tasks) == 5, "time alone ends no more: a busy disk has not taken the first"
    world.core.landed(world.now)
    world.pass_time(1.0)
    assert not world.core.state.tasks
    world.check()


def test_a_confirmation_is_for_one_use_by_one_actor_for_what_it_was_shown() -> None:
    world, _, admin = started_world("d1")
    pause(admin)
    admin.run("d1")
    token = ask(admin).confirm
    admin.run("d1")
    assert refused(admin, confirm=token) == "confirmation_outdated"
    assert refused(admin, confirm=token) == "confirmation_unknown", "it is used up"
    assert refused(admin, confirm="x") == "confirmation_unknown"
    other = ask(admin).confirm
    admin.do(q.PUT_QUEUE, q.PutQueue(name="slow"), q.QueueStatus)
    assert refused(admin, name="slow", confirm=other) == "confirmation_of_another"
    late = ask(admin).confirm
    world.pass_time(301.0)
    admin = FakeAdmin(world)
    assert refused(admin, confirm=late) == "confirmation_unknown"
    last = ask(admin).confirm
    world.restart()
    admin = FakeAdmin(world)
    assert refused(admin, confirm=last) == "confirmation_unknown"
    assert refused(admin, name="slwo") == "queue_not_found"
    world.check()
