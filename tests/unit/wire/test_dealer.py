"""The dealer against a server that sends what is no frame, and against keys and endpoints that can be none."""

from __future__ import annotations

import pytest
import trio
import zmq

from doai.codec import Kind, pack_header
from doai.wire.base import EndpointError
from doai.wire.dealer import open_dealer
from doai.wire.keys import KeyTable, make_keypair
from doai.wire.router import open_router

HEADER = pack_header(Kind.ACK)


async def test_what_is_no_frame_is_kept_apart_and_nothing_gets_out_of_step() -> None:
    server, key = make_keypair(), make_keypair()
    async with (
        open_router("tcp://127.0.0.1:0", server, KeyTable({key.public: "node-1"})) as router,
        open_dealer(router.endpoint, key, server.public) as dealer,
    ):
        with trio.fail_after(90):
            await dealer.send(HEADER, b"")
            [hello] = await router.receive()
            routing_id = router._links.get(hello.link).routing_id
            wrong = ([HEADER], [HEADER, b"", b""], [b"short", b""], [b""])
            for parts in wrong:
                router._socket.send_multipart([routing_id, *parts])
                router.send_nowait(hello.link, HEADER, b"good")
            received: list[tuple[bytes, bytes]] = []
            while len(received) < len(wrong):
                received += await dealer.receive()
        assert received == [(HEADER, b"good")] * len(wrong)
        assert [malformed.data for malformed in dealer.take_malformed()] == [HEADER, HEADER, b"short", b""]
        assert dealer.take_malformed() == []
        assert dealer.statistics().malformed == len(wrong)


@pytest.mark.parametrize("endpoint", ["nonsense", "tcp://host", "tcp://127.0.0.1:99999"])
async def test_an_endpoint_that_cannot_be_is_one_sentence(endpoint: str) -> None:
    with pytest.raises(EndpointError, match="tcp://HOST:PORT"):
        async with open_dealer(endpoint, make_keypair(), make_keypair().public):
            pass


async def test_a_server_key_that_cannot_be_is_one_sentence() -> None:
    with pytest.raises(EndpointError, match="no server key"):
        async with open_dealer("tcp://127.0.0.1:1", make_keypair(), "not a key"):
            pass


async def test_who_waits_while_the_socket_closes_is_told() -> None:
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:

            async def receive(dealer: object) -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await dealer.receive()  # type: ignore[attr-defined]

            async with open_dealer("tcp://127.0.0.1:1", make_keypair(), make_keypair().public) as dealer:
                nursery.start_soon(receive, dealer)
                await trio.testing.wait_all_tasks_blocked()


def test_the_library_is_the_one_that_was_measured() -> None:
    assert zmq.zmq_version_info() >= (4, 3, 5)
    assert zmq.has("curve")
