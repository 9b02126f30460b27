"""What the node says to the broker: heartbeats, the bound of the outbox, farewell."""

from __future__ import annotations

from typing import Any

import pytest

from doai.codec import Kind, decode
from doai.drivers.base import DriverNotice, Proof, ProofKind
from doai.limits import FACTS_APART_S
from doai.link.actions import OpenSocket
from doai.messages.link import Bye, Heartbeat, Welcome
from doai.node.core import session
from doai.node.core.effects import HostNumbers, StopNode
from doai.states import DeviceState

ONE = """
workflow: one
steps:
  - {id: a, use: device.bootstrap}
always:
  - {id: z, use: app.stop, with: {package: com.x.y}}
"""


def beats(world: Any) -> list[Heartbeat]:
    return [decode(body, Heartbeat) for kind, body in world.frames if kind == Kind.HEARTBEAT]


def test_a_heartbeat_tells_tokens_proofs_and_the_host(world: Any) -> None:
    recipe = world.recipe(ONE)
    token = world.dispatch("T1", recipe)
    world.core.sampled(HostNumbers(12.5, 50.0, 4096))
    world.advance(4)
    world.core.device_proven(Proof("A", ProofKind.ADB), world.now)
    world.advance(7)
    _, beat = beats(world)
    assert beat.tokens == [(token.generation, token.n)]
    assert beat.as_of_seq == world.file.highest_seq
    sample = beat.sample
    assert (sample.running, sample.slots, sample.cpu_percent, sample.rss_bytes) == (1, 2, 12.5, 4096)
    [proof] = beat.devices
    assert (proof.serial, proof.adb_age_s, proof.answer_age_s) == ("A", 6.0, 10.0)


def test_results_gather_while_every_slot_is_in_use(make_world: Any) -> None:
    """Of three devices for two slots: while something else begins, nobody waits for what has ended."""
    world = make_world(slots=2)
    world.connect()
    for serial in "ABC":
        world.device(serial)
    recipe = world.recipe(ONE)
    for serial in "ABC":
        world.dispatch(f"T{serial}", recipe, serial=serial)
    world.acknowledge()
    for step in "az":
        world.end(f"TA/{step}")
    assert "TC/a" in world.open
    assert "attempt.ended" not in told(world)
    world.advance(FACTS_APART_S)
    assert "attempt.ended" in told(world)
    world.acknowledge()
    for step in "az":
        world.end(f"TB/{step}")
    assert told(world).count("attempt.ended") == 2, "a slot is free: it leaves at once"


def told(world: Any) -> list[str]:
    return [envelope.type for _, envelope in world.received]


def test_silence_opens_a_new_socket(world: Any) -> None:
    world.effects.clear()
    world.advance(60)
    assert [effect.epoch for effect in world.effects if isinstance(effect, OpenSocket)][:1] == [2]


def test_a_full_outbox_starts_nothing_new_and_says_so(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "OUTBOX_START_MAX", 3)
    recipe = world.recipe(ONE)
    world.dispatch("T1", recipe)
    world.end("T1/a")
    world.end("T1/z")
    world.dispatch("T2", recipe)
    assert world.open == {}
    world.advance(10)
    assert "facts wait for the broker" in beats(world)[-1].intake_closed
    world.acknowledge()
    assert set(world.open) == {"T2/a"}


def test_a_waiting_task_begins_only_while_the_broker_counts_on_it(world: Any) -> None:
    recipe = world.recipe(ONE)
    world.dispatch("T1", recipe)
    world.dispatch("T2", recipe)
    world.advance(12)
    world.beat()  # of a heartbeat that listed both
    world.end("T1/a")
    world.advance(10)
    world.frame(Kind.ACK)  # the connection lives, but what the broker heard of the tasks is not said
    world.advance(10)
    world.frame(Kind.ACK)
    world.advance(10)
    world.end("T1/z")
    assert world.open == {}, "the broker may have given it up: another node may have the device"
    world.beat()
    assert set(world.open) == {"T2/a"}


def test_a_process_that_stood_still_begins_nothing_on_its_own(world: Any) -> None:
    recipe = world.recipe(ONE)
    world.dispatch("T1", recipe)
    world.dispatch("T2", recipe)
    world.mono_s += 300.0
    world.end("T1/a")
    world.end("T1/z")
    assert world.open == {}
    world.connect()
    assert world.open == {}, "that the broker knows the connection says nothing of the task"
    world.beat()
    assert set(world.open) == {"T2/a"}


