"""Connections to the vendor's program: each carries one request at a time, none a second one's answer (step 9).

A request that is given up leaves its connection to itself: that one only waits for the late answer, counts it, and
closes. The next request goes over another connection, so no answer can be taken for another's.
"""

from __future__ import annotations

from collections import deque
from typing import TypeVar
from urllib.parse import urlsplit

import h11
import trio
import wsproto.utilities
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, wrap_client_stream

from doai.drivers.xiaowei.config import CLOSE_S, CONNECT_S, LATE_S, MESSAGE_BYTES_MAX, RETIRED_MAX
from doai.drivers.xiaowei.exchange import Counts, Exchange, Question

T = TypeVar("T")


class UnreachableError(Exception):
    """No connection could be made: nothing was sent."""


class CutError(Exception):
    """The connection ended between a request and its answer: whether it was performed is not known."""


class Connection:
    """One WebSocket, read by a task of its own for as long as it is open."""

    def __init__(self, socket: WebSocketConnection, counts: Counts) -> None:
        self._socket = socket
        self._exchange = Exchange(counts)
        self._settled = trio.Event()
        self._open = True
        self._reading = trio.CancelScope()

    @property
    def fit(self) -> bool:
        """Whether it can carry another request."""
        return self._open and not self._exchange.owed

    @property
    def owes(self) -> bool:
        """Whether a late answer may come."""
        return self._open and self._exchange.owed

    async def ask(self, question: Question[T]) -> T:
        """Send a request and wait for its answer.

        Raises CutError, and AnswerError or MarkedError for an answer that can not be used. The caller bounds the
        time with a cancel scope.
        """
        self._settled = trio.Event()
        pending = self._exchange.ask(question)
        try:
            try:
                await self._socket.send_message(question.text)
                if self._open:
                    await self._settled.wait()
            except ConnectionClosed as error:
                self.lost(str(error))
            if not pending.settled:
                self.lost("it was closed")
            return pending.result()
        finally:
            self._exchange.leave()

    async def read(self) -> None:
        """Take what comes until the connection ends, or `close`."""
        with self._reading:
            try:
                while True:
                    if self._exchange.take(await self._socket.get_message()):
                        self._settled.set()
                    elif not self._exchange.owed and self._reading.deadline != float("inf"):
                        return  # The late answer came, or something in its place.
            except ConnectionClosed as error:
                self.lost(str(error))
        self._open = False

    def retire(self) -> None:
        """Wait for the late answer only, and not for ever; without one to come, close."""
        if self.owes:
            self._reading.deadline = trio.current_time() + LATE_S
        else:
            self.close()

    def close(self) -> None:
        """Close it; whoever waits for an answer gets CutError."""
        self.lost("it was closed")
        self._reading.cancel()

    def lost(self, why: str) -> None:
        """It has ended; whoever waits for an answer gets CutError."""
        self._open = False
        self._exchange.end(CutError(f"the connection ended before the answer ({why})"))
        self._settled.set()


class Client:
    """The connections to one program."""

    def __init__(self, url: str, connections: int) -> None:
        self.url = url
        self._place = urlsplit(url)
        self.counts = Counts()
        self._limit = trio.CapacityLimiter(connections)
        self._idle: list[Connection] = []
        self._retired: deque[Connection] = deque()
        self._nursery: trio.Nursery | None = None
        self.open_sockets = 0

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hold the connections until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def ask(self, question: Question[T]) -> T:
        """Ask over a connection that is free, at most ``connections`` at once; raises UnreachableError, and what
        `Connection.ask` does."""
        async with self._limit:
            connection = self._free() or await self.connect()
            try:
                return await connection.ask(question)
            finally:
                if connection.fit:
                    self._idle.append(connection)
                else:
                    self.retire(connection)

    async def connect(self) -> Connection:
        """Open one more connection, which is the caller's; raises UnreachableError."""
        if self._nursery is None:
            raise UnreachableError("the driver does not run")
        connection: Connection = await self._nursery.start(self._hold)
        return connection

    def retire(self, connection: Connection) -> None:
        """Give up a connection on which an answer may still come."""
        connection.retire()
        self._retired = deque(kept for kept in self._retired if kept.owes)
        if connection.owes:
            self._retired.append(connection)
        if len(self._retired) > RETIRED_MAX:
            self._retired.popleft().close()

    def drop(self) -> None:
        """Close the connections on which nobody waits; a call on another one ends by itself."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _free(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.fit:
                return connection
        return None

    async def _hold(self, task_status: trio.TaskStatus[Connection]) -> None:
        connection: Connection | None = None
        why = "it does not speak WebSocket"
        self.open_sockets += 1
        try:
            # The stream is ours, so that it is closed whatever happens in the handshake.
            stream = await _open_stream(self._place.hostname or "", self._place.port or 80)
            async with stream, trio.open_nursery() as nursery:
                with trio.move_on_after(CONNECT_S) as shaking:
                    socket = await wrap_client_stream(
                        nursery,
                        stream,
                        self._place.netloc,
                        self._place.path or "/",
                        max_message_size=MESSAGE_BYTES_MAX,
                    )
                    connection = Connection(socket, self.counts)
                if connection is not None:
                    task_status.started(connection)
                    await connection.read()
                    with trio.move_on_after(CLOSE_S):
                        await socket.aclose()
                elif shaking.cancelled_caught:
                    why = f"no handshake within {CONNECT_S:g} s"
                nursery.cancel_scope.cancel()
        except* (HandshakeError, wsproto.utilities.ProtocolError, h11.ProtocolError) as group:
            # The last two leave the library's reader where a program speaks something else than WebSocket.
            why = str(group.exceptions[0]) or type(group.exceptions[0]).__name__
        finally:
            self.open_sockets -= 1
            if connection is not None:
                connection.lost(why)
        if connection is None:
            raise UnreachableError(why)


async def _open_stream(host: str, port: int) -> trio.SocketStream:
    try:
        with trio.fail_after(CONNECT_S):
            return await trio.open_tcp_stream(host, port)
    except trio.TooSlowError:
        raise UnreachableError(f"no connection within {CONNECT_S:g} s") from None
    except OSError as error:
        raise UnreachableError(str(error)) from None
