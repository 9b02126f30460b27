"""A rate holds in every window, whenever it begins, over restarts too."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.broker.core.rates import RATE_PER_MIN_MAX, Rate
from doai.broker.core.settings import CoreSettings
from tests.unit.broker.harness import FakeNode, World, started_world
from tests.unit.broker.test_queues import any_device, end_one, put


def taken(rate: Rate, asked_s: list[float]) -> list[float]:
    given_s = []
    for at_s in asked_s:
        if rate.is_open(at_s):
            rate.take(at_s)
            given_s.append(at_s)
    return given_s


@given(
    st.integers(1, 500),
    st.lists(st.floats(0.0, 2.0), min_size=1, max_size=400),
    st.sampled_from([1.0, 0.01]),
    st.integers(0, 400),
)
def test_no_minute_has_more_than_the_rate(per_min: int, gaps: list[float], scale: float, restart: int) -> None:
    at_s, rate, given_s = 0.0, Rate(per_min, 0.0, fresh=True), []
    for number, gap in enumerate(gaps):
        at_s += gap * scale
        if number == restart:
            rate = Rate(per_min, at_s, fresh=False)
        given_s += taken(rate, [at_s])
    for n, begin_s in enumerate(given_s):
        window = [s for s in given_s[n:] if s < begin_s + 60.0]
        assert len(window) <= per_min


@pytest.mark.parametrize("per_min", [1, 7, 60, 61, 600, RATE_PER_MIN_MAX])
def test_who_always_asks_gets_nearly_all_of_the_rate(per_min: int) -> None:
    rate, at_s, count = Rate(per_min, 0.0, fresh=True), 0.0, 0
    while at_s < 120.0:
        rate.take(at_s)
        count += 1
        if not rate.is_open(at_s):
            at_s = max(at_s, rate.opens_s)
    assert count >= math.floor(2 * per_min * 0.97)


def wait(world: World, node: FakeNode, seconds: float) -> None:
    """Let time pass for a node that is there."""
    for _ in range(round(seconds)):
        world.pass_time(1.0)
        node.heartbeat()


def test_a_queue_gives_out_its_rate_and_another_goes_on() -> None:
    settings = CoreSettings(queues={"default": 0, "slow": 5})
    world, node, admin = started_world("d1", "d2", "d3", "d4", "d5", settings=settings)
    put(admin, "slow", rate_per_min=2)
    slow = any_device(admin, 4, queue="slow")
    assert [d.task_id for d in node.pump()] == slow[:1]
    reason = world.core._scheduler.waiting_reason(world.core.state.tasks[slow[1]])
    assert reason == "queue slow gives out 2 tasks a minute"
    other = admin.run("d1", "d2", "d3", "d4", "d5").task_ids
    assert {d.task_id for d in node.pump()} == set(other)
    for _ in range(6):
        end_one(node)
    wait(world, node, 29.0)
    assert not node.held
    wait(world, node, 2.0)
    assert [d.task_id for d in node.held.values()] == slow[1:2]
    world.restart()
    node.connect()
    node.pump()
    wait(world, node, 29.0)
    assert len(node.held) == 1, "a restart gives nothing away"
    wait(world, node, 2.0)
    assert [d.task_id for d in node.held.values()] == slow[1:3]
    world.check()


def test_nothing_of_a_queue_with_a_rate_is_given_ahead() -> None:
    world, node, admin = started_world("d1")
    put(admin, "default", rate_per_min=RATE_PER_MIN_MAX)
    first, second = admin.run("d1").task_ids, admin.run("d1").task_ids
    assert [d.task_id for d in node.pump()] == first
    assert end_one(node) == second
    world.check()
