"""Tracking against a scripted server: it comes and goes, hangs, and refuses to connect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from doai.drivers.adb import tracking
from doai.drivers.adb.client import AdbClient
from doai.drivers.adb.config import AdbConfig
from doai.drivers.adb.registry import Registry
from doai.drivers.adb.server import AdbServer
from doai.drivers.adb.tracking import Tracker
from doai.drivers.base import DeviceChange, DriverNotice
from doai.drivers.feed import Feed
from doai.states import DeviceState

IDENTITY = b"S1\n\nmodel\nmaker\n33\n13\nPhysical size: 360x640\n"


class ScriptedServer:
    """Speaks as much of the adb server's protocol as tracking needs."""

    def __init__(self) -> None:
        self.listing = b""
        self.connects = 0
        self.hangs = False
        self._changed = trio.Event()
        self._streams: set[trio.SocketStream] = set()

    def show(self, listing: bytes) -> None:
        self.listing = listing
        self._changed.set()
        self._changed = trio.Event()

    async def cut(self) -> None:
        for stream in list(self._streams):
            await stream.aclose()

    async def handle(self, stream: trio.SocketStream) -> None:
        self._streams.add(stream)
        try:
            async with stream:
                await self._serve(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            self._streams.discard(stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        request = await self._request(stream)
        if self.hangs:
            await trio.sleep_forever()
        if request.startswith("host:connect:"):
            self.connects += 1
            await stream.send_all(b"OKAY" + counted(b"failed to connect to 'x': Connection refused"))
        elif request == "host:track-devices-l":
            await stream.send_all(b"OKAY")
            while True:
                changed = self._changed
                await stream.send_all(counted(self.listing))
                await changed.wait()
        elif request.startswith("host:transport-id:"):
            await stream.send_all(b"OKAY")
            await self._request(stream)
            await stream.send_all(b"OKAY\x01" + len(IDENTITY).to_bytes(4, "little") + IDENTITY + b"\3\1\0\0\0\0")
            await stream.receive_some()
        else:
            await stream.send_all(b"OKAY" + counted(self.listing))

    async def _request(self, stream: trio.SocketStream) -> str:
        data = b""
        while len(data) < 4 or len(data) < 4 + int(data[:4], 16):
            more = await stream.receive_some()
            if not more:
                return ""
            data += more
        return data[4:].decode()


def counted(text: bytes) -> bytes:
    return b"%04x%b" % (len(text), text)


class Setup:
    def __init__(self, server: ScriptedServer, port: int, nursery: trio.Nursery) -> None:
        self.server = server
        self.nursery = nursery
        self.feed = Feed()
        self.changes = self.feed.read()
        self.killed = trio.Event()
        config = AdbConfig(server_port=port, start_server=False, connect=["127.0.0.1:1"])
        client = AdbClient(port)
        self.registry = Registry(self.feed, port, trio.current_time)
        supervisor = AdbServer(config, client, self.report)
        supervisor.kill = self.killed.set  # type: ignore[method-assign]
        self.tracker = Tracker(config, client, supervisor, self.registry, self.report)

    def report(self, code: str, message: str) -> None:
        self.feed.publish(DriverNotice(code=code, message=message))

    async def told(self, state: DeviceState) -> DeviceChange:
        while True:
            item = await anext(self.changes)
            if isinstance(item, DeviceChange) and item.state is state:
                return item

    async def noticed(self) -> DriverNotice:
        while True:
            item = await anext(self.changes)
            if isinstance(item, DriverNotice):
                return item


@asynccontextmanager
async def scripted() -> AsyncIterator[Setup]:
    server = ScriptedServer()
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, server.handle, 0, host="127.0.0.1"))
            yield Setup(server, listeners[0].socket.getsockname()[1], nursery)
            nursery.cancel_scope.cancel()


async def test_devices_go_with_the_server_and_come_back_with_it() -> None:
    async with scripted() as setup:
        await setup.nursery.start(setup.tracker.follow, setup.nursery)
        setup.server.show(b"127.0.0.1:5601 device transport_id:1\n")
        online = await setup.told(DeviceState.ONLINE)
        assert online.info is not None
        assert (online.serial, online.info.screen) == ("S1", (360, 640))
        await setup.server.cut()
        gone = await setup.told(DeviceState.OFFLINE)
        assert "adb server" in gone.reason
        assert (await setup.told(DeviceState.ONLINE)).serial == "S1"


async def test_an_address_that_refuses_is_told_once_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "SCAN_EVERY_S", 0.01)
    monkeypatch.setattr(tracking, "_BACKOFF", tracking.Backoff(first_s=0.01, longest_s=0.02))
    async with scripted() as setup:
        setup.nursery.start_soon(setup.tracker.keep_connected, setup.nursery)
        notice = await setup.noticed()
        assert notice.code == "connect_failed"
        assert "127.0.0.1:1" in notice.message
        assert "Connection refused" in notice.message
        while setup.server.connects < 4:  # noqa: ASYNC110 - a count
            await trio.sleep(0.01)
        with trio.move_on_after(0):
            raise AssertionError(await setup.noticed())


async def test_a_server_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "PROVE_EVERY_S", 0.01)
    monkeypatch.setattr(tracking, "ANSWER_TIMEOUT_S", 0.02)
    async with scripted() as setup:
        setup.nursery.start_soon(setup.tracker.prove)
        setup.server.hangs = True
        assert (await setup.noticed()).code == "adb_server_hung"
        await setup.killed.wait()
