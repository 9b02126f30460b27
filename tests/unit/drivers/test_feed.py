"""The feed: nothing is missed, proofs are newest-wins, and a slow reader stays bounded."""

from __future__ import annotations

import gc

from doai.drivers import feed as feed_module
from doai.drivers.base import DeviceChange, DeviceInfo, DriverNotice, Proof, ProofKind
from doai.drivers.feed import Feed
from doai.states import DeviceState


def change(serial: str, state: DeviceState = DeviceState.ONLINE) -> DeviceChange:
    info = DeviceInfo(serial=serial, connection="x") if state is DeviceState.ONLINE else None
    return DeviceChange(serial=serial, state=state, info=info)


async def test_a_reader_begins_with_what_is_there() -> None:
    feed = Feed()
    feed.publish(change("A"))
    feed.publish(change("B"))
    feed.publish(change("B", DeviceState.OFFLINE))
    feed.publish(change("C", DeviceState.UNAUTHORIZED))
    reader = feed.read()
    feed.publish(change("D"))
    assert [(await anext(reader)).serial for _ in range(3)] == ["A", "C", "D"]
    assert feed.current("B") == change("B", DeviceState.OFFLINE)
    assert feed.current("E") is None


async def test_proofs_wait_behind_changes_one_of_a_kind() -> None:
    feed = Feed()
    reader = feed.read()
    for _ in range(3):
        feed.publish(Proof("A", ProofKind.ANSWER))
        feed.publish(Proof("A", ProofKind.ADB))
    feed.publish(change("A"))
    assert await anext(reader) == change("A")
    assert {await anext(reader), await anext(reader)} == {Proof("A", ProofKind.ADB), Proof("A", ProofKind.ANSWER)}
    feed.publish(change("B"))
    assert await anext(reader) == change("B")


async def test_a_slow_reader_gets_the_newest_state_of_every_device() -> None:
    feed = Feed()
    reader = feed.read()
    feed.publish(DriverNotice(code="told", message="once"))
    for number in range(feed_module.CHANGES_KEPT_MAX + 10):
        state = DeviceState.OFFLINE if number % 2 else DeviceState.ONLINE
        feed.publish(change(f"D{number % 100:02d}", state))
    newest: dict[str, DeviceChange] = {}
    notices = []
    for _ in range(101 + 10):
        item = await anext(reader)
        if isinstance(item, DeviceChange):
            newest[item.serial] = item
        elif isinstance(item, DriverNotice):
            notices.append(item.code)
        if len(newest) == 100 and notices:
            break
    assert notices == ["told"]
    assert all(feed.current(serial) is not None for serial in newest)


async def test_a_dropped_reader_is_fed_no_more() -> None:
    feed = Feed()
    reader = feed.read()
    assert len(feed._readers) == 1
    del reader
    gc.collect()
    assert len(feed._readers) == 0
