"""The talk of a node with a plug-in's process: messages, and their frames on a stream of bytes, pure (step 8).

A frame is four bytes, its length in network byte order, and msgpack of one message, an array that begins with the
name of its kind. Whatever else comes is the peer's mistake, after which nothing of the stream is understood.
"""

from __future__ import annotations

import struct
from typing import Any, Final, Generic, TypeVar

import msgspec

from doai.errors import Failure, ProtocolError
from doai.messages.plugins import StepSchema

FRAME_BYTES_MAX: Final = 32 * 1024 * 1024
"""A screenshot has 10 MB at most; a file that is larger is named by its path, it need not cross the pipe."""
_LENGTH: Final = struct.Struct("!I")


class PipeError(ProtocolError):
    """What came over the pipe is no frame, or no message."""

    code = "pipe_garbled"


class _Said(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Base of every message."""


class Start(_Said, frozen=True, kw_only=True, tag="start"):
    """To the process: perform a try of a step."""

    request: int
    use: str
    arguments: dict[str, Any]
    step_id: str
    run_id: str
    task_id: str
    workflow: str
    serial: str
    try_number: int
    timeout_s: float
    """What the node allows; it says `Cancel` when that is over."""


class Cancel(_Said, frozen=True, kw_only=True, tag="cancel"):
    """To the process: end the try now."""

    request: int


class Answer(_Said, frozen=True, kw_only=True, tag="answer"):
    """To the process: what a call gave."""

    call: int
    value: Any


class Refused(_Said, frozen=True, kw_only=True, tag="refused"):
    """To the process: why a call failed."""

    call: int
    failure: Failure


class Ready(_Said, frozen=True, kw_only=True, tag="ready"):
    """From the process: its modules are imported, and these are the steps."""

    steps: list[StepSchema]


class Broken(_Said, frozen=True, kw_only=True, tag="broken"):
    """From the process: its modules can not be used, it ends."""

    reason: str


class Ended(_Said, frozen=True, kw_only=True, tag="ended"):
    """From the process: the try passed."""

    request: int
    outputs: dict[str, Any]


class Failed(_Said, frozen=True, kw_only=True, tag="failed"):
    """From the process: the try failed, also after a `Cancel`."""

    request: int
    failure: Failure


class Call(_Said, frozen=True, kw_only=True, tag="call"):
    """From the process: do something for a try, on its device or for its task; answered once."""

    request: int
    call: int
    what: str
    arguments: dict[str, Any]


class Line(_Said, frozen=True, kw_only=True, tag="line"):
    """From the process: a line for the log, of a try."""

    request: int
    message: str
    fields: dict[str, Any]


ToHost = Start | Cancel | Answer | Refused
FromHost = Ready | Broken | Ended | Failed | Call | Line
_T = TypeVar("_T")
_encode: Final = msgspec.msgpack.Encoder(decimal_format="string").encode


def frame_of(message: ToHost | FromHost) -> bytes:
    """Return a message as a frame; raises PipeError when it is too large."""
    body = _encode(message)
    if len(body) > FRAME_BYTES_MAX:
        raise PipeError(f"a message of {len(body)} bytes does not fit the pipe, the bound is {FRAME_BYTES_MAX}")
    return _LENGTH.pack(len(body)) + body


class Frames(Generic[_T]):
    """Makes messages of bytes as they come, in pieces of any size."""

    def __init__(self, kinds: Any, bytes_max: int = FRAME_BYTES_MAX) -> None:
        """``kinds`` is `ToHost` or `FromHost`: what may come."""
        self._decoder: msgspec.msgpack.Decoder[_T] = msgspec.msgpack.Decoder(kinds)
        self._bytes_max = bytes_max
        self._kept = bytearray()
        self._failed = ""

    def feed(self, data: bytes) -> list[_T]:
        """Return the messages that are complete now; raises PipeError, then and for ever after."""
        if self._failed:
            raise PipeError(self._failed)
        self._kept += data
        found: list[_T] = []
        at = 0
        while len(self._kept) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._kept, at)
            if length > self._bytes_max:
                raise self._error(f"a frame of {length} bytes was announced, the bound is {self._bytes_max}")
            end = at + _LENGTH.size + length
            if len(self._kept) < end:
                break
            try:
                found.append(self._decoder.decode(memoryview(self._kept)[at + _LENGTH.size : end].tobytes()))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise self._error(f"a frame of {length} bytes is no message: {error}") from error
            at = end
        del self._kept[:at]
        return found

    def _error(self, reason: str) -> PipeError:
        self._failed = reason
        self._kept.clear()
        return PipeError(reason)
