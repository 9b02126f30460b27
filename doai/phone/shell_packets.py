"""Packets of the shell protocol v2, which carries stdin, stdout, stderr and the exit code (way of a task: 9).

Format: AOSP `adb/shell_protocol.h`: one byte of kind, a little-endian 32-bit length, the bytes.
"""

import enum
import struct

_PACKET_HEADER = struct.Struct("<BI")
PACKET_BYTES_MAX = 1024 * 1024
"""A packet larger than adb's own buffer is a fault of the peer."""


class PacketError(Exception):
    """The peer sent something that is no shell packet."""


class Kind(enum.IntEnum):
    """What a packet carries."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    EXIT = 3
    CLOSE_STDIN = 4
    WINDOW_SIZE = 5


def packet(kind: Kind, data: bytes = b"") -> bytes:
    """One packet as bytes."""
    return _PACKET_HEADER.pack(kind, len(data)) + data


class PacketParser:
    """Cuts a stream of bytes into packets."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[Kind, bytes]]:
        """Adds bytes and returns the packets that are whole now. Raises PacketError."""
        self._buffer += data
        found: list[tuple[Kind, bytes]] = []
        while len(self._buffer) >= _PACKET_HEADER.size:
            number, length = _PACKET_HEADER.unpack_from(self._buffer)
            if number > Kind.WINDOW_SIZE or length > PACKET_BYTES_MAX:
                raise PacketError(f"not a shell v2 packet: kind {number}, length {length}")
            end = _PACKET_HEADER.size + length
            if len(self._buffer) < end:
                break
            found.append((Kind(number), bytes(self._buffer[_PACKET_HEADER.size : end])))
            del self._buffer[:end]
        return found
