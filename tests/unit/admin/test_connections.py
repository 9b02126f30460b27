"""A client that takes nothing is cut; one that takes its bytes has them all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from typing import Any, cast

import uvicorn

from doai.admin.connections import Connection
from doai.admin.feed import Feed

BLOCK = b"x" * 65536
ENOUGH = 20


def test_a_client_that_takes_nothing_is_cut_and_nobody_waits_for_it() -> None:
    ended: dict[bytes, int] = {}
    both = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        name, count = scope["query_string"], 0

        async def blocks() -> AsyncGenerator[bytes, None]:
            while name == b"idle" or count < ENOUGH:
                yield BLOCK

        feed = Feed(cast(Any, None), taken_max_s=0.2 if name == b"idle" else 60)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async for block in feed.sent(blocks(), lambda: (was_cut.add(name), scope["doai.cut"]())[1]):
            await send({"type": "http.response.body", "body": block, "more_body": True})
            count += 1
            if name in was_cut:
                break
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        ended[name] = count
        if len(ended) == 2:
            both.set()

    was_cut: set[bytes] = set()

    async def main() -> None:
        config = uvicorn.Config(app, http=Connection, lifespan="off", log_config=None, access_log=False, ws="none")
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as idle:
            serving = asyncio.create_task(server._serve([listener]))
            idle.connect(listener.getsockname())
            idle.sendall(b"GET /?idle HTTP/1.1\r\nHost: x\r\n\r\n")
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"GET /?busy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            got = await reader.read(-1)
            writer.close()
            await writer.wait_closed()
            await both.wait()
            server.should_exit = True
            await serving
            assert got.count(b"x") >= ENOUGH * len(BLOCK)

    async def bounded() -> None:
        async with asyncio.timeout(90):
            await main()

    asyncio.run(bounded())
    assert was_cut == {b"idle"}
    assert ended[b"busy"] == ENOUGH
