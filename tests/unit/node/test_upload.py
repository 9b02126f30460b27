"""The uploader against a real HTTP server on a loopback port that can refuse, fail and die."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import h11
import httpx
import pytest
import trio
import trio.testing

from doai.backoff import Backoff
from doai.errors import ConfigError
from doai.ids import Token
from doai.node.artifacts import ArtifactOwner
from doai.node.spool import Spool, SpoolEntry
from doai.node.upload import UPLOADS_AT_ONCE, Uploader, _retry_after_s
from doai.ports import free_port

SECRET = "s3cret-of-node-1"
PICTURE = b"\x89PNG" + bytes(range(256)) * 1024
QUICK = Backoff(first_s=0.01, longest_s=0.02)

Answer = tuple[int, bytes, list[tuple[str, str]]]


class Put:
    """A whole request as the server read it."""

    def __init__(self, request: h11.Request, body: bytes) -> None:
        self.path = unquote(request.target.decode())
        self.headers = {name.decode().lower(): value.decode() for name, value in request.headers}
        self.body = body


class AdminServer:
    """A tiny admin: ``answers`` are used up one a request, then it stores (201) or says it has it (200)."""

    def __init__(self) -> None:
        self.answers: list[Answer | str] = []
        """An answer, or ``cut`` (dies in the middle of the body) or ``early`` (409 before it has read the body)."""
        self.answer_for: Callable[[Put], Answer | None] = lambda put: None
        self.puts: list[Put] = []
        self.files: dict[str, bytes] = {}
        self.connections = 0
        self.connections_most = 0
        self.hold: trio.Event | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), self._connection, self.port)
            self.port = listeners[0].socket.getsockname()[1]
            yield
            nursery.cancel_scope.cancel()

    async def _connection(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        self.connections_most = max(self.connections_most, self.connections)
        try:
            connection = h11.Connection(h11.SERVER)
            while await self._request(stream, connection):
                connection.start_next_cycle()
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            pass
        finally:
            self.connections -= 1
            await trio.aclose_forcefully(stream)

    async def _event(self, stream: trio.SocketStream, connection: h11.Connection) -> Any:
        while (event := connection.next_event()) is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(16384))
        return event

    async def _request(self, stream: trio.SocketStream, connection: h11.Connection) -> bool:
        request = await self._event(stream, connection)
        if not isinstance(request, h11.Request):
            return False
        answer = self.answers.pop(0) if self.answers else None
        if answer == "early":
            await self._send(stream, connection, (409, b"", [("Connection", "close")]))
            return False
        body = b""
        while not isinstance(event := await self._event(stream, connection), h11.EndOfMessage):
            body += event.data
            if answer == "cut" and len(body) > 20_000:
                return False
        put = Put(request, body)
        self.puts.append(put)
        if self.hold is not None:
            await self.hold.wait()
        assert not isinstance(answer, str)
        await self._send(stream, connection, answer or self.answer_for(put) or self._store(put))
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    def _store(self, put: Put) -> Answer:
        if hashlib.sha256(put.body).hexdigest() != put.headers["x-content-sha256"]:
            return 400, b'{"detail": "the bytes do not have the hash"}', []
        known = self.files.get(put.path)
        if known is None:
            self.files[put.path] = put.body
            return 201, b"", []
        return (200, b"", []) if known == put.body else (409, b'{"detail": "other bytes"}', [])

    async def _send(self, stream: trio.SocketStream, connection: h11.Connection, answer: Answer) -> None:
        status, body, headers = answer
        response = h11.Response(
            status_code=status, headers=[*headers, ("Content-Length", str(len(body)))], reason=b"R"
        )
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            await stream.send_all(connection.send(event) or b"")


class Node:
    """A spool, an uploader and what it told."""

    def __init__(self, data_dir: Path, url: str, **fields: Any) -> None:
        self.spool = Spool(data_dir, "node-1")
        self.stored: list[SpoolEntry] = []
        self.refused: list[SpoolEntry] = []
        self.told = trio.Event()
        self.uploader = Uploader(
            self.spool,
            url,
            SECRET,
            "node-1",
            on_stored=self._stored,
            on_refused=self._refused,
            backoff=QUICK,
            **fields,
        )

    async def _stored(self, entry: SpoolEntry) -> None:
        self.stored.append(entry)
        self._tell()

    async def _refused(self, entry: SpoolEntry) -> None:
        self.refused.append(entry)
        self._tell()

    def _tell(self) -> None:
        self.told.set()
        self.told = trio.Event()

    async def add(self, data: bytes = PICTURE, *, step_id: str = "shot") -> str:
        owner = ArtifactOwner(
            content_id="video-1",
            run_id="01JD0000000000000000000000",
            task_id="01JD0000000000000000000001",
            token=Token(1, 7),
            device_serial="127.0.0.1:5601",
            step_id=step_id,
        )
        ref = await self.spool.keep(owner, data, extension="png", media_type="image/png", utc_ms=0)
        await self.spool.spool(owner.task_id, owner.token, ref.name)
        return ref.path

    async def until_true(self, condition: Callable[[], bool]) -> None:
        while not condition():
            with trio.move_on_after(0.01):
                await self.told.wait()

    async def until(self, *, stored: int = 0, refused: int = 0) -> None:
        """Upload until so many entries have ended; then stop."""
        with trio.fail_after(90):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.uploader.run)
                await self.until_true(
                    lambda: (
                        len(self.stored) >= stored
                        and len(self.refused) >= refused
                        and self.ended >= stored + refused
                    )
                )
                nursery.cancel_scope.cancel()

    @property
    def ended(self) -> int:
        statistics = self.uploader.statistics()
        return statistics.stored + statistics.refused


@pytest.fixture
async def admin() -> AsyncIterator[AdminServer]:
    server = AdminServer()
    async with server.serve():
        yield server


def files_of(folder: Path) -> list[str]:
    return sorted(file.name for file in (folder / "spool").rglob("*") if file.is_file())


async def test_an_artifact_is_stored_with_everything_that_is_known_of_it(
    tmp_path: Path, admin: AdminServer
) -> None:
    node = Node(tmp_path, admin.url + "/")
    path = await node.add()
    await node.until(stored=1)
    (put,) = admin.puts
    assert put.path == f"/api/v1/artifacts/{path}"
    assert put.body == PICTURE
    wanted = {
        "x-node-auth": SECRET,
        "x-node-id": "node-1",
        "x-content-sha256": hashlib.sha256(PICTURE).hexdigest(),
        "content-type": "image/png",
        "content-length": str(len(PICTURE)),
        "x-task-id": "01JD0000000000000000000001",
        "x-run-id": "01JD0000000000000000000000",
        "x-step-id": "shot",
        "x-device-serial": "127.0.0.1:5601",
    }
    assert wanted.items() <= put.headers.items()
    assert "transfer-encoding" not in put.headers
    assert [entry.path for entry in node.stored] == [path]
    assert files_of(tmp_path) == []
    assert node.uploader.statistics().stored == 1


async def test_what_is_there_already_with_the_same_bytes_is_stored(tmp_path: Path, admin: AdminServer) -> None:
    node = Node(tmp_path, admin.url)
    path = await node.add()
    admin.files[f"/api/v1/artifacts/{path}"] = PICTURE
    await node.until(stored=1)
    assert files_of(tmp_path) == []


@pytest.mark.parametrize("status", [400, 403, 409, 413, 422])
async def test_a_refusal_is_kept_with_its_reason_and_others_go_on(
    tmp_path: Path, admin: AdminServer, status: int
) -> None:
    node = Node(tmp_path, admin.url)
    bad = await node.add(b"bad", step_id="bad")
    good = await node.add(step_id="good")
    refusal: Answer = (status, b'{"title": "no", "detail": "because of\\nthis"}', [])
    admin.answer_for = lambda put: refusal if put.path.endswith(bad) else None
    await node.until(stored=1, refused=1)
    assert [entry.path for entry in node.stored] == [good]
    (entry,) = node.refused
    assert entry.refusal is not None
    assert (entry.refusal.status, entry.refusal.reason) == (status, "because of this")
    assert len(admin.puts) == 2, "a refusal is not tried again"
    assert files_of(tmp_path) == [f"{entry.entry_id}.data", f"{entry.entry_id}.json"]
    assert (tmp_path / "spool/refused" / f"{entry.entry_id}.data").read_bytes() == b"bad"


async def test_a_refusal_before_the_body_was_read_is_heard(tmp_path: Path, admin: AdminServer) -> None:
    node = Node(tmp_path, admin.url)
    admin.answers = ["early"]
    await node.add(b"x" * 100)
    await node.until(refused=1)
    assert node.refused[0].refusal is not None
    assert node.refused[0].refusal.status == 409


@pytest.mark.parametrize("status", [301, 401, 404, 408, 429, 500, 502, 503, 507])
async def test_any_other_answer_is_tried_again_until_it_is_stored(
    tmp_path: Path, admin: AdminServer, status: int
) -> None:
    node = Node(tmp_path, admin.url)
    admin.answers = [(status, b"later", []), (status, b"later", [])]
    await node.add()
    await node.until(stored=1)
    assert len(admin.puts) == 3
    assert node.uploader.statistics().tries_failed == 2
    assert files_of(tmp_path) == []


async def test_a_server_that_dies_in_the_middle_of_the_body_gets_it_whole_later(
    tmp_path: Path, admin: AdminServer
) -> None:
    node = Node(tmp_path, admin.url)
    admin.answers = ["cut", "cut"]
    path = await node.add()
    await node.until(stored=1)
    assert admin.files == {f"/api/v1/artifacts/{path}": PICTURE}


async def test_one_entry_that_fails_does_not_hold_up_the_others(tmp_path: Path, admin: AdminServer) -> None:
    node = Node(tmp_path, admin.url)
    bad = await node.add(b"bad", step_id="bad")
    broken: Answer = (500, b"broken", [])
    admin.answer_for = lambda put: broken if put.path.endswith(bad) else None
    for number in range(3 * UPLOADS_AT_ONCE):
        await node.add(step_id=f"good{number}")
    await node.until(stored=3 * UPLOADS_AT_ONCE)
    assert node.spool.statistics().waiting == 1
    admin.answer_for = lambda put: None
    await node.until(stored=3 * UPLOADS_AT_ONCE + 1)


async def test_an_admin_that_is_away_is_said_once_and_used_when_it_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    admin = AdminServer()
    admin.port = free_port()
    caplog.set_level(logging.INFO, logger="doai")
    node = Node(tmp_path, admin.url)
    for number in range(6):
        await node.add(step_id=f"shot{number}")
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.uploader.run)
            await node.until_true(lambda: node.uploader.statistics().tries_failed >= 10)
            assert not node.uploader.statistics().reachable
            async with admin.serve():
                await node.until_true(lambda: node.uploader.statistics().stored >= 6)
                nursery.cancel_scope.cancel()
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 2, warnings
    assert "does not answer" in warnings[0]
    assert "answers again" in warnings[1]
    assert files_of(tmp_path) == []


async def test_uploads_at_once_are_bounded(tmp_path: Path, admin: AdminServer) -> None:
    node = Node(tmp_path, admin.url)
    admin.hold = trio.Event()
    for number in range(3 * UPLOADS_AT_ONCE):
        await node.add(step_id=f"shot{number}")
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(node.until, stored=3 * UPLOADS_AT_ONCE))
            await node.until_true(lambda: len(admin.puts) >= UPLOADS_AT_ONCE)
            admin.hold.set()
    assert admin.connections_most == UPLOADS_AT_ONCE


async def test_cancelled_in_the_middle_it_goes_on_when_run_again(tmp_path: Path, admin: AdminServer) -> None:
    node = Node(tmp_path, admin.url)
    admin.hold = trio.Event()
    await node.add()
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.uploader.run)
            await node.until_true(lambda: bool(admin.puts))
            nursery.cancel_scope.cancel()
    assert node.spool.statistics().waiting == 1
    admin.hold = None
    await node.until(stored=1)
    assert files_of(tmp_path) == []


async def test_a_new_process_uploads_what_the_last_one_spooled(tmp_path: Path, admin: AdminServer) -> None:
    path = await Node(tmp_path, admin.url).add()
    after = Node(tmp_path, admin.url)
    await after.until(stored=1)
    assert [entry.path for entry in after.stored] == [path]


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"short")])
async def test_a_damaged_file_is_reported_and_not_tried_for_ever(
    tmp_path: Path, admin: AdminServer, damage: Callable[[Path], object]
) -> None:
    node = Node(tmp_path, admin.url)
    await node.add()
    entry = await node.spool.take()
    node.spool.give_back(entry)
    damage(node.spool.file_of(entry))
    await node.until(refused=1)
    assert node.refused[0].refusal is not None
    assert "the spooled file" in node.refused[0].refusal.reason
    assert admin.puts == []


async def test_a_file_that_can_not_be_read_now_is_tried_again(tmp_path: Path, admin: AdminServer) -> None:
    node = Node(tmp_path, admin.url)
    await node.add()
    entry = await node.spool.take()
    node.spool.give_back(entry)
    file, aside = node.spool.file_of(entry), tmp_path / "aside"
    file.replace(aside)
    loop = file.with_name("loop")
    loop.symlink_to(file)
    loop.replace(file)  # opening it is an OSError other than "not found"
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.uploader.run)
            await node.until_true(lambda: node.uploader.statistics().tries_failed >= 2)
            assert node.uploader.statistics().reachable
            aside.replace(file)
            await node.until_true(lambda: node.uploader.statistics().stored >= 1)
            nursery.cancel_scope.cancel()


async def test_a_crash_before_the_entry_is_removed_tells_again_rather_than_never(
    tmp_path: Path, admin: AdminServer
) -> None:
    node = Node(tmp_path, admin.url)
    path = await node.add()

    class CrashError(Exception):
        pass

    async def crash(entry: SpoolEntry) -> None:
        raise CrashError

    uploader = Uploader(node.spool, admin.url, SECRET, "node-1", on_stored=crash)
    with pytest.RaisesGroup(CrashError, flatten_subgroups=True):
        await uploader.run()
    after = Node(tmp_path, admin.url)
    await after.until(stored=1)
    assert [entry.path for entry in after.stored] == [path]
    assert len(admin.puts) == 2


async def test_the_secret_is_in_no_log_line(
    tmp_path: Path, admin: AdminServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    node = Node(tmp_path, admin.url)
    admin.answers = [(503, b"later", []), "cut", (500, b"broken", []), (403, b"no", [])]
    await node.add()
    await node.until(refused=1)
    assert caplog.records
    for record in caplog.records:
        assert SECRET not in record.getMessage() + repr(record.args) + repr(record.__dict__)


@pytest.mark.parametrize("url", ["", "admin:8080", "ftp://x", "http://", "http://user:pw@host/", "http://h/?a=b"])
def test_an_address_that_can_not_be_used_is_said_at_once(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="http"):
        Uploader(Spool(tmp_path, "node-1"), url, SECRET, "node-1")


@pytest.mark.parametrize("secret", ["", "a\nb", "비밀"])
def test_a_secret_that_is_no_header_is_refused_without_showing_it(tmp_path: Path, secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Uploader(Spool(tmp_path, "node-1"), "http://h", secret, "node-1")
    assert not secret or secret not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0.0),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "999999"}, 600.0),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "soon"}, 0.0),
        ({"Retry-After": "Sat, 21 Nov 2026 08:00:30 GMT", "Date": "Sat, 21 Nov 2026 08:00:00 GMT"}, 30.0),
        ({"Retry-After": "Sat, 21 Nov 2026 07:00:00 GMT", "Date": "Sat, 21 Nov 2026 08:00:00 GMT"}, 0.0),
        ({"Retry-After": "Sat, 21 Nov 2026 07:00:00 GMT"}, 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], seconds: float) -> None:
    assert _retry_after_s(httpx.Headers(headers)) == seconds


async def test_retry_after_holds_the_next_try_back(tmp_path: Path, admin: AdminServer) -> None:
    node = Node(tmp_path, admin.url)
    admin.answers = [(503, b"", [("Retry-After", "1")])]
    await node.add()
    began = trio.current_time()
    await node.until(stored=1)
    assert trio.current_time() - began >= 1.0
