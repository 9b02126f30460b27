"""The sync protocol, version 1: STAT, LIST, SEND, RECV, QUIT (way of a task: 9).

Format: AOSP `adb/SYNC.TXT`: a four-letter id, a little-endian 32-bit length, the bytes. Sans-IO.
"""

import struct

from doai.phone.files import FileError, FileSystem

_REQUEST = struct.Struct("<4sI")
_STAT = struct.Struct("<4sIII")
_DENT = struct.Struct("<4sIIII")
CHUNK_BYTES_MAX = 64 * 1024
"""Largest DATA chunk either side may send (SYNC.TXT)."""
PATH_BYTES_MAX = 1024
"""Longest path of a request (adbd's own limit)."""


class SyncSession:
    """One `sync:` stream: bytes in, bytes out. `finished` is true after QUIT or a broken request."""

    def __init__(self, files: FileSystem) -> None:
        self._files = files
        self._buffer = bytearray()
        self._target = ""
        self._mode = 0
        self._received: bytearray | None = None
        self.finished = False
        self.requests: list[str] = []
        """What was asked, such as `RECV /sdcard/a.png`, in order: for the journal."""

    def feed(self, data: bytes, now_s: int) -> bytes:
        """Takes bytes of the client and returns the answer; `now_s` is the phone's Unix time."""
        self._buffer += data
        answer = bytearray()
        while not self.finished and len(self._buffer) >= _REQUEST.size:
            name, length = _REQUEST.unpack_from(self._buffer)
            sending = self._received is not None
            size = 0 if sending and name == b"DONE" else length  # DONE carries a time instead of a length
            if size > (CHUNK_BYTES_MAX if sending else PATH_BYTES_MAX):
                return bytes(answer) + self._break_off("request too long")
            if len(self._buffer) < _REQUEST.size + size:
                break
            body = bytes(self._buffer[_REQUEST.size : _REQUEST.size + size])
            del self._buffer[: _REQUEST.size + size]
            if sending:
                answer += self._take_sent(name, body, length)
            else:
                answer += self._answer(name, body, now_s)
        return bytes(answer)

    def _answer(self, name: bytes, body: bytes, now_s: int) -> bytes:
        path = body.decode("utf-8", "replace")
        self.requests.append(f"{name.decode('ascii', 'replace')} {path}".strip())
        if name == b"QUIT":
            self.finished = True
            return b""
        if name == b"STAT":
            entry = self._files.stat(path)
            return _STAT.pack(b"STAT", entry.mode, entry.size_bytes, entry.modified_at_s)
        if name == b"LIST":
            return self._list(path)
        if name == b"RECV":
            return self._send_file(path)
        if name == b"SEND":
            self._target, _, mode = path.rpartition(",")
            self._mode = int(mode) if mode.isascii() and mode.isdigit() else 0o100644
            self._received = bytearray()
            return b""
        return self._break_off(f"unknown command {name!r}")

    def _list(self, path: str) -> bytes:
        parts = []
        for entry in self._files.entries(path):
            name = entry.name.encode()
            parts.append(_DENT.pack(b"DENT", entry.mode, entry.size_bytes, entry.modified_at_s, len(name)) + name)
        return b"".join(parts) + _DENT.pack(b"DONE", 0, 0, 0, 0)

    def _send_file(self, path: str) -> bytes:
        try:
            data = self._files.read(path)
        except FileError as error:
            return _fail(f"open failed: {error}")
        chunks = [data[start : start + CHUNK_BYTES_MAX] for start in range(0, len(data), CHUNK_BYTES_MAX)]
        parts = [_REQUEST.pack(b"DATA", len(chunk)) + chunk for chunk in chunks]
        return b"".join(parts) + _REQUEST.pack(b"DONE", 0)

    def _take_sent(self, name: bytes, body: bytes, modified_at_s: int) -> bytes:
        assert self._received is not None
        if name == b"DATA":
            self._received += body
            return b""
        if name != b"DONE":
            return self._break_off(f"expected DATA or DONE, got {name!r}")
        data, self._received = bytes(self._received), None
        try:
            folder = self._target.rpartition("/")[0] or "/"
            self._files.make_folder(folder, parents=True)
            self._files.write(self._target, data, modified_at_s, mode=self._mode)
        except FileError as error:
            return _fail(f"couldn't create file: {error}")
        return _REQUEST.pack(b"OKAY", 0)

    def _break_off(self, reason: str) -> bytes:
        self.finished = True
        return _fail(reason)


def _fail(reason: str) -> bytes:
    text = reason.encode()
    return _REQUEST.pack(b"FAIL", len(text)) + text
