"""Plays the admin for what a node brings while somebody looks: wants what it is told to, keeps what it gets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio


class LookingAdmin:
    """``is_wanted`` says after each thing that was brought of a device whether another one is wanted."""

    def __init__(self, serials: list[str], is_wanted: Callable[[str, list[tuple[str, bytes]]], bool]) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.brought: dict[str, list[tuple[str, bytes]]] = {serial: [] for serial in serials}
        """Media type and body, oldest first."""
        self.served = trio.Event()
        """Nothing is wanted any more of any device."""
        self._left = set(serials)
        self._is_wanted = is_wanted

    async def serve(self, stream: trio.SocketStream) -> None:
        try:
            async with stream:
                await self._serve(stream)
        except trio.BrokenResourceError:
            return  # the node stopped in the middle of an answer

    async def _serve(self, stream: trio.SocketStream) -> None:
        data = b""
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
            answer = json.dumps(await self._answer(lines[0], headers, body)).encode()
            text = f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\n\r\n"
            await stream.send_all(text.encode() + answer)

    async def _answer(self, line: str, headers: dict[str, str], body: bytes) -> dict[str, object]:
        assert (headers["x-node-id"], headers["x-node-auth"]) == ("n1", "secret")
        method, path, _ = line.split(" ")
        if method == "GET":
            self.asked.append(path)
            if len(self.asked) > 1:
                await trio.sleep_forever()
            return {"serials": list(self.brought)}
        serial = path.rpartition("/")[2]
        brought = self.brought[serial]
        brought.append((headers["content-type"].partition(";")[0], body))
        is_wanted = self._is_wanted(serial, brought)
        if not is_wanted:
            self._left.discard(serial)
        if not self._left:
            self.served.set()
        return {"wanted": is_wanted}


@asynccontextmanager
async def looking_admin(
    serials: list[str], is_wanted: Callable[[str, list[tuple[str, bytes]]], bool]
) -> AsyncIterator[LookingAdmin]:
    """Serve one on a free port for the time of the context."""
    admin = LookingAdmin(serials, is_wanted)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, admin.serve, 0)
        admin.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield admin
        nursery.cancel_scope.cancel()
