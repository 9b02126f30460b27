"""Retention in the core: what is open is refused, what goes is remembered, use and guarantees outlive it."""

from __future__ import annotations

from typing import Any

import pytest

from doai import topics
from doai.changes.retention import DAY_MS, UsageKind
from doai.codec import Kind, encode
from doai.messages import commands as c
from doai.messages.link import Heartbeat
from doai.messages.retention import (
    PRUNE_STORE,
    RECORD_RETENTION,
    PruneStore,
    RecordRetention,
    RetentionRecorded,
    StorePruned,
)
from doai.store.retention_writer import has_digest
from tests.unit.broker.harness import FakeAdmin, FakeNode, World, sample, started_world


def passed(world: World, node: FakeNode, admin: FakeAdmin, key: str | None = None) -> c.RunCreated:
    """Run on device a, to its end."""
    run = admin.run("a", key=key)
    [dispatch] = node.pump()
    node.begin(dispatch)
    node.flush()
    world.utc_ms += 5_000
    node.end(dispatch)
    node.flush()
    return run


def counted(world: World, node: FakeNode, admin: FakeAdmin) -> int:
    """Let minutes pass, until the statistics of what has ended are written; return a time after its end."""
    for _ in range(16):
        world.pass_time(8)
        node.heartbeat()
        world.send(admin.link, admin.name, Kind.HEARTBEAT, encode(Heartbeat(sample=sample())))
    return world.utc_ms - 60_000


def prune(admin: FakeAdmin, **what: Any) -> StorePruned:
    pruned: StorePruned = admin.do(PRUNE_STORE, PruneStore(**what), StorePruned)
    return pruned


def test_what_has_ended_goes_with_its_story_and_is_remembered() -> None:
    world, node, admin = started_world("a")
    run = passed(world, node, admin)
    cutoff_ms = counted(world, node, admin)
    node.device("b")
    node.flush()
    assert prune(admin, tasks=run.task_ids, ended_before_ms=cutoff_ms).asked == 1
    prune(admin, runs=[run.run_id])
    assert not world.tables.tasks
    assert not world.tables.attempts
    assert not world.tables.runs
    subjects = {event.envelope.subject for event in world.tables.events}
    assert not subjects & {topics.task_subject(run.task_ids[0]), topics.run_subject(run.run_id)}
    removed = {kind: digests for (kind, _, _), (_, digests) in world.tables.removals.items()}
    assert has_digest(removed["task"], run.task_ids[0])
    assert has_digest(removed["run"], run.run_id)
    assert not has_digest(removed["run"], "another")
    world.check()
    world.restart()
    world.check()


def test_what_is_open_is_refused_and_ended_tasks_of_an_open_run_stay() -> None:
    world, node, admin = started_world("a", "b")
    run = admin.run("a", "b")
    first, second = node.pump()
    node.end(first)
    node.flush()
    cutoff_ms = counted(world, node, admin)
    for what in (
        {"tasks": [second.task_id]},
        {"runs": [run.run_id]},
        {"artifacts": [f"video/n1/a/{run.run_id}/x.png"]},
    ):
        refused = admin.refused(PRUNE_STORE, PruneStore(ended_before_ms=cutoff_ms, **what))  # type: ignore[arg-type]
        assert refused.code == "still_open"
    prune(admin, tasks=[first.task_id], ended_before_ms=cutoff_ms)
    assert len(world.tables.tasks) == 2, "the counts of its run need it"
    assert not world.tables.removals
    world.check()


def test_what_the_statistics_have_not_counted_stays() -> None:
    world, node, admin = started_world("a")
    run = passed(world, node, admin)
    wish = PruneStore(tasks=run.task_ids, ended_before_ms=world.utc_ms + 1)
    assert admin.refused(PRUNE_STORE, wish).code == "not_counted"
    assert len(world.tables.tasks) == 1


def test_a_run_that_is_asked_for_again_is_not_made_again_after_it_was_removed() -> None:
    world, node, admin = started_world("a")
    run = passed(world, node, admin, key="once")
    cutoff_ms = counted(world, node, admin)
    prune(admin, tasks=run.task_ids, ended_before_ms=cutoff_ms)
    prune(admin, runs=[run.run_id])
    assert admin.run("a", key="once").run_id == run.run_id
    assert not world.tables.runs


def test_facts_of_a_removed_task_are_late_and_change_nothing() -> None:
    world, node, admin = started_world("a")
    run = admin.run("a")
    [dispatch] = node.pump()
    node.end(dispatch)
    node.flush()
    prune(admin, tasks=run.task_ids, ended_before_ms=counted(world, node, admin))
    node.begin(dispatch)
    node.end(dispatch)
    node.flush()
    assert world.events()[-1].type == topics.TASK_LATE
    world.check()


def test_the_newest_event_stays_and_positions_go_on() -> None:
    world, _, admin = started_world("a")
    last = world.tables.last_position
    prune(admin, events=list(range(1, last + 1)))
    assert [event.position for event in world.tables.events] == [last]
    world.restart()
    admin = FakeAdmin(world)
    admin.run("a")
    assert [event.position for event in world.tables.events][:2] == [last, last + 1]


def test_a_slice_is_small() -> None:
    _, _, admin = started_world("a")
    assert admin.refused(PRUNE_STORE, PruneStore(events=list(range(1001)))).code == "bad_slice"


def test_a_pass_is_remembered() -> None:
    world, _, admin = started_world("a")
    told = RecordRetention(began_at_ms=5, tasks=3, freed_bytes=70)
    recorded = admin.do(RECORD_RETENTION, told, RetentionRecorded)
    row = world.tables.passes[recorded.pass_id]
    assert (row.began_at_ms, row.tasks, row.freed_bytes, row.actor) == (5, 3, 70, "user/ann")


def test_use_is_counted_by_device_workflow_and_actor_and_outlives_the_tasks() -> None:
    world, node, admin = started_world("a")
    run = passed(world, node, admin)
    cancelled = admin.run("a")
    node.pump()
    prune(admin, tasks=run.task_ids, ended_before_ms=counted(world, node, admin))
    day = world.utc_ms // DAY_MS
    for kind, name in ((UsageKind.DEVICE, "a"), (UsageKind.WORKFLOW, "look"), (UsageKind.ACTOR, "user/ann")):
        row = world.tables.usage[kind.value, day, name]
        assert (row.tasks, row.passed, row.attempts, row.device_ms) == (1, 1, 1, 5_000)
    admin.do(c.CANCEL_RUN, c.CancelRun(run_id=cancelled.run_id), c.Cancelled)


@pytest.mark.parametrize("released", [True, False])
def test_an_attempt_that_was_given_back_untouched_is_no_use(released: bool) -> None:
    world, node, admin = started_world("a")
    admin.run("a")
    [dispatch] = node.pump()
    node.end(dispatch, released=released)
    node.flush()
    attempts = [row.attempts for (kind, _, _), row in world.tables.usage.items() if kind == "device"]
    assert attempts == ([] if released else [1])
