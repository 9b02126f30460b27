"""ADB messages: 24-byte headers, checksums and a parser of untrusted bytes (way of a task: 9).

Format: AOSP `packages/modules/adb/protocol.txt`: six little-endian 32-bit words, then the payload.
"""

import enum
import struct

import msgspec

HEADER = struct.Struct("<6I")
"""command, arg0, arg1, payload length, payload checksum, command ^ 0xFFFFFFFF."""

VERSION = 0x01000001
"""Our protocol version; from this one on, both sides may leave the checksum out (Android 9)."""
VERSION_SKIP_CHECKSUM = 0x01000001
PAYLOAD_BYTES_MAX = 256 * 1024
"""Largest payload we take. adbd's own limit is 1 MiB; a shelf of hundreds of phones wants less memory."""
HANDSHAKE_BYTES_MAX = 1024 * 1024
"""adb's MAX_PAYLOAD: no peer may announce more than this."""

AUTH_TOKEN, AUTH_SIGNATURE, AUTH_PUBLIC_KEY = 1, 2, 3
"""Kinds of AUTH message (arg0)."""
AUTH_TOKEN_BYTES = 20


class ProtocolError(Exception):
    """The peer sent bytes that are no ADB message; `raw` keeps the header. The connection must be closed."""

    def __init__(self, reason: str, raw: bytes) -> None:
        super().__init__(f"not an ADB message: {reason} (header {raw.hex()}): close the connection")
        self.raw = raw


class Command(enum.IntEnum):
    """The message kinds; the number is the ASCII name read as little-endian."""

    SYNC = 0x434E5953
    CNXN = 0x4E584E43
    AUTH = 0x48545541
    OPEN = 0x4E45504F
    OKAY = 0x59414B4F
    CLSE = 0x45534C43
    WRTE = 0x45545257
    STLS = 0x534C5453


_KNOWN = {int(command): command for command in Command}


class Message(msgspec.Struct, frozen=True):
    """One ADB message. The meaning of the arguments depends on the command (protocol.txt)."""

    command: Command
    arg0: int = 0
    arg1: int = 0
    payload: bytes = b""


def checksum(payload: bytes) -> int:
    """The sum of the bytes, modulo 2**32 (protocol.txt calls it a crc32, which it is not)."""
    return sum(payload) & 0xFFFFFFFF


def encode(message: Message, *, with_checksum: bool = True) -> bytes:
    """The message's bytes. After both sides showed version 0x01000001 the checksum may be zero."""
    payload = message.payload
    return (
        HEADER.pack(
            message.command,
            message.arg0,
            message.arg1,
            len(payload),
            checksum(payload) if with_checksum else 0,
            message.command ^ 0xFFFFFFFF,
        )
        + payload
    )


class MessageParser:
    """Cuts a stream of bytes into messages. Never reads ahead of a message: rules may change after CNXN.

    `verify_checksum` is true until the versions are known; `payload_bytes_max` bounds what is buffered.
    """

    def __init__(self, payload_bytes_max: int = HANDSHAKE_BYTES_MAX) -> None:
        self.verify_checksum = True
        self.payload_bytes_max = payload_bytes_max
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Adds bytes from the wire."""
        self._buffer += data

    def next_message(self) -> Message | None:
        """The next whole message, or None when more bytes are needed. Raises ProtocolError."""
        if len(self._buffer) < HEADER.size:
            return None
        raw = bytes(self._buffer[: HEADER.size])
        number, arg0, arg1, length, check, magic = HEADER.unpack(raw)
        command = _KNOWN.get(number)
        if magic != number ^ 0xFFFFFFFF or command is None:
            raise ProtocolError("unknown command or wrong magic", raw)
        if length > self.payload_bytes_max:
            raise ProtocolError(f"payload of {length} bytes, at most {self.payload_bytes_max}", raw)
        end = HEADER.size + length
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[HEADER.size : end])
        # CNXN is always summed by old and new peers; a zero is a new peer that leaves it out.
        if self.verify_checksum and check != checksum(payload) and (check or command != Command.CNXN):
            raise ProtocolError("wrong checksum", raw)
        del self._buffer[:end]
        return Message(command, arg0, arg1, payload)


def banner(properties: dict[str, str], features: tuple[str, ...]) -> bytes:
    """The identity string of CNXN: `device::name=value;...features=a,b`."""
    pairs = [f"{name}={value}" for name, value in properties.items()]
    return ("device::" + ";".join([*pairs, "features=" + ",".join(features)])).encode()
