"""Bytes to meaning and back: the fixed frame header, and msgpack bodies by type (steps 1, 5, 11).

A frame is two parts, header and body (a ROUTER sees the routing id before them). The header is fixed and
binary, so that forwarding, acks and flood control never decode a body. proto/GRAMMAR.md has the grammar.
"""

from __future__ import annotations

import enum
import struct
from typing import Any, Final, TypeVar

import msgspec

from doai.errors import DecodeError

WIRE_VERSION: Final = 1
HEADER_BYTES: Final = 32
_HEADER: Final = struct.Struct("!BBHIQQQ")
assert _HEADER.size == HEADER_BYTES


class Kind(enum.IntEnum):
    """What the body of a frame is; the number is on the wire and is never used again for another."""

    HELLO = 1
    HEARTBEAT = 2
    RECORDS = 3
    HOLDINGS = 4
    COMMAND = 5
    BYE = 6
    FORWARD = 7
    """Ephemeral: passed on to the peer that `channel` names, body untouched, never stored."""
    SUBSCRIBE = 8
    """A bot wants events of one of its subscriptions over this connection."""
    CURSOR = 9
    """A bot handled events, and takes more."""
    WELCOME = 17
    HELLO_REQUIRED = 18
    FENCED = 19
    ACK = 20
    DISPATCH = 21
    CANCEL = 22
    RELEASE = 23
    REPLY = 24
    RECIPE = 25
    BEAT = 26
    """The broker's answer to a HEARTBEAT: the proof that the broker's core lives."""
    SUBSCRIBED = 27
    EVENTS = 28
    """Committed events of the subscription that `channel` names."""
    SAMPLES = 29
    """The newest samples, of the subscription that `channel` names; never stored."""
    TASKS = 30
    """Tasks for a bot process."""
    SETTINGS = 31
    """What an operator wants of a bot."""


class Header(msgspec.Struct, frozen=True, array_like=True):
    """The fixed part of a frame."""

    version: int
    kind: int
    flags: int
    channel: int
    """FORWARD: handle of the receiving peer towards the broker, of the sending peer from it. EVENTS, SAMPLES: the
    number that the bot gave to its subscription. Else 0."""
    ack: int
    """Highest sequence number committed by the sender of this frame; cumulative; 0 = none."""
    credit_seq: int
    """The receiver of this frame may send records up to this sequence number (absolute)."""
    credit_bytes: int
    """The receiver of this frame may have sent this many record bytes since WELCOME (absolute)."""


def pack_header(kind: int, *, channel: int = 0, ack: int = 0, credit_seq: int = 0, credit_bytes: int = 0) -> bytes:
    """Return the 32 bytes of a header: version, kind, flags, channel, ack, credit; network byte order."""
    return _HEADER.pack(WIRE_VERSION, kind, 0, channel, ack, credit_seq, credit_bytes)


def unpack_header(data: bytes) -> Header:
    """Read a header; raises DecodeError on a wrong size or an unknown version."""
    if len(data) != HEADER_BYTES:
        raise DecodeError(f"a frame header has {HEADER_BYTES} bytes, this one has {len(data)}", data[:64])
    header = Header(*_HEADER.unpack(data))
    if header.version != WIRE_VERSION:
        raise DecodeError(f"the peer speaks wire version {header.version}, this is {WIRE_VERSION}", data)
    return header


_T = TypeVar("_T")

encode: Final = msgspec.msgpack.Encoder(decimal_format="string").encode
"""Encode any Struct of doai to msgpack."""


class BodyDecoder:
    """Decodes msgpack bodies of one type, strictly; a DecodeError keeps the bytes."""

    def __init__(self, body_type: type[_T] | Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(body_type)
        self._name = getattr(body_type, "__name__", str(body_type))

    def __call__(self, data: bytes | msgspec.Raw) -> Any:
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DecodeError(f"these bytes are no {self._name}: {error}", bytes(data)) from error


def decode(data: bytes | msgspec.Raw, body_type: type[_T]) -> _T:
    """Decode one value of the given type; for hot paths keep a `BodyDecoder`."""
    result: _T = BodyDecoder(body_type)(data)
    return result


def raw(value: object) -> msgspec.Raw:
    """Encode a payload for an envelope."""
    return msgspec.Raw(encode(value))
