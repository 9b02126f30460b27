"""The broker's store written by a process of its own, which uses the second core (steps 3, 13).

One `Writer` on this side of a socket pair; the other side is doai.store.writer_process. A frame is four bytes
of length and a msgpack body; each request has one reply. The death of the other process is a StoreError.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

import doai
from doai.changes.ops import Op, Snapshot
from doai.codec import encode
from doai.errors import DoaiError, LocalProtocolError, StoreError, StoreUnavailable

_LENGTH: Final = struct.Struct("!I")
WRITER_COMMAND: Final = (sys.executable, "-m", "doai.store.writer_process")
"""Starts the other side; the number of its descriptor follows."""
_CLOSE_WAIT_S: Final = 30.0
"""The other process copies the log when it closes; a slow disk may need this long."""


class Open(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """First request: what `open_writer` takes."""

    path: str
    new_store_id: str
    now_ms: int
    vfs: str | None


class Load(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Answer: Loaded."""


class Commit(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Answer: Done."""

    ops: list[Op]


class Checkpoint(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Answer: Done."""


Request = Open | Load | Commit | Checkpoint


class Done(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """It is done; how long the log is now."""

    log_bytes: int


class Loaded(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Answer to Load."""

    snapshot: Snapshot


class Refused(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """It failed; ``unavailable`` tells a StoreUnavailable from a StoreError. The process ends after it."""

    unavailable: bool
    code: str
    message: str


Reply = Done | Loaded | Refused

_decode_reply: Final = msgspec.msgpack.Decoder(Reply).decode


def open_process_writer(path: Path, *, new_store_id: str, now_ms: int, vfs: str | None = None) -> ProcessWriter:
    """Start the process and open the store there; meaning and errors are those of `open_writer`."""
    ours, theirs = socket.socketpair()
    with theirs:
        environment = dict(os.environ)
        root = str(Path(doai.__file__).resolve().parents[1])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
        process = subprocess.Popen(
            [*WRITER_COMMAND, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=environment,
        )
    writer = ProcessWriter(process, ours)
    try:
        writer.request(Open(str(path.absolute()), new_store_id, now_ms, vfs))
    except BaseException:
        writer.close()
        raise
    return writer


class ProcessWriter:
    """`Writer[Op, Snapshot]` over a process; its calls block, so they belong into a thread."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self._process = process
        self._channel = channel
        self._log_bytes = 0
        self._failed = ""

    @property
    def pid(self) -> int:
        """Of the process that writes."""
        return self._process.pid

    @property
    def log_bytes(self) -> int:
        return self._log_bytes

    def load(self) -> Snapshot:
        reply = self.request(Load())
        if not isinstance(reply, Loaded):
            raise LocalProtocolError(f"the store's process answered Load with {type(reply).__name__}")
        return reply.snapshot

    def commit(self, ops: Sequence[Op]) -> None:
        self.request(Commit(list(ops)))

    def checkpoint(self) -> None:
        self.request(Checkpoint())

    def close(self) -> None:
        self._channel.close()
        try:
            self._process.wait(_CLOSE_WAIT_S)
        except subprocess.TimeoutExpired:
            # Everything that was acknowledged is on disk: what hangs is only the tidying.
            self._process.kill()
            self._process.wait()

    def request(self, request: Request) -> Reply:
        """Send one request and wait for its reply; raises what `Refused` says, or StoreError."""
        if self._failed:
            raise LocalProtocolError(f"{self._failed}; exit and reload")
        try:
            send_frame(self._channel, encode(request))
            reply: Reply = _decode_reply(receive_frame(self._channel))
        except (OSError, EOFError, msgspec.DecodeError) as error:
            self._failed = f"the process {self.pid} that writes the store ended ({error or 'without a word'})"
            raise StoreError(f"{self._failed}: what it did last is unknown; start again to reload") from error
        if isinstance(reply, Refused):
            self._failed = reply.message
            kind: type[DoaiError] = StoreUnavailable if reply.unavailable else StoreError
            raise kind(reply.message, code=reply.code)
        if isinstance(reply, Done):
            self._log_bytes = reply.log_bytes
        return reply


def send_frame(channel: socket.socket, body: bytes) -> None:
    """Send one frame; blocks."""
    channel.sendall(_LENGTH.pack(len(body)) + body)


def receive_frame(channel: socket.socket) -> bytearray:
    """Receive one frame; blocks. Raises EOFError when the other side has closed."""
    (length,) = _LENGTH.unpack(_receive_exactly(channel, _LENGTH.size))
    return _receive_exactly(channel, length)


def _receive_exactly(channel: socket.socket, count: int) -> bytearray:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        received = channel.recv_into(view)
        if not received:
            raise EOFError
        view = view[received:]
    return data
