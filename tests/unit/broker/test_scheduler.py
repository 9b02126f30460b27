"""What goes where: two a device, capacity, order, any device that matches, what a device must be."""

from __future__ import annotations

from doai.broker.core.settings import CoreSettings
from doai.codec import Kind, unpack_header
from doai.limits import FRAME_BYTES_MAX
from doai.messages import commands as c
from doai.states import Outcome, TaskState
from tests.unit.broker.harness import FakeAdmin, FakeNode, World, started_world

BIG = """
workflow: big
params: {text: {type: string}}
steps:
  - {id: look, use: screen.capture}
"""
LAB = """
workflow: lab
requires: {tags: [lab]}
steps:
  - {id: look, use: screen.capture}
"""


def _any(admin: FakeAdmin, count: int, workflow: str = "look", **selector: object) -> c.RunCreated:
    targets = c.Targets(kind=c.TargetKind.ANY, count=count, selector=c.Selector(**selector))  # type: ignore[arg-type]
    run: c.RunCreated = admin.do(c.CREATE_RUN, c.CreateRun(workflow=workflow, targets=targets), c.RunCreated)
    return run


def test_a_node_holds_two_tasks_a_device_in_their_order() -> None:
    world, node, admin = started_world("d1")
    ids = [admin.run("d1").task_ids[0] for _ in range(5)]
    assert [d.task_id for d in node.pump()] == ids[:2]
    node.end(next(iter(node.held.values())))
    assert [d.task_id for d in node.flush()] == [ids[2]]
    world.check()


def test_a_node_is_filled_to_its_capacity_first_with_idle_devices() -> None:
    world, node, admin = started_world(*(f"d{i}" for i in range(8)), settings=CoreSettings(queue_ahead=1))
    for _ in range(3):
        admin.run(*(f"d{i}" for i in range(8)))
    first = node.pump()
    assert len(first) == 5
    assert len({d.device_serial for d in first}) == 5
    node.end(first[0])
    (next_one,) = node.flush()
    assert next_one.device_serial not in {d.device_serial for d in first[1:]}
    while node.held:
        node.end(next(iter(node.held.values())))
        node.flush()
    assert not world.core.state.tasks
    world.check()


def test_dispatches_of_one_decision_go_in_one_frame_and_large_ones_in_several() -> None:
    world, node, admin = started_world("d1", "d2", "d3", "d4", "d5", "d6")
    admin.run("d1", "d2", "d3", "d4", "d5", "d6")
    assert world.kinds(node.link).count(Kind.DISPATCH) == 1
    node.pump()
    admin.store(BIG)
    admin.run("d1", "d2", "d3", "d4", "d5", "d6", workflow="big", params={"text": "x" * 60_000})
    assert world.kinds(node.link).count(Kind.DISPATCH) >= 2
    assert len(node.pump()) == 6


def test_no_frame_is_too_large() -> None:
    world, node, admin = started_world(*(f"d{i}" for i in range(40)))
    admin.store(BIG)
    targets = c.Targets(kind=c.TargetKind.DEVICES, serials=[f"d{i}" for i in range(40)])
    create = c.CreateRun(workflow="big", targets=targets, params={"text": "x" * 60_000})
    sizes: list[int] = []
    perform = world._perform

    def weigh(effect: object) -> None:
        body = getattr(effect, "body", None)
        if body is not None:
            assert unpack_header(effect.header).version == 1  # type: ignore[attr-defined]
            sizes.append(len(body))
        perform(effect)  # type: ignore[arg-type]

    world._perform = weigh  # type: ignore[method-assign]
    admin.do(c.CREATE_RUN, create, c.RunCreated)
    assert max(sizes) <= FRAME_BYTES_MAX
    assert len(node.pump()) == 40


