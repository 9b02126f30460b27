"""The sync protocol, without a socket."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from doai.phone.faults import FaultBook
from doai.phone.files import FileSystem
from doai.phone.sync import SyncSession


def request(name: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", name, len(body)) + body


@given(st.binary(max_size=2000), st.integers(1, 700))
def test_what_is_sent_is_received(data: bytes, piece: int) -> None:
    files = FileSystem(FaultBook())
    session = SyncSession(files)
    wire = request(b"SEND", b"/sdcard/a,33188") + request(b"DATA", data) + struct.pack("<4sI", b"DONE", 1234)
    answer = b"".join(session.feed(wire[at : at + piece], 0) for at in range(0, len(wire), piece))
    assert answer == struct.pack("<4sI", b"OKAY", 0)
    assert files.stat("/sdcard/a").modified_at_s == 1234
    received = session.feed(request(b"RECV", b"/sdcard/a"), 0)
    expected = request(b"DATA", data) if data else b""
    assert received == expected + struct.pack("<4sI", b"DONE", 0)
    assert session.requests == ["SEND /sdcard/a,33188", "RECV /sdcard/a"]


@given(st.binary(max_size=200))
def test_garbage_ends_the_session_or_waits(data: bytes) -> None:
    session = SyncSession(FileSystem(FaultBook()))
    answer = session.feed(data, 0)
    assert not answer or answer[:4] in (b"FAIL", b"STAT", b"DENT", b"DONE", b"OKAY", b"DATA")


def test_stat_list_quit() -> None:
    session = SyncSession(FileSystem(FaultBook()))
    assert session.feed(request(b"STAT", b"/none"), 0) == struct.pack("<4sIII", b"STAT", 0, 0, 0)
    listing = session.feed(request(b"LIST", b"/sdcard"), 0)
    assert b"Download" in listing
    assert listing.endswith(struct.pack("<4sIIII", b"DONE", 0, 0, 0, 0))
    assert session.feed(request(b"RECV", b"/none"), 0).startswith(b"FAIL")
    session.feed(request(b"QUIT", b""), 0)
    assert session.finished
