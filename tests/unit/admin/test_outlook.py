"""How long a run may still take: devices one after the other, slots at once, unknown where nobody can know."""

from __future__ import annotations

from doai.admin.outlook import Place, left_s
from doai.store.outlook_reader import OpenLoad

MEDIAN = {("look", 1): 10.0}
PLACES = {serial: Place("n1", 2) for serial in "abcd"}


def load(run_id: str, device: str | None, tasks: int = 1, running: int = 0, workflow: str = "look") -> OpenLoad:
    return OpenLoad(run_id=run_id, workflow=workflow, version=1, device_serial=device, tasks=tasks, running=running)


def test_a_device_does_its_tasks_one_after_the_other() -> None:
    assert left_s("r1", [load("r1", "a", 3)], MEDIAN, PLACES) == 30.0


def test_of_what_runs_half_is_left() -> None:
    assert left_s("r1", [load("r1", "a", 2, running=1)], MEDIAN, PLACES) == 15.0


def test_a_node_does_as_many_at_once_as_it_has_slots() -> None:
    assert left_s("r1", [load("r1", serial) for serial in "abcd"], MEDIAN, PLACES) == 20.0


def test_earlier_runs_go_first_and_later_ones_do_not_count() -> None:
    loads = [load("r1", "a", 2), load("r2", "a"), load("r3", "a", 50)]
    assert left_s("r2", loads, MEDIAN, PLACES) == 30.0


def test_tasks_for_any_device_are_spread() -> None:
    assert left_s("r1", [load("r1", None, 8)], MEDIAN, PLACES) == 40.0
    assert left_s("r1", [load("r1", None, 1)], MEDIAN, PLACES) == 10.0


def test_unknown_is_none() -> None:
    assert left_s("r1", [], MEDIAN, PLACES) is None
    assert left_s("r1", [load("r1", "a", workflow="new")], MEDIAN, PLACES) is None
    assert left_s("r1", [load("r1", "gone")], MEDIAN, PLACES) is None
    assert left_s("r1", [load("r1", None)], MEDIAN, {}) is None
