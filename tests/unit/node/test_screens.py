"""Pictures of a screen from a node: smaller ones, while the admin wants them, and why where there is none."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from PIL import Image

from doai.drivers.failures import device_offline
from doai.drivers.fake.driver import FakeDriver
from doai.node.screens import HEIGHT_MAX, ScreenFeed, smaller

WITHIN_S = 30.0


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGBA", (width, height), (10, 200, 30, 255)).save(out, "PNG")
    return out.getvalue()


def test_a_picture_is_made_smaller_and_keeps_its_shape() -> None:
    with Image.open(io.BytesIO(smaller(png(1080, 2400)))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (432, HEIGHT_MAX))
    with Image.open(io.BytesIO(smaller(png(100, 50)))) as picture:
        assert picture.size == (100, 50), "a small one is as it was"
    with pytest.raises(OSError, match="identify"):
        smaller(b"no picture")


class Admin:
    """Plays the admin: wants what it is told to want, and keeps what it is brought."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.all_brought = trio.Event()
        self.brought: dict[str, list[tuple[str, bytes]]] = {}
        self.url = ""

    async def serve(self, stream: trio.SocketStream) -> None:
        data = b""
        async with stream:
            while True:
                while b"\r\n\r\n" not in data:
                    part = await stream.receive_some()
                    if not part:
                        return
                    data += part
                head, _, data = data.partition(b"\r\n\r\n")
                lines = head.decode().split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
                length = int(headers.get("content-length", "0"))
                while len(data) < length:
                    data += await stream.receive_some()
                body, data = data[:length], data[length:]
                answer = await self.answer(lines[0], headers, body)
                text = f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\n\r\n"
                await stream.send_all(text.encode() + answer)

    async def answer(self, line: str, headers: dict[str, str], body: bytes) -> bytes:
        assert (headers["x-node-id"], headers["x-node-auth"]) == ("n1", "secret")
        method, path, _ = line.split(" ")
        if method == "GET":
            self.asked.append(path)
            if len(self.asked) > 1:
                await trio.sleep_forever()
            return b'{"serials": ["F0001", "gone", "broken"]}'
        serial = path.rpartition("/")[2]
        brought = self.brought.setdefault(serial, [])
        brought.append((headers["content-type"], body))
        if sum(map(len, self.brought.values())) == 6:
            self.all_brought.set()
        return b'{"wanted": %s}' % (b"true" if len(brought) < 2 else b"false")


@pytest.fixture
async def admin(nursery: Any) -> AsyncIterator[Admin]:
    admin = Admin()
    listeners = await nursery.start(trio.serve_tcp, admin.serve, 0)
    admin.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    yield admin
    nursery.cancel_scope.cancel()


async def test_pictures_are_brought_until_nobody_looks_and_a_reason_where_there_is_none(admin: Admin) -> None:
    driver = FakeDriver(serials=["F0001"], seed=1, latency_s=0.0, journal_max=0)

    def driver_of(serial: str) -> FakeDriver:
        if serial == "broken":
            raise KeyError(serial)
        if serial != "F0001":
            raise device_offline(serial)
        return driver

    feed = ScreenFeed(admin.url, "n1", "secret", driver_of, period_s=0.01)
    with trio.fail_after(WITHIN_S):
        async with driver.run(), trio.open_nursery() as nursery:
            nursery.start_soon(feed.run)
            await admin.all_brought.wait()
            nursery.cancel_scope.cancel()
    assert [media_type for media_type, _ in admin.brought["F0001"]] == ["image/jpeg", "image/jpeg"]
    assert all(body.startswith(b"\xff\xd8\xff") for _, body in admin.brought["F0001"])
    assert [media_type.partition(";")[0] for media_type, _ in admin.brought["gone"]] == ["text/plain"] * 2
    assert b"gone" in admin.brought["gone"][0][1]
    assert (
        admin.brought["broken"][0][1] == b"Taking a picture of device broken raised KeyError: see the node's log."
    )