def test_a_task_that_came_after_an_answer_needs_no_other(world: Any) -> None:
    recipe = world.recipe(ONE)
    world.dispatch("T1", recipe)
    world.advance(12)
    world.beat()
    world.advance(8)
    world.dispatch("T2", recipe)
    world.end("T1/a")
    world.end("T1/z")
    assert set(world.open) == {"T2/a"}


def test_drain_stops_running_tasks_after_their_always_and_gives_the_rest_back(world: Any) -> None:
    recipe = world.recipe(ONE)
    world.dispatch("T1", recipe)
    world.dispatch("T2", recipe)
    world.frames.clear()
    world.take(world.core.drain("stopped by a test", world.now))
    assert world.frames[0][0] == Kind.HEARTBEAT, "first of all, or the broker sends it all again"
    assert beats(world)[0].intake_closed == "the node stops"
    assert [end.released for end in world.ends("T2")] == [True]
    assert set(world.open) == {"T1/z"}
    world.dispatch("T3", recipe)
    assert [end.released for end in world.ends("T3")] == [True]
    world.end("T1/z")
    assert [end.released for end in world.ends("T1")] == [True]
    assert world.stopped is None
    world.acknowledge()
    assert world.stopped == StopNode("stopped by a test", 0)
    assert [decode(body, Bye).reason for kind, body in world.frames if kind == Kind.BYE] == ["stopped by a test"]


def test_drain_does_not_wait_for_ever_for_the_broker(world: Any) -> None:
    world.take(world.core.drain("stopped by a test", world.now))
    world.advance(5)
    assert world.stopped is not None


def test_a_frame_that_can_not_be_read_ends_the_connection(world: Any) -> None:
    world.effects.clear()
    world.frame(Kind.DISPATCH, {"not": "a dispatch"})
    world.advance(20)
    assert any(isinstance(effect, OpenSocket) for effect in world.effects)


def test_a_device_and_its_driver_are_told_once(world: Any) -> None:
    world.device("A")
    world.device("A", DeviceState.UNRESPONSIVE)
    world.device("A", DeviceState.UNRESPONSIVE)
    for serial in ("A", None):
        notice = DriverNotice(code="look", message="Look.", serial=serial)
        world.take(world.core.driver_noticed(notice, world.now))
    assert [name for name, _ in world.facts()] == [
        "device.online",
        "device.offline",
        "device.error",
        "system.alert",
    ]


def test_recipes_nobody_needs_are_forgotten_between_connections(world: Any) -> None:
    first = world.recipe(ONE)
    second = world.recipe(ONE.replace("one", "two"))
    world.dispatch("T1", first)
    assert set(world.file.recipes) == {first, second}
    world.take(world.core.socket_lost(world.epoch, world.now, 0.0))
    world.connect()
    assert set(world.file.recipes) == {first}


def test_a_disk_without_room_starts_nothing_new_and_says_so(world: Any) -> None:
    recipe = world.recipe(ONE)
    world.take(world.core.disk_room(1024 * 1024, world.now))
    world.dispatch("T1", recipe)
    assert world.open == {}
    assert "1 MB left" in beats(world)[-1].intake_closed
    assert [fact.code for kind, fact in world.facts() if kind == "system.alert"] == ["disk_low"]
    world.take(world.core.disk_room(1 << 40, world.now))
    assert set(world.open) == {"T1/a"}
    assert beats(world)[-1].intake_closed == ""


def test_a_new_life_of_the_broker_is_told_the_devices_again(make_world: Any) -> None:
    """That another node saw a device too was only in the memory of the process before."""
    world = make_world()
    world.connect()
    world.device("B")

    def told() -> int:
        return [(t, p.serial) for t, p in world.facts() if t == "device.online"].count(("device.online", "B"))

    assert told() == 1
    for life, times in (("L1", 1), ("L1", 1), ("L2", 2)):
        world.take(world.core.socket_lost(world.epoch, world.now, 0.0))
        world.advance(1)
        seq = world.file.trimmed_seq
        welcome = Welcome(store_id="S1", last_seq=seq, capacity=9, heartbeat_s=10.0, handle=1, broker_life=life)
        world.frame(Kind.WELCOME, welcome, ack=seq)
        assert told() == times
