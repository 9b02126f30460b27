"""What has ended in a queue: cleaned in two steps, tried again in slices, and nothing open among it."""

from __future__ import annotations

from typing import Any

import pytest

from doai import topics
from doai.broker.core import finished
from doai.changes.audit import AuditOutcome
from doai.errors import ErrorClass
from doai.messages import commands as c
from doai.messages import finished as f
from doai.messages import queues as q
from doai.states import DeadLetterState, Outcome
from tests.unit.broker.harness import FakeAdmin, FakeNode, World, failure, started_world
from tests.unit.broker.test_queues import put

OLD_MS = 3_600_000


def fail(world: World, node: FakeNode, admin: FakeAdmin, *serials: str, **about: Any) -> list[str]:
    """Make a run of which every task fails for good; return their ids."""
    run = admin.run(*serials, **{"attempts": 1, **about})
    end_all_failed(node)
    world.check()
    return run.task_ids


def end_all_failed(node: FakeNode) -> None:
    node.pump()
    for dispatch in list(node.held.values()):
        node.begin(dispatch)
        node.end(dispatch, Outcome.FAILED, failure=failure(ErrorClass.APP))
    node.flush()


def retry(admin: FakeAdmin, name: str = "default", **wish: Any) -> f.FailedRetried:
    answer: f.FailedRetried = admin.do(f.RETRY_FAILED, f.RetryFailed(name=name, **wish), f.FailedRetried)
    return answer


def meant(world: World, **wish: Any) -> f.CleanQueue:
    found = {"name": "default", "ended_before_ms": world.utc_ms - OLD_MS, "runs": 3, "tasks": 7, "digest": "abc"}
    return f.CleanQueue(**{**found, **wish})


def clean(admin: FakeAdmin, wish: f.CleanQueue) -> f.QueueCleaned:
    answer: f.QueueCleaned = admin.do(f.CLEAN_QUEUE, wish, f.QueueCleaned)
    return answer


def test_what_failed_in_a_queue_is_tried_again_slice_by_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finished, "RETRY_FAILED_AT_ONCE", 2)
    world, node, admin = started_world("d1", "d2", "d3")
    put(admin, "other")
    old = fail(world, node, admin, "d1", "d2", "d3")
    elsewhere = fail(world, node, admin, "d1", queue="other")
    first = retry(admin)
    assert (first.retried, len(first.run_ids), first.left) == (2, 1, 1)
    end_all_failed(node)
    second = retry(admin, after=first.after, up_to=first.up_to)
    assert (second.retried, second.left) == (1, 0), "what failed again meanwhile is not among them"
    rows = {row.task_id: row for row in world.tables.dead_letters.values()}
    assert [rows[task_id].state for task_id in old] == [DeadLetterState.RETRIED] * 3
    again = [world.tables.tasks[rows[task_id].retried_as] for task_id in old]
    assert [row.status.device_serial for row in again] == ["d1", "d2", "d3"]
    assert rows[elsewhere[0]].state is DeadLetterState.OPEN
    world.check()
    world.restart()
    world.check()


def test_what_is_tried_again_belongs_where_the_first_did() -> None:
    world, node, admin = started_world("d1")
    fail(world, node, admin, "d1", project="shelf-1")
    [run_id] = retry(admin).run_ids
    end_all_failed(node)
    assert world.tables.runs[run_id].project == "shelf-1"
    assert [(name, row.failed) for (kind, _, name), row in world.tables.usage.items() if kind == "project"] == [
        ("shelf-1", 2)
    ]
    wish = c.CreateRun(workflow="look", targets=c.Targets(kind=c.TargetKind.ALL), project="a\nb")
    assert "a project has at most 80 characters" in admin.refused(c.CREATE_RUN, wish).message


def test_a_retry_tells_what_can_not_be_and_goes_past_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finished, "RETRY_FAILED_AT_ONCE", 1)
    world, node, admin = started_world("d1", "d2")
    fail(world, node, admin, "d1")
    fail(world, node, admin, "d2")
    assert admin.refused(f.RETRY_FAILED, f.RetryFailed(name="defualt")).code == "queue_not_found"
    admin.do(q.DRAIN_QUEUE, q.DrainQueue(name="default"), q.QueueStatus)
    first = retry(admin)
    assert (first.retried, len(first.refused), first.left) == (0, 1, 1)
    assert "default" in first.refused[0]
    second = retry(admin, after=first.after, up_to=first.up_to)
    assert (second.retried, len(second.refused), second.left) == (0, 1, 0)
    assert len(world.core.state.letters) == 2
    world.check()


def test_a_clean_is_confirmed_for_what_it_was_shown_and_told_once() -> None:
    world, _, admin = started_world("d1")
    first = clean(admin, meant(world))
    assert (first.runs, first.tasks, first.done, len(first.confirm)) == (3, 7, False, 32)
    assert not world.events(topics.QUEUE_CLEANED)
    done = clean(admin, meant(world, confirm=first.confirm, reason="the disk"))
    assert (done.done, done.confirm) == (True, "")
    [event] = world.events(topics.QUEUE_CLEANED)
    assert event.subject == "queue/default"
    rows = [row for row in world.tables.audit.values() if row.action == f.CLEAN_QUEUE]
    assert [row.outcome for row in rows] == [AuditOutcome.DONE] * 2
    assert '"the disk"' in (rows[1].after or "")
    code = admin.refused(f.CLEAN_QUEUE, meant(world, confirm=first.confirm)).code
    assert code == "confirmation_unknown", "it is for one use"
    world.check()


@pytest.mark.parametrize(
    "change",
    [{"runs": 4}, {"digest": "abd"}, {"outcomes": [Outcome.PASSED]}, {"ended_before_ms": 1}],
    ids=["runs", "digest", "outcomes", "before"],
)
def test_a_clean_of_something_else_needs_another_confirmation(change: dict[str, Any]) -> None:
    world, _, admin = started_world("d1")
    token = clean(admin, meant(world)).confirm
    assert admin.refused(f.CLEAN_QUEUE, meant(world, confirm=token, **change)).code == "confirmation_outdated"
    assert not world.events(topics.QUEUE_CLEANED)


def test_what_can_not_be_cleaned_is_refused_by_name() -> None:
    world, _, admin = started_world("d1")
    put(admin, "slow")
    token = clean(admin, meant(world)).confirm
    for wish, code in (
        (meant(world, name="nope"), "queue_not_found"),
        (meant(world, ended_before_ms=world.utc_ms - 1000), "too_young"),
        (meant(world, runs=-1), "bad_selection"),
        (meant(world, name="slow", confirm=token), "confirmation_of_another"),
    ):
        assert admin.refused(f.CLEAN_QUEUE, wish).code == code