def test_any_is_bound_only_at_dispatch_to_the_least_loaded() -> None:
    world, node, admin = started_world("d1", "d2")
    other = FakeNode(world, "n2").connect()
    other.device("e1")
    other.flush()
    admin.run("d1")
    node.pump()
    run = _any(admin, 3)
    assert [d.device_serial for d in other.pump()] == ["e1"]
    assert [d.device_serial for d in node.pump()] == ["d2"]
    waiting = [i for i in run.task_ids if world.task_state(i) is TaskState.QUEUED]
    assert len(waiting) == 1
    assert world.tables.tasks[waiting[0]].status.device_serial is None
    world.check()
    world.restart()
    world.check()
    node.connect()
    other.connect()
    other.end(next(iter(other.held.values())))
    assert [d.task_id for d in other.flush()] == waiting
    world.check()


def test_any_goes_to_another_device_when_it_is_given_back() -> None:
    world, node, admin = started_world("d1", "d2")
    run = _any(admin, 1)
    (first,) = node.pump()
    node.device_gone(first.device_serial)
    node.end(first, Outcome.FAILED, released=True)
    (second,) = node.flush()
    assert second.task_id == run.task_ids[0]
    assert second.device_serial != first.device_serial
    world.check()


def test_any_waits_for_a_device_that_matches() -> None:
    world, node, admin = started_world("d1")
    run = _any(admin, 1, tags=["blue"])
    assert "waits for a device that matches" in world.tables.tasks[run.task_ids[0]].status.reason
    node.device("d1", tags=["blue"])
    assert [d.task_id for d in node.flush()] == run.task_ids
    world.check()


def test_any_is_not_starved_by_devices_that_always_have_work() -> None:
    world, node, admin = started_world("d1")
    for _ in range(3):
        admin.run("d1")
    pooled = _any(admin, 1).task_ids[0]
    later = admin.run("d1").task_ids[0]
    node.pump()
    order = []
    while node.held:
        dispatch = next(iter(node.held.values()))
        order.append(dispatch.task_id)
        node.end(dispatch)
        node.flush()
    assert order.index(pooled) < order.index(later)
    world.check()


def test_a_device_that_is_away_keeps_its_tasks_waiting() -> None:
    world, node, admin = started_world("d1")
    node.device_gone("d1")
    node.flush()
    task_id = admin.run("d1").task_ids[0]
    assert node.pump() == []
    assert "is offline" in world.tables.tasks[task_id].status.reason
    node.device("d1")
    assert [d.task_id for d in node.flush()] == [task_id]


def test_what_a_device_must_be_is_checked_again_at_dispatch() -> None:
    world, node, admin = started_world()
    admin.store(LAB)
    node.device("d1", tags=["lab"])
    node.flush()
    ids = [admin.run("d1", workflow="lab").task_ids[0] for _ in range(3)]
    first, _ = node.pump()
    node.device("d1", tags=["sold"])
    node.end(first)
    node.flush()
    assert world.task_state(ids[2]) is TaskState.FAILED
    failure = world.tables.tasks[ids[2]].status.failure
    assert failure is not None
    assert "the tag lab is missing" in failure.message
    world.check()


def test_tokens_are_reserved_in_ranges() -> None:
    world, node, admin = started_world("d1", settings=CoreSettings(tokens_reserved=3))
    seen = []
    for _ in range(8):
        admin.run("d1")
        for dispatch in node.pump():
            seen.append(dispatch.token.n)
            node.end(dispatch)
        node.flush()
    assert seen == sorted(set(seen))
    assert world.tables.meta["token_reserved"] == 9
    world.restart()
    node.connect()
    FakeAdmin(world).run("d1")
    (dispatch,) = node.pump()
    assert dispatch.token.n == 10


def test_recipes_are_sent_once_a_connection() -> None:
    world, node, admin = started_world("d1")
    admin.run("d1")
    admin.run("d1")
    assert world.kinds(node.link).count(Kind.RECIPE) == 1
    node.pump()
    world = World()
    assert world.core.next_due_s() is not None
