"""The admin's connection, on asyncio, against a broker's router on trio: each loop in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
import trio

from doai.admin.mesh import BrokerUnavailable, FencedError, Mesh
from doai.codec import Kind, decode, encode, pack_header, raw, unpack_header
from doai.envelope import Envelope
from doai.errors import ConfigError, UserError
from doai.messages.commands import Reply
from doai.messages.link import Fenced, Hello, HostSample, Role, Welcome
from doai.wire.base import Incoming, PeerGone
from doai.wire.keys import KeyPair, KeyTable, make_keypair
from doai.wire.router import ZmqRouter, open_router

SERVER, KEY = make_keypair(), make_keypair()
WELCOME = Welcome(store_id="s", last_seq=0, capacity=0, heartbeat_s=0.05, handle=1)
Answer = Callable[[int, Kind, bytes], list[tuple[Kind, bytes]]]
"""Number of the connection, kind and body of a frame -> what the broker says."""


def polite(_: int, kind: Kind, body: bytes) -> list[tuple[Kind, bytes]]:
    """A broker that welcomes and executes everything."""
    if kind is Kind.HELLO:
        hello = decode(body, Hello)
        assert (hello.name, hello.role, hello.incarnation) == ("admin", Role.ADMIN, "")
        return [(Kind.WELCOME, encode(WELCOME))]
    if kind is Kind.COMMAND:
        return [(Kind.REPLY, encode(Reply(command_id=decode(body, Envelope).event_id, position=7)))]
    return [(Kind.BEAT, b"")] if kind is Kind.HEARTBEAT else []


async def answer(router: ZmqRouter, how: Answer) -> None:
    connections: dict[int, int] = {}
    while True:
        for incoming in await router.receive():
            assert isinstance(incoming, Incoming)
            number = connections.setdefault(incoming.link, len(connections) + 1)
            with suppress(PeerGone):  # an admin that has ended meanwhile wants no answer
                for kind, body in how(number, Kind(unpack_header(incoming.header).kind), incoming.body):
                    router.send_nowait(incoming.link, pack_header(kind), body)


def mesh_to(endpoint: str, load_keys: Callable[[], tuple[KeyPair, str]] = lambda: (KEY, SERVER.public)) -> Mesh:
    def sample() -> HostSample:
        return HostSample(host="h", pid=1, version="1", started_at_ms=0)

    return Mesh(endpoint, load_keys, instance="i", sample=sample, random01=lambda: 0.0)


def a_command(name: str = "c1") -> Envelope:
    return Envelope(
        event_id=name,
        type="run.cancel",
        subject="run/x",
        source="admin/i",
        trace_id="0" * 32,
        occurred_at_ms=0,
        payload=raw({"runId": "x"}),
        idempotency_key=f"key-of-{name}",
    )


async def with_broker(how: Answer, scenario: Callable[[Mesh], Awaitable[None]]) -> None:
    async def run(endpoint: str) -> None:
        mesh = mesh_to(endpoint)
        running = asyncio.create_task(mesh.run())
        try:
            async with asyncio.timeout(90):
                await scenario(mesh)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError, FencedError):
                await running

    async with (
        open_router("tcp://127.0.0.1:0", SERVER, KeyTable({KEY.public: "admin"})) as router,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(answer, router, how)
        await trio.to_thread.run_sync(asyncio.run, run(router.endpoint))
        nursery.cancel_scope.cancel()


async def test_commands_are_answered_each_with_its_own_reply() -> None:
    async def scenario(mesh: Mesh) -> None:
        replies = await asyncio.gather(*(mesh.command(a_command(f"c{n}")) for n in range(50)))
        assert [reply.command_id for reply in replies] == [f"c{n}" for n in range(50)]
        assert {reply.position for reply in replies} == {7}
        assert mesh.why_not_live == ""

    await with_broker(polite, scenario)


async def test_a_command_that_a_broker_forgot_is_sent_again_to_the_next() -> None:
    seen: list[tuple[int, str | None]] = []

    def forgetful(number: int, kind: Kind, body: bytes) -> list[tuple[Kind, bytes]]:
        if kind is Kind.COMMAND:
            seen.append((number, decode(body, Envelope).idempotency_key))
            if number == 1:  # as a broker says that was started again
                return [(Kind.HELLO_REQUIRED, b"")]
        return polite(number, kind, body)

    async def scenario(mesh: Mesh) -> None:
        await mesh.wait_live()
        assert (await mesh.command(a_command())).position == 7
        assert seen == [(1, "key-of-c1"), (2, "key-of-c1")]

    await with_broker(forgetful, scenario)


async def test_heartbeats_keep_it_alive() -> None:
    beats = 0
    enough = trio.Event()

    def counting(number: int, kind: Kind, body: bytes) -> list[tuple[Kind, bytes]]:
        nonlocal beats
        beats += kind is Kind.HEARTBEAT
        if beats == 3:
            enough.set()
        assert number == 1, "it stays on its connection"
        return polite(number, kind, body)

    async def scenario(mesh: Mesh) -> None:
        while beats < 3:
            await mesh.command(a_command())

    await with_broker(counting, scenario)


async def test_no_reply_is_an_unknown_outcome_and_names_the_key() -> None:
    def silent(number: int, kind: Kind, body: bytes) -> list[tuple[Kind, bytes]]:
        return [] if kind is Kind.COMMAND else polite(number, kind, body)

    async def scenario(mesh: Mesh) -> None:
        await mesh.wait_live()
        with pytest.raises(BrokerUnavailable, match=r"not known whether .* Idempotency-Key key-of-c1"):
            await mesh.command(a_command(), timeout_s=0.1)
        assert not mesh._pending

    await with_broker(silent, scenario)


async def test_what_was_never_sent_changed_nothing() -> None:
    async def scenario(mesh: Mesh) -> None:
        with pytest.raises(BrokerUnavailable, match="nothing was changed"):
            await mesh.command(a_command(), timeout_s=0.1)

    await with_broker(lambda *_: [], scenario)


@pytest.mark.parametrize(
    ("answer_is", "says"),
    [
        ((Kind.FENCED, Fenced(reason="the key of admin was revoked")), "the key of admin was revoked"),
        ((Kind.WELCOME, msgspec.structs.replace(WELCOME, wire_version=9)), "upgrade the broker first"),
    ],
    ids=["it is refused", "it refuses"],
)
async def test_an_admin_that_can_not_go_on_says_why_and_ends(answer_is: tuple[Kind, Any], says: str) -> None:
    def fencing(_: int, kind: Kind, body: bytes) -> list[tuple[Kind, bytes]]:
        return [(answer_is[0], encode(answer_is[1]))]

    async def scenario(mesh: Mesh) -> None:
        with pytest.raises(FencedError, match=says):
            await mesh.run()

    async def run(endpoint: str) -> None:
        async with asyncio.timeout(90):
            await scenario(mesh_to(endpoint))

    async with (
        open_router("tcp://127.0.0.1:0", SERVER, KeyTable({KEY.public: "admin"})) as router,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(answer, router, fencing)
        await trio.to_thread.run_sync(asyncio.run, run(router.endpoint))
        nursery.cancel_scope.cancel()


async def test_frames_that_can_not_be_read_do_no_harm() -> None:
    def garbling(number: int, kind: Kind, body: bytes) -> list[tuple[Kind, bytes]]:
        extra = [(Kind.REPLY, b"\xc1"), (Kind.REPLY, encode(Reply(command_id="of nobody")))]
        return [*polite(number, kind, body), *(extra if kind is Kind.HELLO else [])]

    async def scenario(mesh: Mesh) -> None:
        assert (await mesh.command(a_command())).position == 7

    await with_broker(garbling, scenario)


def test_a_command_that_is_too_large_is_refused_before_it_is_sent() -> None:
    async def scenario() -> None:
        large = msgspec.structs.replace(a_command(), payload=raw("x" * 300_000))
        with pytest.raises(UserError, match="256 KiB"):
            await mesh_to("tcp://127.0.0.1:1").command(large)

    asyncio.run(scenario())


def test_keys_that_are_not_there_yet_are_waited_for() -> None:
    async def scenario() -> None:
        tried = asyncio.Event()
        times = 0

        def missing() -> tuple[KeyPair, str]:
            nonlocal times
            times += 1
            if times == 3:
                tried.set()
            raise ConfigError("there is no broker.key.pub yet: start the broker")

        mesh = mesh_to("tcp://127.0.0.1:1", missing)
        running = asyncio.create_task(mesh.run())
        async with asyncio.timeout(90):
            await tried.wait()
        assert "start the broker" in mesh.why_not_live
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(scenario())
