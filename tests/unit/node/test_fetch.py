"""Fetching a stored file from an admin that breaks off, lies and comes back."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import h11
import pytest
import trio

from doai.backoff import Backoff
from doai.errors import ErrorClass, StepError
from doai.messages.work import FilePin
from doai.node.fetch import TRIES, Fetcher

DATA = bytes(range(256)) * 4096
PIN = FilePin(reference="my-app", version="1", sha256=hashlib.sha256(DATA).hexdigest(), size_bytes=len(DATA))


class Admin:
    """Serves DATA; each request may be answered otherwise by what is next in ``plan``."""

    def __init__(self) -> None:
        self.plan: list[Any] = []
        """A status; bytes to send in place of the data; or ``cut`` (ends amid the data)."""
        self.asked: list[dict[str, str]] = []
        self.ranges = True
        self.url = ""

    async def serve(self, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, self._connection, 0, host="127.0.0.1"))
            self.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            task_status.started()

    async def _connection(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        async with stream:
            try:
                while await self._request(stream, connection):
                    connection.start_next_cycle()
            except trio.BrokenResourceError:
                return

    async def _request(self, stream: trio.SocketStream, connection: h11.Connection) -> bool:
        while (event := connection.next_event()) is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(16384))
        if not isinstance(event, h11.Request):
            return False
        while not isinstance(connection.next_event(), h11.EndOfMessage):
            continue
        asked = {name.decode().lower(): value.decode() for name, value in event.headers}
        self.asked.append(asked | {"path": event.target.decode()})
        plan = self.plan.pop(0) if self.plan else DATA
        if isinstance(plan, int):
            await self._send(stream, connection, plan, b'{"detail": "not now"}', {})
            return True
        start, extra, status = 0, {}, 200
        if self.ranges and "range" in asked:
            start, status = int(asked["range"].removeprefix("bytes=").removesuffix("-")), 206
            extra["Content-Range"] = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
        if plan == "cut":
            rest = DATA[start:]
            await self._head(stream, connection, status, len(rest), extra)
            await stream.send_all(connection.send(h11.Data(data=rest[: len(rest) // 2])) or b"")
            return False
        await self._send(stream, connection, status, plan[start:], extra)
        return True

    async def _head(
        self, stream: trio.SocketStream, connection: h11.Connection, status: int, size: int, extra: dict[str, str]
    ) -> None:
        headers = [("Content-Length", str(size)), *extra.items()]
        await stream.send_all(connection.send(h11.Response(status_code=status, headers=headers)) or b"")

    async def _send(
        self, stream: trio.SocketStream, connection: h11.Connection, status: int, body: bytes, extra: dict[str, str]
    ) -> None:
        await self._head(stream, connection, status, len(body), extra)
        await stream.send_all(connection.send(h11.Data(data=body)) or b"")
        await stream.send_all(connection.send(h11.EndOfMessage()) or b"")


@pytest.fixture
async def admin(nursery: trio.Nursery) -> AsyncIterator[Admin]:
    found = Admin()
    await nursery.start(found.serve)
    yield found
    nursery.cancel_scope.cancel()


async def fetch(admin: Admin, path: Path, pin: FilePin = PIN) -> bytes:
    fetcher = Fetcher(admin.url, "s3cret", "node-1", backoff=Backoff(first_s=0.001, longest_s=0.002))
    with trio.fail_after(90):
        await fetcher.fetch(pin, path)
    return await trio.Path(path).read_bytes()


async def refused(admin: Admin, path: Path, code: str) -> str:
    with pytest.raises(StepError) as caught:
        await fetch(admin, path)
    assert (caught.value.code, caught.value.failure.error_class) == (code, ErrorClass.INFRASTRUCTURE)
    assert "s3cret" not in str(caught.value)
    return str(caught.value)


async def test_a_file_is_fetched_with_the_secret_of_the_node(admin: Admin, tmp_path: Path) -> None:
    assert await fetch(admin, tmp_path / "file") == DATA
    (asked,) = admin.asked
    assert asked["path"] == f"/api/v1/contents/{PIN.sha256}"
    assert (asked["x-node-id"], asked["x-node-auth"]) == ("node-1", "s3cret")


async def test_a_broken_transfer_goes_on_where_it_stopped(admin: Admin, tmp_path: Path) -> None:
    admin.plan = ["cut", 503, "cut"]
    assert await fetch(admin, tmp_path / "file") == DATA
    starts = [int(asked.get("range", "bytes=0-")[6:-1]) for asked in admin.asked]
    assert starts[0] == 0 < starts[1] == starts[2] < starts[3]


async def test_an_admin_without_ranges_sends_all_of_it_again(admin: Admin, tmp_path: Path) -> None:
    admin.ranges = False
    admin.plan = ["cut"]
    assert await fetch(admin, tmp_path / "file") == DATA


async def test_other_bytes_are_thrown_away_and_fetched_once_more(admin: Admin, tmp_path: Path) -> None:
    admin.plan = [b"x" * len(DATA)]
    assert await fetch(admin, tmp_path / "file") == DATA
    assert "range" not in admin.asked[1]
    admin.plan = [b"x" * len(DATA), b"y" * len(DATA)]
    assert "arrived 2 times with other bytes" in await refused(admin, tmp_path / "file", "file_damaged")


async def test_more_bytes_than_the_file_has_are_not_taken(admin: Admin, tmp_path: Path) -> None:
    admin.plan = [DATA + b"more"]
    assert await fetch(admin, tmp_path / "file") == DATA


async def test_an_admin_that_stays_away_is_said(admin: Admin, tmp_path: Path) -> None:
    admin.plan = [503] * TRIES
    assert "HTTP 503, not now; look whether the admin runs" in await refused(
        admin, tmp_path / "file", "file_unavailable"
    )
    assert len(admin.asked) == TRIES


async def test_a_refusal_is_not_tried_again(admin: Admin, tmp_path: Path) -> None:
    admin.plan = [404]
    assert "HTTP 404, not now" in await refused(admin, tmp_path / "file", "file_refused")
    assert len(admin.asked) == 1


async def test_nobody_listens(admin: Admin, tmp_path: Path) -> None:
    admin.url = "http://127.0.0.1:1"
    assert "ConnectError" in await refused(admin, tmp_path / "file", "file_unavailable")


async def test_an_empty_file_is_a_file(admin: Admin, tmp_path: Path) -> None:
    admin.plan = [b""]
    empty = FilePin(reference="none", version="1", sha256=hashlib.sha256(b"").hexdigest(), size_bytes=0)
    assert await fetch(admin, tmp_path / "file", empty) == b""
