"""The sync protocol, version 1: files to and from a device, cancellable at any byte (step 9).

Format: AOSP `adb/SYNC.TXT`: a four-letter id, a little-endian 32-bit length, the bytes.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from doai.drivers.adb.client import AdbClient, AdbCutError, AdbError, Connection, while_sending

_HEADER: Final = struct.Struct("<4sI")
CHUNK_BYTES_MAX: Final = 64 * 1024
"""Largest DATA chunk (SYNC.TXT)."""
PATH_BYTES_MAX: Final = 1024
"""Longest path that adbd takes."""
FILE_BYTES_MAX: Final = 256 * 1024 * 1024
"""Largest file that is pulled into memory."""


class SyncRefusedError(AdbError):
    """The device answered FAIL; the text is its own, e.g. ``No space left on device``."""


async def push_file(
    client: AdbClient,
    transport_id: int,
    data: AsyncGenerator[bytes, None],
    path: str,
    *,
    mode: int,
    modified_at_s: int,
) -> None:
    """Write a file; ``mode`` are permission bits, ``modified_at_s`` Unix seconds.

    Raises AdbError, and OSError of ``data``.
    """
    async with client.transport(transport_id, "sync:") as connection:
        await connection.send(_request(b"SEND", f"{path},{stat.S_IFREG | stat.S_IMODE(mode)}"))
        await while_sending(
            lambda: _send_chunks(connection, data, modified_at_s),
            # The device may refuse while we still send (no space left): listen all the time.
            lambda: _take_verdict(connection),
        )


async def _send_chunks(connection: Connection, data: AsyncGenerator[bytes, None], modified_at_s: int) -> None:
    # A refusal ends this in the middle: the file behind the generator must be closed then, not some time later.
    async with aclosing(data):
        async for block in data:
            for start in range(0, len(block), CHUNK_BYTES_MAX):
                chunk = block[start : start + CHUNK_BYTES_MAX]
                await connection.send(_HEADER.pack(b"DATA", len(chunk)) + chunk)
    await connection.send(_HEADER.pack(b"DONE", modified_at_s & 0xFFFFFFFF))


async def _take_verdict(connection: Connection) -> None:
    kind, length = _HEADER.unpack(await connection.receive_exactly(_HEADER.size))
    if kind == b"FAIL":
        raise SyncRefusedError(await _reason(connection, length))
    if kind != b"OKAY":
        raise AdbCutError(f"the device answered {kind!r} to a file")


async def pull_file(client: AdbClient, transport_id: int, remote_path: str) -> bytes:
    """Read a whole file. Raises AdbError."""
    parts: list[bytes] = []
    total = 0
    async with client.transport(transport_id, "sync:") as connection:
        await connection.send(_request(b"RECV", remote_path))
        while True:
            try:
                kind, length = _HEADER.unpack(await connection.receive_exactly(_HEADER.size))
                if kind == b"DONE":
                    return b"".join(parts)
                if kind == b"FAIL":
                    raise SyncRefusedError(await _reason(connection, length))
                if kind != b"DATA" or length > CHUNK_BYTES_MAX:
                    raise AdbCutError(f"the device sent {kind!r} with {length} bytes inside a file")
                parts.append(await connection.receive_exactly(length))
            except AdbCutError as error:
                raise AdbCutError(str(error), total + error.received_bytes) from None
            total += length
            if total > FILE_BYTES_MAX:
                raise SyncRefusedError(f"the file is larger than {FILE_BYTES_MAX} bytes")


def _request(kind: bytes, text: str) -> bytes:
    path = text.encode()
    if len(path) > PATH_BYTES_MAX:
        raise SyncRefusedError(f"the path has {len(path)} bytes, at most {PATH_BYTES_MAX} are possible")
    return _HEADER.pack(kind, len(path)) + path


async def _reason(connection: Connection, length: int) -> str:
    text = await connection.receive_exactly(min(length, PATH_BYTES_MAX * 4))
    return text.decode("utf-8", "replace")
