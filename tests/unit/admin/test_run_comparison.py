"""Two runs beside each other: every phone once, with what changed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from doai.admin.run_comparison import Change, compare_runs
from doai.changes.rows import TaskRow
from doai.states import TERMINAL, TaskState
from tests.unit.admin.task_rows import task_row


def task(serial: str | None, state: TaskState, task_id: str = "t1") -> TaskRow:
    ended_at_ms = 3_500 if state in TERMINAL else None
    return task_row(state, task_id, device_serial=serial, started_at_ms=1_000, ended_at_ms=ended_at_ms)


def test_every_change_has_its_name() -> None:
    passed, failed, unknown, running = TaskState.PASSED, TaskState.FAILED, TaskState.UNKNOWN, TaskState.RUNNING
    first = [
        task("a", passed),
        task("b", failed),
        task("c", passed),
        task("d", failed),
        task("e", passed),
        task("f", failed),
    ]
    second = [
        task("a", passed),
        task("b", passed),
        task("c", failed),
        task("d", unknown),
        task("e", running),
        task("g", passed),
    ]
    found = {each.serial: each.change for each in compare_runs(first, second)}
    assert found == {
        "a": Change.SAME, "b": Change.BETTER, "c": Change.WORSE, "d": Change.OTHER, "e": Change.OPEN,
        "f": Change.GONE, "g": Change.NEW,
    }  # fmt: skip


def test_of_several_tasks_of_a_phone_the_last_counts_and_what_had_none_is_left_out() -> None:
    first = [
        task("a", TaskState.PASSED, "t2"),
        task("a", TaskState.FAILED, "t1"),
        task(None, TaskState.EXPIRED, "t3"),
    ]
    [found] = compare_runs(first, [task("a", TaskState.FAILED)])
    assert found.change is Change.WORSE
    assert found.first is not None
    assert (found.first.task_id, found.first.duration_s) == ("t2", 2.5)


TASKS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(TaskState)), max_size=8)


@given(TASKS, TASKS)
def test_every_phone_is_there_once_and_the_other_way_round_is_the_mirror(
    first: list[tuple[str, TaskState]], second: list[tuple[str, TaskState]]
) -> None:
    one, two = (
        [task(serial, state, f"t{n}") for n, (serial, state) in enumerate(each)] for each in (first, second)
    )
    there = compare_runs(one, two)
    assert [each.serial for each in there] == sorted({serial for serial, _ in [*first, *second]})
    mirror = {
        Change.BETTER: Change.WORSE,
        Change.WORSE: Change.BETTER,
        Change.GONE: Change.NEW,
        Change.NEW: Change.GONE,
    }
    back = {each.serial: each.change for each in compare_runs(two, one)}
    assert back == {each.serial: mirror.get(each.change, each.change) for each in there}
