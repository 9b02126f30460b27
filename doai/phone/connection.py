"""One ADB connection as the phone sees it: handshake, streams, flow control (way of a task: 9).

Flow control is adb's classic one: a stream has one WRTE under way at a time, answered by OKAY.
"""

import os
import socket
import struct
from typing import Protocol

import trio

from doai.phone import protocol
from doai.phone.faults import Fault
from doai.phone.protocol import Command, Message, MessageParser, ProtocolError, encode

FEATURES = ("shell_v2", "cmd")
"""What adb may use: no delayed acks, no stat/list/send v2, no abb, so that everything goes ways we know."""
RECEIVE_BYTES = 64 * 1024
INBOX_MESSAGES_MAX = 4
"""A well-behaved peer has one WRTE under way; more than this is a peer that breaks the protocol."""
STREAMS_MAX = 256
"""Streams one connection may have open: 32-64 are usual for a busy client of one phone."""


class ChannelClosed(Exception):
    """The stream or its connection is gone; what was sent did not arrive."""


class Owner(Protocol):
    """What a connection needs of its phone."""

    async def wait_audible(self) -> None:
        """Returns when the phone is not silent."""

    def has(self, fault: Fault) -> bool:
        """Whether a lasting fault is ordered, and counts that it struck."""

    def banner(self) -> bytes:
        """The identity for CNXN."""

    def opened(self, channel: "Channel", service: str) -> None:
        """A service was asked for; the phone answers on the channel with accept, refuse, or never."""


class Channel:
    """One stream of a connection, from the phone's side."""

    def __init__(self, connection: "Connection", local_id: int, remote_id: int) -> None:
        self.connection = connection
        self.local_id = local_id
        self.remote_id = remote_id
        self.closed = trio.Event()
        self._may_send = trio.Event()
        self._inbox_in, self._inbox = trio.open_memory_channel[bytes](INBOX_MESSAGES_MAX)

    async def accept(self) -> None:
        """Answers OPEN with OKAY. Raises ChannelClosed."""
        self._may_send.set()
        await self._send(Command.OKAY)

    async def send(self, data: bytes) -> None:
        """Sends bytes, cut to what the peer takes; each piece waits for the OKAY of the one before.

        Raises ChannelClosed.
        """
        size = self.connection.payload_bytes
        for start in range(0, len(data), size):
            await self._may_send.wait()
            if self.closed.is_set():
                raise ChannelClosed
            self._may_send = trio.Event()
            await self._send(Command.WRTE, data[start : start + size])

    async def drained(self) -> None:
        """Returns when the peer has acknowledged all that was sent. Raises ChannelClosed."""
        await self._may_send.wait()
        if self.closed.is_set():
            raise ChannelClosed

    async def receive(self) -> bytes:
        """The next bytes of the peer; b"" once the stream is closed."""
        try:
            data = await self._inbox.receive()
        except trio.EndOfChannel:
            return b""
        if not self.closed.is_set():
            try:
                await self._send(Command.OKAY)
            except ChannelClosed:
                return data
        return data

    async def close(self) -> None:
        """Closes the stream from the phone's side; nothing happens if it is closed already."""
        if not self.closed.is_set():
            self.ended()
            self.connection.forget(self)
            await self.connection.send(Message(Command.CLSE, self.local_id, self.remote_id))

    def acknowledged(self) -> None:
        """The peer's OKAY came."""
        self._may_send.set()

    def delivered(self, data: bytes) -> None:
        """The peer's WRTE came. Raises ProtocolError when it does not wait for OKAY."""
        try:
            self._inbox_in.send_nowait(data)
        except trio.WouldBlock:
            raise ProtocolError("WRTE without waiting for OKAY", b"") from None

    def ended(self) -> None:
        """The stream is over: wakes whoever waits on it."""
        self.closed.set()
        self._may_send.set()
        self._inbox_in.close()

    async def _send(self, command: Command, payload: bytes = b"") -> None:
        if self.closed.is_set():
            raise ChannelClosed
        await self.connection.send(Message(command, self.local_id, self.remote_id, payload))


