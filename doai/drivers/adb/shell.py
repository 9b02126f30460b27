"""The shell protocol v2: stdin, stdout, stderr and the exit code in one stream (step 9).

Format: AOSP `adb/shell_protocol.h`: one byte of kind, a little-endian 32-bit length, the bytes. Written apart from
the simulated phone's own, so that a mistake in one is seen by the other.
"""

from __future__ import annotations

import struct
from typing import Final

from doai.drivers.adb.client import AdbClient, AdbCutError, AdbError, Connection, while_sending
from doai.drivers.base import CommandOutput

_HEADER: Final = struct.Struct("<BI")
_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
STDIN_CHUNK_BYTES: Final = 32 * 1024
"""Every adbd takes packets of this size."""
OUTPUT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Output of one command that is kept in memory; the largest screenshots are a few MB.
A packet that announces more is nonsense, not a reason to wait."""


class ShellGarbledError(AdbError):
    """The device sent something that is no shell packet, or more than fits."""


class ShellAnswer:
    """Collects the packets of one command; sans-IO."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._stdout: list[bytes] = []
        self._stderr: list[bytes] = []
        self.received_bytes = 0

    def feed(self, data: bytes) -> CommandOutput | None:
        """Add bytes; return the whole answer once its exit code is there. Raises ShellGarbledError."""
        self.received_bytes += len(data)
        if self.received_bytes > OUTPUT_BYTES_MAX:
            raise ShellGarbledError(f"more than {OUTPUT_BYTES_MAX} bytes of output")
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(buffer)
            if kind not in (_STDOUT, _STDERR, _EXIT) or length > OUTPUT_BYTES_MAX:
                raise ShellGarbledError(f"packet of kind {kind} with {length} bytes")
            end = _HEADER.size + length
            if len(buffer) < end:
                return None
            payload = bytes(memoryview(buffer)[_HEADER.size : end])
            del buffer[:end]
            if kind == _EXIT:
                if length != 1:
                    raise ShellGarbledError(f"an exit code of {length} bytes")
                return CommandOutput(b"".join(self._stdout), b"".join(self._stderr), payload[0])
            (self._stdout if kind == _STDOUT else self._stderr).append(payload)
        return None


async def run_shell(client: AdbClient, transport_id: int, command: str, stdin: bytes = b"") -> CommandOutput:
    """Run a command line on a transport; its whole answer, or AdbError.

    The command ends on the phone when this is cancelled: that is what shell,v2 is preferred for.
    """
    async with client.transport(transport_id, f"shell,v2,raw:{command}") as connection:
        if not stdin:
            # Without this, a command that reads its input would wait for ever.
            await connection.send(_HEADER.pack(_CLOSE_STDIN, 0))
            return await _take_answer(connection)
        return await while_sending(
            lambda: _send_stdin(connection, stdin),
            lambda: _take_answer(connection),
        )


async def _take_answer(connection: Connection) -> CommandOutput:
    answer = ShellAnswer()
    while data := await connection.receive():
        whole = answer.feed(data)
        if whole is not None:
            return whole
    raise AdbCutError("the connection ended before the exit code", answer.received_bytes)


async def _send_stdin(connection: Connection, stdin: bytes) -> None:
    for start in range(0, len(stdin), STDIN_CHUNK_BYTES):
        chunk = stdin[start : start + STDIN_CHUNK_BYTES]
        await connection.send(_HEADER.pack(_STDIN, len(chunk)) + chunk)
    await connection.send(_HEADER.pack(_CLOSE_STDIN, 0))
