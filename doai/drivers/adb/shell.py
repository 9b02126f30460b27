"""The shell protocol v2: stdin, stdout, stderr and the exit code in one stream (step 9).

Format: AOSP `adb/shell_protocol.h`: one byte of kind, a little-endian 32-bit length, the bytes. Written apart from
the simulated phone's own, so that a mistake in one is seen by the other.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from doai.drivers.adb.client import AdbClient, AdbCutError, AdbError, Connection, Held, while_sending
from doai.drivers.base import CommandOutput

_HEADER: Final = struct.Struct("<BI")
_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
_CLOSE: Final = _HEADER.pack(_CLOSE_STDIN, 0)
STDIN_CHUNK_BYTES: Final = 32 * 1024
"""Every adbd takes packets of this size."""
OUTPUT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Output of one command that is kept in memory; the largest screenshots are a few MB.
A packet that announces more is nonsense, not a reason to wait."""


class ShellGarbledError(AdbError):
    """The device sent something that is no shell packet, or more than fits."""


class ShellAnswer:
    """Collects the packets of one command; sans-IO. Payloads are kept in the pieces they came in, copied once."""

    def __init__(self, take: Callable[[bytes], None] | None = None) -> None:
        """``take`` is given stdout as it comes, in pieces, of any length in all; then none of it is kept."""
        self._header = b""
        self._kind = _STDOUT
        self._missing = 0
        """Bytes of the current packet that have not come."""
        self._parts: dict[int, list[bytes]] = {_STDOUT: [], _STDERR: [], _EXIT: []}
        self._keep: dict[int, Callable[[bytes], None]] = {kind: at.append for kind, at in self._parts.items()}
        self._taken_bytes = 0
        self._take = take
        if take is not None:
            self._keep[_STDOUT] = self._pass_on
        self.received_bytes = 0

    def feed(self, data: bytes) -> CommandOutput | None:
        """Add bytes; return the whole answer once its exit code is there. Raises ShellGarbledError."""
        self.received_bytes += len(data)
        if self.received_bytes - self._taken_bytes > OUTPUT_BYTES_MAX:
            raise ShellGarbledError(f"more than {OUTPUT_BYTES_MAX} bytes of output")
        position = 0
        while position < len(data):
            if self._missing:
                # A slice of the whole is the same object: the usual large piece is not copied at all.
                piece = data[position : position + self._missing]
                self._keep[self._kind](piece)
                self._missing -= len(piece)
                position += len(piece)
                if self._kind == _EXIT:
                    return self._whole()
            else:
                taken = data[position : position + _HEADER.size - len(self._header)]
                self._header += taken
                position += len(taken)
                if len(self._header) == _HEADER.size:
                    self._begin_packet()
        return None

    def _pass_on(self, piece: bytes) -> None:
        assert self._take is not None
        self._taken_bytes += len(piece)
        self._take(piece)

    def _begin_packet(self) -> None:
        self._kind, self._missing = _HEADER.unpack(self._header)
        self._header = b""
        if self._kind not in self._parts or self._missing > OUTPUT_BYTES_MAX:
            raise ShellGarbledError(f"packet of kind {self._kind} with {self._missing} bytes")
        if self._kind == _EXIT and self._missing != 1:
            raise ShellGarbledError(f"an exit code of {self._missing} bytes")

    def _whole(self) -> CommandOutput:
        stdout, stderr = b"".join(self._parts[_STDOUT]), b"".join(self._parts[_STDERR])
        return CommandOutput(stdout, stderr, self._parts[_EXIT][0][0])


async def run_shell(client: AdbClient, transport_id: int, command: str, stdin: bytes = b"") -> CommandOutput:
    """Run a command line on a transport; its whole answer, or AdbError.

    The command ends on the phone when this is cancelled: that is what shell,v2 is preferred for.
    """
    if not stdin:
        return await run_without_input(shell_of(client, transport_id, command))
    async with shell_of(client, transport_id, command) as connection:
        return await while_sending(
            lambda: _send_stdin(connection, stdin),
            lambda: _take_answer(connection),
        )


def shell_of(client: AdbClient, transport_id: int, command: str) -> Held:
    """Return the connection of a command line, to be opened."""
    return client.transport(transport_id, f"shell,v2,raw:{command}")


async def run_without_input(held: Held) -> CommandOutput:
    """Run the command of a connection; its whole answer, or AdbError."""
    async with held as connection:
        # Without this, a command that reads its input would wait for ever.
        await connection.send(_CLOSE)
        return await _take_answer(connection)


async def follow_shell(
    client: AdbClient, transport_id: int, command: str, take: Callable[[bytes], None]
) -> CommandOutput:
    """Run a command line and pass its stdout on as it comes; its stderr and exit code at its end, or AdbError.

    Its socket is none of those that steps share: it stays open for as long as somebody looks.
    """
    async with client.transport(transport_id, f"shell,v2,raw:{command}", counted=False) as connection:
        await connection.send(_CLOSE)
        return await _take_answer(connection, ShellAnswer(take))


async def _take_answer(connection: Connection, answer: ShellAnswer | None = None) -> CommandOutput:
    answer = answer or ShellAnswer()
    while data := await connection.receive():
        whole = answer.feed(data)
        if whole is not None:
            return whole
    raise AdbCutError("the connection ended before the exit code", answer.received_bytes)


async def _send_stdin(connection: Connection, stdin: bytes) -> None:
    for start in range(0, len(stdin), STDIN_CHUNK_BYTES):
        chunk = stdin[start : start + STDIN_CHUNK_BYTES]
        await connection.send(_HEADER.pack(_STDIN, len(chunk)) + chunk)
    await connection.send(_CLOSE)
