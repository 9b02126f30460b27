"""Statistics a minute and an hour: each end counted once, whatever the broker and its clock do meanwhile."""

from __future__ import annotations

from doai.changes.statistics import Period, StatisticsRow
from doai.codec import Kind, encode
from doai.errors import ErrorClass, Failure
from doai.histogram import Histogram
from doai.limits import STATISTICS_MINUTES_KEPT_S
from doai.messages.link import Heartbeat
from doai.states import Outcome
from tests.unit.broker.harness import FakeAdmin, FakeNode, World, sample, started_world

HOUR_MS = 3_600_000
WRONG = Failure(error_class=ErrorClass.USER, code="wrong", message="no such button")


def rows(world: World, period: Period = Period.MINUTE) -> list[StatisticsRow]:
    found = [row for row in world.tables.statistics.values() if row.period is period]
    return sorted(found, key=lambda row: (row.at_ms, row.row_id))


def live(world: World, node: FakeNode, admin: FakeAdmin, seconds: float) -> None:
    """Let time pass while node and admin are heard from."""
    for _ in range(round(seconds / 10)):
        world.pass_time(10)
        node.heartbeat()
        world.send(admin.link, admin.name, Kind.HEARTBEAT, encode(Heartbeat(sample=sample())))


def pass_one(
    world: World, node: FakeNode, admin: FakeAdmin, *, seconds: float = 0, failure: Failure | None = None
) -> None:
    admin.run("d1")
    (dispatch,) = node.flush()
    node.begin(dispatch)
    node.flush()
    world.utc_ms += round(seconds * 1000)
    world.mono_s += seconds
    node.end(dispatch, Outcome.PASSED if failure is None else Outcome.FAILED, failure=failure)
    node.flush()


def test_a_minute_tells_what_ended_and_what_waits() -> None:
    world, node, admin = started_world("d1")
    live(world, node, admin, 60)
    pass_one(world, node, admin, seconds=4)
    pass_one(world, node, admin, seconds=8, failure=WRONG)
    admin.run("d1")
    live(world, node, admin, 60)
    last = rows(world)[-1]
    assert (last.passed, last.failed, last.cancelled, last.waiting, last.running) == (1, 1, 0, 0, 1)
    assert (last.nodes_online, last.nodes_total, last.observed_ms) == (1, 1, 60_000)
    duration = Histogram.decoded(last.duration)
    assert duration.count == 2
    assert abs((duration.percentile_s(1.0) or 0) - 8) < 0.2
    world.check()


def test_the_first_minute_is_not_whole_and_says_so() -> None:
    world, _, _ = started_world("d1")
    world.pass_time(61)
    observed = [row.observed_ms for row in rows(world)]
    assert observed[0] == 0, "the row with which counting begins"
    assert observed[1] < 60_000


def test_ends_before_a_crash_are_counted_after_it() -> None:
    world, node, admin = started_world("d1")
    live(world, node, admin, 60)
    pass_one(world, node, admin)
    world.check()
    at_ms = world.utc_ms - world.utc_ms % 60_000
    world.restart()
    world.pass_time(3 * 60)
    [counted] = [row for row in rows(world) if row.passed]
    assert counted.at_ms == at_ms
    world.check()
    world.restart()
    world.pass_time(120)
    assert sum(row.passed for row in rows(world)) == 1
    world.check()


def test_hours_are_the_sum_of_their_minutes_over_restarts() -> None:
    world, node, admin = started_world("d1")
    for _ in range(3):
        pass_one(world, node, admin, seconds=1)
        live(world, node, admin, 700)
    world.restart()
    world.pass_time(2 * 3600)
    hours = rows(world, Period.HOUR)
    assert sum(row.passed for row in hours) == 3
    assert len({row.at_ms for row in hours}) == len(hours)
    for hour in hours:
        minutes = [row for row in rows(world) if row.at_ms // HOUR_MS * HOUR_MS == hour.at_ms]
        assert hour.passed == sum(row.passed for row in minutes)
        assert hour.observed_ms == sum(row.observed_ms for row in minutes)
        assert hour.nodes_online == min(row.nodes_online for row in minutes if row.nodes_online is not None)
    world.check()


def test_a_clock_that_goes_back_counts_nothing_twice() -> None:
    world, node, admin = started_world("d1")
    live(world, node, admin, 120)
    pass_one(world, node, admin)
    live(world, node, admin, 60)
    world.utc_ms -= 2 * HOUR_MS
    live(world, node, admin, 10)
    pass_one(world, node, admin)
    world.pass_time(3 * 3600)
    assert sum(row.passed for row in rows(world)) == 2
    assert sum(row.passed for row in rows(world, Period.HOUR)) == 2
    world.check()


def test_old_minutes_go_and_hours_stay() -> None:
    world, _, _ = started_world("d1")
    world.pass_time(STATISTICS_MINUTES_KEPT_S + 2 * 3600)
    first = rows(world)[0].at_ms
    assert 0 <= world.utc_ms - first - STATISTICS_MINUTES_KEPT_S * 1000 < 120_000
    assert len(rows(world, Period.HOUR)) >= 25
