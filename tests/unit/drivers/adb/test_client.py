"""The smart-socket client against a scripted server: framing, refusals, cuts, bounds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing

from doai.drivers.adb.client import (
    AdbClient,
    AdbCutError,
    AdbRefusedError,
    AdbUnreachableError,
    listed,
    while_sending,
)
from doai.drivers.adb.shell import run_shell
from doai.drivers.adb.sync import SyncRefusedError, pull_file, push_file
from doai.ports import free_port

Handler = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, *, sockets_max: int = 8) -> AsyncIterator[AdbClient]:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        with trio.fail_after(90):
            yield AdbClient(port, sockets_max=sockets_max)
        nursery.cancel_scope.cancel()


async def take_request(stream: trio.SocketStream) -> str:
    data = b""
    while len(data) < 4 or len(data) < 4 + int(data[:4], 16):
        more = await stream.receive_some()
        if not more:
            return ""
        data += more
    return data[4:].decode()


async def close_politely(stream: trio.SocketStream) -> None:
    """Like adb: read on to the end, so that what was sent is not lost in a reset."""
    try:
        await stream.send_eof()
        while await stream.receive_some():
            pass
    except trio.BrokenResourceError:
        return  # The client went first.


def answering(*answers: bytes) -> Handler:
    """Takes a request before each answer; then closes."""

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            for answer in answers:
                await take_request(stream)
                for byte_at in range(0, len(answer), 3):
                    await stream.send_all(answer[byte_at : byte_at + 3])
            await close_politely(stream)

    return handle


async def test_a_version_in_small_pieces() -> None:
    async with serving(answering(b"OKAY00040029")) as client:
        assert await client.version() == 41
        assert client.open_sockets == 0


async def test_a_listing() -> None:
    text = b"127.0.0.1:5601 device transport_id:7\n"
    async with serving(answering(b"OKAY%04x%b" % (len(text), text))) as client:
        assert [entry.transport_id for entry in await client.devices()] == [7]
        async with client.tracking() as connection:
            assert [entry.address for entry in await listed(connection)] == ["127.0.0.1:5601"]
            with pytest.raises(AdbCutError):
                await listed(connection)


async def test_a_refusal_keeps_the_servers_words() -> None:
    async with serving(answering(b"FAIL000edevice offline")) as client:
        with pytest.raises(AdbRefusedError, match="device offline"):
            await client.version()


@pytest.mark.parametrize("answer", [b"", b"OK", b"WHAT", b"OKAY", b"OKAY00", b"OKAYzzzz", b"OKAY0004ab"])
async def test_what_is_cut_or_no_answer(answer: bytes) -> None:
    async with serving(answering(answer)) as client:
        with pytest.raises(AdbCutError):
            await client.version()
        assert client.open_sockets == 0


async def test_nobody_there() -> None:
    with pytest.raises(AdbUnreachableError):
        await AdbClient(free_port()).version()


async def test_a_command_that_is_too_long_is_refused_before_it_is_sent() -> None:
    async with serving(answering(b"OKAY")) as client:
        with pytest.raises(AdbRefusedError, match="65535"):
            async with client.connection() as connection:
                await connection.request("x" * 70_000)


async def test_open_sockets_are_bounded_and_cancelled_waits_give_back() -> None:
    async def silent(stream: trio.SocketStream) -> None:
        async with stream:
            await trio.sleep_forever()

    async with serving(silent, sockets_max=2) as client:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(client.version)
            while client.open_sockets < 2:
                await trio.testing.wait_all_tasks_blocked()
            assert client.open_sockets == 2
            nursery.cancel_scope.cancel()
        assert client.open_sockets == 0


async def test_another_task_cuts_what_waits_and_what_has_not_begun() -> None:
    async def silent(stream: trio.SocketStream) -> None:
        async with stream:
            await trio.sleep_forever()

    async with serving(silent) as client:
        held = client.connection("host:version")
        async with trio.open_nursery() as nursery:

            async def cut() -> None:
                await trio.testing.wait_all_tasks_blocked()
                held.cut()

            nursery.start_soon(cut)
            with pytest.raises(AdbCutError):
                await held.__aenter__()
        held.cut()
        early = client.connection("host:version")
        early.cut()
        with pytest.raises(AdbCutError, match="before it began"):
            await early.__aenter__()
        assert client.open_sockets == 0
    late = AdbClient(free_port()).connection("host:version")
    late.cut()
    with pytest.raises(AdbCutError, match="before it began"):
        await late.__aenter__()


async def test_a_shell_answer_without_its_exit_code_is_a_cut() -> None:
    stdout = b"\x01\x05\x00\x00\x00hello"
    async with serving(answering(b"OKAY", b"OKAY" + stdout)) as client:
        with pytest.raises(AdbCutError) as caught:
            await run_shell(client, 1, "echo hello")
        assert caught.value.received_bytes == len(stdout)
    async with serving(answering(b"OKAY", b"OKAY" + stdout + b"\x03\x01\x00\x00\x00\x07")) as client:
        assert (await run_shell(client, 1, "x", b"input")).exit_code == 7


async def blocks() -> AsyncGenerator[bytes, None]:
    for _ in range(1000):
        yield bytes(100_000)


async def test_a_push_ends_with_the_refusal_though_not_all_was_sent() -> None:
    reason = b"No space left on device"
    refusal = b"OKAYFAIL" + len(reason).to_bytes(4, "little") + reason
    async with serving(refusing_after(refusal)) as client:
        with pytest.raises(SyncRefusedError, match="No space"):
            await push_file(client, 1, blocks(), "/sdcard/x", mode=0o644, modified_at_s=0)
        assert client.open_sockets == 0


def refusing_after(refusal: bytes) -> Handler:
    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            await take_request(stream)
            await stream.send_all(b"OKAY")
            await take_request(stream)
            await stream.send_all(refusal)
            await close_politely(stream)

    return handle


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"DATA\x05\x00\x00\x00hel", AdbCutError),
        (b"DATA\x05\x00\x00\x00hello", AdbCutError),
        (b"DATA\xff\xff\xff\xff", AdbCutError),
        (b"NOPE\x00\x00\x00\x00", AdbCutError),
        (b"FAIL\x04\x00\x00\x00gone", SyncRefusedError),
    ],
)
async def test_half_a_file_is_no_file(answer: bytes, error: type[Exception]) -> None:
    async with serving(answering(b"OKAY", b"OKAY" + answer)) as client:
        with pytest.raises(error):
            await pull_file(client, 1, "/sdcard/x")


async def test_an_error_of_what_is_sent_comes_out_as_it_is() -> None:
    async def send() -> None:
        raise FileNotFoundError("x.apk")

    with trio.fail_after(90), pytest.raises(FileNotFoundError):
        await while_sending(send, trio.sleep_forever)
