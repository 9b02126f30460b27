"""A small client of the adb server's smart sockets, on trio sockets (step 9).

Protocol: AOSP `packages/modules/adb/SERVICES.TXT` and `OVERVIEW.TXT`: a request is four hex digits of length and
the service's name; the answer is OKAY, or FAIL with a counted text. One connection serves one request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import trio

from doai.drivers.adb.config import SOCKETS_MAX
from doai.drivers.adb.listing import ListedDevice, parse_listing

RECEIVE_BYTES: Final = 256 * 1024
"""Asked of the kernel at once: a 1 MB screenshot in a few reads."""
TEXT_BYTES_MAX: Final = 0xFFFF
"""A counted text of the server has four hex digits of length."""

_T = TypeVar("_T")


class AdbError(Exception):
    """Base of what can go wrong between this client and the server; never leaves the driver."""


class AdbUnreachableError(AdbError):
    """Nothing accepts connections at the server's port."""


class AdbRefusedError(AdbError):
    """The server answered FAIL; the text is its own."""


class AdbCutError(AdbError):
    """The connection ended, or what came is no answer; ``received_bytes`` of the answer had arrived."""

    def __init__(self, reason: str, received_bytes: int = 0) -> None:
        super().__init__(reason)
        self.received_bytes = received_bytes


class Connection:
    """One socket to the server; every wait can be cancelled, and then the socket is closed by its owner."""

    __slots__ = ("_buffer", "_socket")

    def __init__(self, socket: trio.socket.SocketType) -> None:
        self._socket = socket
        self._buffer = b""

    async def send(self, data: bytes) -> None:
        """Send all bytes; raises AdbCutError."""
        view = memoryview(data)
        try:
            while view:
                view = view[await self._socket.send(view) :]
        except OSError as error:
            raise AdbCutError(f"sending failed: {error.strerror or error}") from None

    async def receive(self) -> bytes:
        """Return what arrives next, empty at the end; raises AdbCutError when the connection is reset."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        try:
            return await self._socket.recv(RECEIVE_BYTES)
        except OSError as error:
            raise AdbCutError(f"receiving failed: {error.strerror or error}") from None

    async def receive_exactly(self, count: int) -> bytes:
        """Return exactly so many bytes; raises AdbCutError when the end comes first."""
        data = await self.receive() if count else b""
        while len(data) < count:
            more = await self.receive()
            if not more:
                raise AdbCutError("the connection ended in the middle of an answer", len(data))
            data += more
        self._buffer = data[count:]
        return data[:count]

    async def request(self, service: str) -> None:
        """Ask for a service and take its OKAY; raises AdbRefusedError with the server's own text."""
        name = service.encode()
        if len(name) > TEXT_BYTES_MAX:
            raise AdbRefusedError(f"the command has {len(name)} bytes, the adb protocol takes {TEXT_BYTES_MAX}")
        await self.send(b"%04x%b" % (len(name), name))
        status = await self.receive_exactly(4)
        if status == b"OKAY":
            return
        if status == b"FAIL":
            raise AdbRefusedError(await self.text())
        raise AdbCutError(f"the server answered {status!r} instead of OKAY or FAIL")

    async def text(self) -> str:
        """Return a text that four hex digits of length precede."""
        digits = await self.receive_exactly(4)
        try:
            length = int(digits, 16)
        except ValueError:
            raise AdbCutError(f"the server sent {digits!r} where a length belongs") from None
        return (await self.receive_exactly(length)).decode("utf-8", "replace")


async def listed(connection: Connection) -> list[ListedDevice]:
    """Wait for the next list of a tracking connection; raises AdbCutError when the server goes."""
    return parse_listing(await connection.text())


async def while_sending(send: Callable[[], Awaitable[None]], receive: Callable[[], Awaitable[_T]]) -> _T:
    """Send and receive at once; what is received decides, and sending stops with it.

    A peer may answer before it took everything (a refusal, a command that reads none of its input). That sending
    was cut is left to the receiving side to tell; raises AdbError of the receiver, OSError of what is sent.
    """
    received: list[_T] = []
    errors: list[AdbError | OSError] = []
    async with trio.open_nursery() as nursery:

        async def send_in_background() -> None:
            try:
                await send()
            except AdbCutError:
                return
            except OSError as error:
                errors.append(error)
                nursery.cancel_scope.cancel()

        nursery.start_soon(send_in_background)
        try:
            received.append(await receive())
        except AdbError as error:
            errors.append(error)
        nursery.cancel_scope.cancel()
    if received:
        return received[0]
    raise errors[0]


class AdbClient:
    """Opens connections to one adb server, a bounded number at a time; never starts a server."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", sockets_max: int = SOCKETS_MAX) -> None:
        self.host = host
        self.port = port
        self._free = trio.Semaphore(sockets_max)
        self.open_sockets = 0
        """Sockets open now, for tests and statistics."""

    @asynccontextmanager
    async def connection(self, *, counted: bool = True) -> AsyncIterator[Connection]:
        """Hold a connection to the server; raises AdbUnreachableError. The one that tracks is not counted: it
        stays open for ever."""
        if not counted:
            async with self._open() as connection:
                yield connection
            return
        async with self._free, self._open() as connection:
            yield connection

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Connection]:
        socket = trio.socket.socket()
        self.open_sockets += 1
        try:
            try:
                await socket.connect((self.host, self.port))
            except OSError as error:
                raise AdbUnreachableError(error.strerror or str(error)) from None
            yield Connection(socket)
        finally:
            self.open_sockets -= 1
            socket.close()

    @asynccontextmanager
    async def transport(self, transport_id: int, service: str) -> AsyncIterator[Connection]:
        """Hold a service of one device, e.g. ``shell,v2,raw:true`` or ``sync:``."""
        async with self.connection() as connection:
            await connection.request(f"host:transport-id:{transport_id}")
            await connection.request(service)
            yield connection

    async def version(self) -> int:
        """Return the server's protocol version, e.g. 41."""
        async with self.connection() as connection:
            await connection.request("host:version")
            return int(await connection.text(), 16)

    async def devices(self) -> list[ListedDevice]:
        """Return the devices that the server lists now."""
        async with self.connection() as connection:
            await connection.request("host:devices-l")
            return parse_listing(await connection.text())

    @asynccontextmanager
    async def tracking(self) -> AsyncIterator[Connection]:
        """Hold a connection on which `listed` gives the list now, and then again at every change."""
        async with self.connection(counted=False) as connection:
            await connection.request("host:track-devices-l")
            yield connection

    async def connect_device(self, address: str) -> str:
        """Have the server connect to ``host:port``; returns its text, which tells success and failure alike.

        Blocks for 10 s when the address accepts connections and says nothing.
        """
        async with self.connection() as connection:
            await connection.request(f"host:connect:{address}")
            return await connection.text()

    async def disconnect_device(self, address: str) -> str:
        """Have the server forget ``host:port``; raises AdbRefusedError when it does not know it."""
        async with self.connection() as connection:
            await connection.request(f"host:disconnect:{address}")
            return await connection.text()
