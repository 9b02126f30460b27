"""Bytes to meaning and back: the fixed frame header, and msgpack bodies by type (steps 1, 5, 11).

A frame is two parts, header and body (a ROUTER sees the routing id before them). The header is fixed and
binary, so that forwarding, acks and flood control never decode a body. proto/GRAMMAR.md has the grammar.
"""

from __future__ import annotations

import enum
import functools
import struct
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec

from doai.errors import DecodeError
from doai.wire_versions import GREETING

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
    DEVICE_SAMPLES = 10
    """What a node has read of its devices; never sent again."""
    LOG_LINES = 11
    """What a peer's process logged; never stored by the broker."""
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
    SAMPLE_ORDER = 32
    """How often a node is to read its devices."""
    RELAYED_LINES = 33
    """LOG_LINES of some process, for an admin that listens."""


KINDS: Final = frozenset(int(kind) for kind in Kind)
"""A frame of another kind is a newer peer's: it is counted, and otherwise ignored."""
_GREETING_KINDS: Final = frozenset({Kind.HELLO, Kind.WELCOME, Kind.HELLO_REQUIRED, Kind.FENCED})


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
    """The receiver of this frame may send records up to this sequence number (absolute). EVENTS: how many events
    were given on this channel before."""
    credit_bytes: int
    """The receiver of this frame may have sent this many record bytes since WELCOME (absolute)."""


def pack_header(
    kind: int,
    *,
    version: int = GREETING,
    channel: int = 0,
    ack: int = 0,
    credit_seq: int = 0,
    credit_bytes: int = 0,
) -> bytes:
    """Return the 32 bytes of a header: version, kind, flags, channel, ack, credit; network byte order.

    ``version`` is the one agreed on; frames of the greeting have that of the greeting.
    """
    if kind in _GREETING_KINDS:
        version = GREETING
    return _HEADER.pack(version, kind, 0, channel, ack, credit_seq, credit_bytes)


def unpack_header(data: bytes, version: int = GREETING) -> Header:
    """Read a header; raises DecodeError on a wrong size, or a version other than the one agreed on.

    FORWARD has the version of whoever sent it, which may have agreed on another; its body is no matter of ours.
    """
    if len(data) != HEADER_BYTES:
        raise DecodeError(f"a frame header has {HEADER_BYTES} bytes, this one has {len(data)}", data[:64])
    header = Header(*_HEADER.unpack(data))
    if header.kind in _GREETING_KINDS:
        version = GREETING
    if header.version != version and header.kind != Kind.FORWARD:
        raise DecodeError(f"a frame of wire version {header.version} came where {version} is agreed on", data)
    return header


def kind_of(header: bytes) -> int:
    """Return the kind of a frame, in whatever version: every header is laid out alike."""
    return header[1]


_T = TypeVar("_T")

encode: Final = msgspec.msgpack.Encoder(decimal_format="string").encode
"""Encode any Struct of doai to msgpack."""


class BodyDecoder:
    """Decodes msgpack bodies of one type, strictly; a DecodeError keeps the bytes."""

    def __init__(self, body_type: type[_T] | Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(body_type)
        self._array_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(list[body_type])  # type: ignore[valid-type]
        self._name = getattr(body_type, "__name__", str(body_type))

    def __call__(self, data: bytes | msgspec.Raw) -> Any:
        """Return the value."""
        return self.decode(data)

    def decode(self, data: bytes | msgspec.Raw) -> Any:
        """Return the value; a method costs less than a call of the object."""
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DecodeError(f"these bytes are no {self._name}: {error}", bytes(data)) from error

    def each(self, bodies: Sequence[bytes]) -> list[Any]:
        """Decode several bodies, each one whole value; a DecodeError stands in the place of one that is bad.

        All at once, as one array: a third of what as many calls cost.
        """
        try:
            found: list[Any] = self._array_decoder.decode(_array_head(len(bodies)) + b"".join(bodies))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return [self._or_error(body) for body in bodies]
        return found

    def _or_error(self, body: bytes) -> Any:
        try:
            return self(body)
        except DecodeError as error:
            return error


def _array_head(count: int) -> bytes:
    """Return what msgpack puts before the elements of an array."""
    return b"\xdd" + count.to_bytes(4, "big")


def decode(data: bytes | msgspec.Raw, body_type: type[_T]) -> _T:
    """Decode one value of the given type; for hot paths keep a `BodyDecoder`."""
    decoder: BodyDecoder = _decoder_of(body_type)  # type: ignore[arg-type]
    result: _T = decoder(data)
    return result


@functools.lru_cache(maxsize=256)
def _decoder_of(body_type: Any) -> BodyDecoder:
    return BodyDecoder(body_type)


def raw(value: object) -> msgspec.Raw:
    """Encode a payload for an envelope."""
    return msgspec.Raw(encode(value))
