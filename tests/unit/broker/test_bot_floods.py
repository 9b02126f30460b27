"""A bot that sends more than a peer may: cut and named, heard again later, and nobody else's harm."""

from __future__ import annotations

from doai import limits
from doai.broker.core.settings import CoreSettings, RateLimit
from doai.messages.bots import Subscription
from tests.unit.broker.harness import FakeBot, started_world

RUNS = Subscription(name="runs", topics=["run.*"])


def test_a_bot_that_floods_is_cut_and_named_and_others_go_on() -> None:
    world, _, admin = started_world("d1", settings=CoreSettings(frames=RateLimit(rate_per_s=10.0, burst=60.0)))
    flooder, well = FakeBot(world).connect(RUNS), FakeBot(world, name="other").connect(RUNS)
    made = admin.run("d1")
    world.pass_time(limits.EVENTS_FLUSH_MAX_S)
    assert len(flooder.take()) == len(well.take()) == 1
    for _ in range(200):
        flooder.heartbeat()
    assert flooder.link in world.shut
    lines = [line.message for line in world.logs if "more frames than a peer may" in line.message]
    assert lines
    assert all(line.startswith("robot sends") for line in lines), "the log says who"
    again = admin.run("d1")
    world.pass_time(limits.EVENTS_FLUSH_MAX_S)
    assert [envelope.subject for _, envelope in well.take()] == [f"run/{again.run_id}"]
    world.pass_time(10.0)
    flooder.connect()
    world.pass_time(limits.EVENTS_FLUSH_MAX_S)
    given = {envelope.subject for _, envelope in flooder.take()}
    assert given == {f"run/{made.run_id}", f"run/{again.run_id}"}, "what it had not told done, and what it missed"
    world.check()
