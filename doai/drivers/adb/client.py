"""A small client of the adb server's smart sockets, on trio sockets (step 9).

Protocol: AOSP `packages/modules/adb/SERVICES.TXT` and `OVERVIEW.TXT`: a request is four hex digits of length and
the service's name; the answer is OKAY, or FAIL with a counted text. One connection serves one request.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, TypeVar

import trio

from doai.drivers.adb.config import SOCKETS_MAX
from doai.drivers.adb.listing import ListedDevice, parse_listing

RECEIVE_BYTES: Final = 256 * 1024
"""Asked of the kernel at once: a 1 MB screenshot in a few reads."""
SENT_AT_ONCE_BYTES: Final = 16 * 1024
"""Up to this the socket takes all at once, and other tasks need not wait; before more of it they have a turn."""
TEXT_BYTES_MAX: Final = 0xFFFF
"""A counted text of the server has four hex digits of length."""
_ESTABLISHED: Final = b"\x01"
"""First byte of Linux's tcp_info, the state: TCP_ESTABLISHED of tcp(7)."""

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
    """One socket to the server; every wait can be cancelled, and then the socket is closed by its owner.

    Over a plain socket: a phone's step is a handful of requests of three messages each, and a socket of trio looks
    around in the event loop at each of them, also where nothing is to be waited for.
    """

    __slots__ = ("_buffer", "_socket")

    def __init__(self, plain: socket.socket) -> None:
        """``plain`` does not block."""
        self._socket = plain
        self._buffer = b""

    async def send(self, data: bytes) -> None:
        """Send all bytes, where there is room without a checkpoint; raises AdbCutError."""
        if len(data) > SENT_AT_ONCE_BYTES:
            await trio.lowlevel.checkpoint()
        try:
            sent = self._send_now(data)
            while sent < len(data):
                await trio.lowlevel.wait_writable(self._socket)
                sent += self._send_now(memoryview(data)[sent:])
        except OSError as error:
            raise AdbCutError(f"sending failed: {error.strerror or error}") from None

    def _send_now(self, data: bytes | memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    async def receive(self) -> bytes:
        """Return what arrives next, empty at the end; raises AdbCutError when the connection is reset."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        while True:
            # First waiting: an answer takes its time, so a look before it would be one for nothing.
            await trio.lowlevel.wait_readable(self._socket)
            try:
                return self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                continue
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
        """``host``: an IPv4 address."""
        self.host = host
        self.port = port
        self._free = trio.Semaphore(sockets_max)
        self.open_sockets = 0
        """Sockets open now, for tests and statistics."""

    @property
    def has_room(self) -> bool:
        """Whether a connection need not wait for others to end."""
        return self._free.value > 0

    def connection(self, *requests: str, counted: bool = True) -> Held:
        """Hold a connection to the server that has taken these requests; raises AdbUnreachableError.

        Those that stay open are not counted: the one that tracks, and the few that follow a log.
        """
        return Held(self, self._free if counted else None, requests)

    def transport(self, transport_id: int, service: str, *, counted: bool = True) -> Held:
        """Hold a service of one device, e.g. ``shell,v2,raw:true`` or ``sync:``."""
        return self.connection(f"host:transport-id:{transport_id}", service, counted=counted)

    def tracking(self) -> Held:
        """Hold a connection on which `listed` gives the list now, and then again at every change."""
        return self.connection("host:track-devices-l", counted=False)

    async def version(self) -> int:
        """Return the server's protocol version, e.g. 41."""
        async with self.connection("host:version") as connection:
            return int(await connection.text(), 16)

    async def devices(self) -> list[ListedDevice]:
        """Return the devices that the server lists now."""
        async with self.connection("host:devices-l") as connection:
            return parse_listing(await connection.text())

    async def connect_device(self, address: str) -> str:
        """Have the server connect to ``host:port``; returns its text, which tells success and failure alike.

        Blocks for 10 s when the address accepts connections and says nothing.
        """
        async with self.connection(f"host:connect:{address}") as connection:
            return await connection.text()

    async def disconnect_device(self, address: str) -> str:
        """Have the server forget ``host:port``; raises AdbRefusedError when it does not know it."""
        async with self.connection(f"host:disconnect:{address}") as connection:
            return await connection.text()


class Held:
    """A connection for the time of an ``async with``; `AdbClient` makes it. No generator: there are many a step."""

    __slots__ = ("_client", "_free", "_is_cut", "_requests", "_socket")

    def __init__(self, client: AdbClient, free: trio.Semaphore | None, requests: tuple[str, ...]) -> None:
        self._client = client
        self._free = free
        self._requests = requests
        self._is_cut = False
        self._socket: socket.socket | None = None

    async def __aenter__(self) -> Connection:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._free is not None:
            try:
                self._free.acquire_nowait()
            except trio.WouldBlock:
                await self._free.acquire()
        plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket = plain
        self._client.open_sockets += 1
        try:
            await self._connect(plain)
            if self._is_cut:
                raise AdbCutError("it was ended before it began")
            connection = Connection(plain)
            for request in self._requests:
                await connection.request(request)
        except BaseException:
            self._close(plain)
            raise
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._socket is not None
        self._close(self._socket)

    def cut(self) -> None:
        """End it from another task: whatever waits for it raises AdbCutError, once it has a socket."""
        self._is_cut = True
        if self._socket is not None:
            with suppress(OSError):  # not connected
                self._socket.shutdown(socket.SHUT_RDWR)

    async def _connect(self, plain: socket.socket) -> None:
        code = plain.connect_ex((self._client.host, self._client.port))
        if code == errno.EINPROGRESS:
            # Within a host it is done by now, though the system says that it has only begun.
            if plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == _ESTABLISHED:
                return
            await trio.lowlevel.wait_writable(plain)
            code = plain.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code and not self._is_cut:
            raise AdbUnreachableError(os.strerror(code))

    def _close(self, plain: socket.socket) -> None:
        # Whoever used it waits for nothing any more, so nobody needs to be told.
        plain.close()
        self._socket = None
        self._client.open_sockets -= 1
        if self._free is not None:
            self._free.release()
