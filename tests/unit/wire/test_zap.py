"""The check of keys fails closed."""

from __future__ import annotations

import pytest
import trio
import zmq
from zmq.utils import z85

from doai.codec import Kind, pack_header
from doai.wire.base import Connection, WouldBlock
from doai.wire.dealer import open_dealer
from doai.wire.keys import KeyTable, make_keypair
from doai.wire.router import ZmqRouter, open_router
from doai.wire.sockets import bind_router, open_context
from doai.wire.zap import ZapDiedError, ZapHandler

HEADER = pack_header(Kind.HELLO)


class BrokenRing:
    """A key ring whose store has failed."""

    def name_of(self, public_key: str) -> str | None:
        raise RuntimeError("no store")


async def test_nobody_gets_in_while_there_is_no_handler() -> None:
    server, key = make_keypair(), make_keypair()
    with open_context() as context:
        router = ZmqRouter(bind_router(context, "tcp://127.0.0.1:0", server))
        async with open_dealer(router.endpoint, key, server.public) as dealer:
            with trio.fail_after(90):
                while dealer.connection() is not Connection.WRONG_SERVER:  # noqa: ASYNC110
                    await trio.sleep(0.002)
            with pytest.raises(WouldBlock):
                dealer.send_nowait(HEADER, b"")
        router.close()


async def test_a_handler_that_dies_ends_the_router_and_lets_nobody_in() -> None:
    server, key = make_keypair(), make_keypair()
    with trio.fail_after(90), pytest.RaisesGroup(pytest.RaisesExc(ZapDiedError, match="nobody is let in")):
        async with (
            open_router("tcp://127.0.0.1:0", server, BrokenRing()) as router,
            open_dealer(router.endpoint, key, server.public) as dealer,
        ):
            await dealer.send(HEADER, b"")
            await trio.sleep_forever()


@pytest.mark.parametrize(
    "change",
    [{0: b"2.0"}, {2: b""}, {2: b"other"}, {5: b"NULL"}, {5: b"PLAIN"}, {6: b"short"}, {7: b"one part too many"}],
)
async def test_only_a_curve_key_of_our_domain_is_judged(change: dict[int, bytes]) -> None:
    key = make_keypair()
    with open_context() as context:
        handler = ZapHandler(context, KeyTable({key.public: "node-1"}))
        asker = context.socket(zmq.REQ)
        asker.connect("inproc://zeromq.zap.01")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handler.run)
            request = [b"1.0", b"1", b"doai", b"127.0.0.1", b"", b"CURVE", z85.decode(key.public)]
            for parts, expected in ((request, b"200"), (_changed(request, change), b"400")):
                asker.send_multipart(parts)
                with trio.fail_after(90):
                    while not asker.poll(0):  # noqa: ASYNC110
                        await trio.sleep(0.001)
                reply = asker.recv_multipart()
                assert reply[2] == expected
                assert reply[4] == (b"node-1" if expected == b"200" else b"")
            nursery.cancel_scope.cancel()
        assert handler.refused == 1
        asker.close()


def _changed(request: list[bytes], change: dict[int, bytes]) -> list[bytes]:
    parts = [*request]
    for index, part in change.items():
        parts[index : index + 1] = [part]
    return parts