class Connection:
    """One TCP connection from an adb server. `number` counts the phone's connections from 1."""

    def __init__(self, stream: trio.SocketStream, owner: Owner, number: int) -> None:
        self.number = number
        self.payload_bytes = 4096
        self.online = False
        self._stream = stream
        self._owner = owner
        self._parser = MessageParser()
        self._channels: dict[int, Channel] = {}
        self._next_id = 1
        self._with_checksum = True
        self._sending = trio.Lock()
        self._waits_for_key = False
        self._gone = False

    async def serve(self) -> None:
        """Handles the connection until either side ends it; never raises for what the peer does."""
        try:
            while data := await self._stream.receive_some(RECEIVE_BYTES):
                self._parser.feed(data)
                while (message := self._parser.next_message()) is not None:
                    await self._owner.wait_audible()
                    if self._gone:  # cut off while the phone was silent: what was not read is lost
                        return
                    await self._handle(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError, ProtocolError, ChannelClosed):
            pass  # the peer reset, spoke nonsense or was cut off on order: the connection ends, all the same
        finally:
            self.abandon()
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self._stream)

    async def send(self, message: Message) -> None:
        """Sends one message whole. Raises ChannelClosed."""
        await self._owner.wait_audible()
        await self.send_raw(encode(message, with_checksum=self._with_checksum))

    async def send_raw(self, data: bytes) -> None:
        """Sends bytes as they are. Raises ChannelClosed."""
        async with self._sending:
            if self._gone:
                raise ChannelClosed
            try:
                # Half a message would be garbage to the peer: a service that is cancelled still ends its message.
                with trio.CancelScope(shield=True):
                    await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise ChannelClosed from None

    async def admit(self) -> None:
        """Lets a peer in that waits for its key to be accepted."""
        if self._waits_for_key:
            self._waits_for_key = False
            await self._go_online()

    def forget(self, channel: Channel) -> None:
        """Drops a stream that was closed."""
        self._channels.pop(channel.local_id, None)

    def abandon(self) -> None:
        """Ends every stream; nothing can be sent any more."""
        self._gone = True
        for channel in list(self._channels.values()):
            channel.ended()
        self._channels.clear()

    def reset(self) -> None:
        """Cuts the TCP connection with RST, as a cable does that is pulled."""
        self.abandon()
        if self._stream.socket.fileno() >= 0:
            self._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._stream.socket.close()

    async def _handle(self, message: Message) -> None:
        match message.command:
            case Command.CNXN:
                await self._connect(message)
            case Command.AUTH:
                await self._authorize(message)
            case Command.OPEN if self.online:
                await self._open(message)
            case Command.OKAY | Command.WRTE | Command.CLSE if self.online:
                await self._stream_message(message)
            case _:
                raise ProtocolError(f"{message.command.name} before the handshake", b"")

    async def _connect(self, message: Message) -> None:
        self._parser.verify_checksum = message.arg0 < protocol.VERSION_SKIP_CHECKSUM
        self.payload_bytes = max(1, min(message.arg1, protocol.PAYLOAD_BYTES_MAX))
        if self._owner.has(Fault.NO_CNXN):
            return
        if self._owner.has(Fault.AUTH_FOREVER):
            self._waits_for_key = True
            await self._ask_for_key()
            return
        await self._go_online()
        self._with_checksum = message.arg0 < protocol.VERSION_SKIP_CHECKSUM

    async def _go_online(self) -> None:
        self.online = True
        self._parser.payload_bytes_max = protocol.PAYLOAD_BYTES_MAX
        payload = self._owner.banner()
        await self.send(Message(Command.CNXN, protocol.VERSION, protocol.PAYLOAD_BYTES_MAX, payload))

    async def _authorize(self, message: Message) -> None:
        # A signature is never of a known key, so another token goes out; the public key waits for a person.
        if self._waits_for_key and message.arg0 == protocol.AUTH_SIGNATURE:
            await self._ask_for_key()

    async def _ask_for_key(self) -> None:
        token = os.urandom(protocol.AUTH_TOKEN_BYTES)
        await self.send(Message(Command.AUTH, protocol.AUTH_TOKEN, 0, token))

    async def _open(self, message: Message) -> None:
        if len(self._channels) >= STREAMS_MAX:
            await self.send(Message(Command.CLSE, 0, message.arg0))
            return
        channel = Channel(self, self._next_id, message.arg0)
        self._next_id += 1
        self._channels[channel.local_id] = channel
        service = message.payload.rstrip(b"\0").decode("utf-8", "replace")
        self._owner.opened(channel, service)

    async def _stream_message(self, message: Message) -> None:
        channel = self._channels.get(message.arg1)
        if channel is None:
            if message.command is Command.WRTE:
                await self.send(Message(Command.CLSE, 0, message.arg0))
        elif message.command is Command.OKAY:
            channel.acknowledged()
        elif message.command is Command.WRTE:
            channel.delivered(message.payload)
        else:
            self.forget(channel)
            channel.ended()
            await self.send(Message(Command.CLSE, channel.local_id, message.arg0))
