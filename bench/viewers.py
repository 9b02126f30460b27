"""Viewers of an admin's event stream in one process: `python -m bench.viewers HOST PORT N`, the token on stdin.

It prints `on` when all of them are there; at the next line it prints how many events the one saw that saw least.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

MARK: Final = b"\nid: "
READ_BYTES: Final = 65_536


async def view(host: str, port: int, token: str, seen: list[int], number: int, there: asyncio.Semaphore) -> None:
    """Read the stream until cancelled, counting events. Raises RuntimeError when it ends before."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(
        f"GET /api/stream HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    try:
        first = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in first[:16]:
            raise RuntimeError(f"a viewer was answered {first[:60]!r}")
        there.release()
        rest = b"\n"
        while part := await reader.read(READ_BYTES):
            rest += part
            seen[number] += rest.count(MARK)
            rest = rest[1 - len(MARK) :]
        raise RuntimeError("the stream of a viewer ended")
    finally:
        writer.close()


async def main(host: str, port: int, count: int) -> None:
    """Look until a line comes."""
    token = (await asyncio.to_thread(sys.stdin.readline)).strip()
    seen, there = [0] * count, asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as group:
        viewers = [group.create_task(view(host, port, token, seen, n, there)) for n in range(count)]
        for _ in viewers:
            await there.acquire()
        print("on", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print(min(seen), flush=True)
        for viewer in viewers:
            viewer.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
