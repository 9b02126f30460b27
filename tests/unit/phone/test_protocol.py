"""Framing of ADB messages: what is encoded is parsed, garbage never crashes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.phone.protocol import (
    HEADER,
    Command,
    Message,
    MessageParser,
    ProtocolError,
    banner,
    checksum,
    encode,
)

WORD = st.integers(0, 2**32 - 1)
MESSAGES = st.lists(st.builds(Message, st.sampled_from(Command), WORD, WORD, st.binary(max_size=300)), max_size=6)


def parse_all(parser: MessageParser, data: bytes) -> list[Message]:
    parser.feed(data)
    found = []
    while (message := parser.next_message()) is not None:
        found.append(message)
    return found


@given(MESSAGES, st.integers(1, 64))
def test_round_trip_in_any_pieces(messages: list[Message], piece: int) -> None:
    data = b"".join(encode(message) for message in messages)
    parser, found = MessageParser(), []
    for start in range(0, len(data), piece):
        found += parse_all(parser, data[start : start + piece])
    assert found == messages


@given(st.binary(max_size=400))
def test_garbage_is_a_protocol_error_or_incomplete(data: bytes) -> None:
    try:
        parse_all(MessageParser(), data)
    except ProtocolError as error:
        assert error.raw == data[: HEADER.size]


def test_checksums_follow_the_version() -> None:
    bad = HEADER.pack(Command.WRTE, 1, 2, 1, 99, Command.WRTE ^ 0xFFFFFFFF) + b"x"
    with pytest.raises(ProtocolError, match="checksum"):
        parse_all(MessageParser(), bad)
    relaxed = MessageParser()
    relaxed.verify_checksum = False
    assert parse_all(relaxed, bad) == [Message(Command.WRTE, 1, 2, b"x")]
    assert HEADER.unpack(encode(Message(Command.WRTE, payload=b"ab"))[:24])[4] == checksum(b"ab") == 195
    assert HEADER.unpack(encode(Message(Command.WRTE, payload=b"ab"), with_checksum=False)[:24])[4] == 0


def test_a_payload_too_large_is_refused_before_it_is_buffered() -> None:
    parser = MessageParser(payload_bytes_max=10)
    parser.feed(HEADER.pack(Command.WRTE, 0, 0, 11, 0, Command.WRTE ^ 0xFFFFFFFF))
    with pytest.raises(ProtocolError, match="11 bytes"):
        parser.next_message()


def test_banner() -> None:
    assert banner({"ro.product.model": "X"}, ("cmd", "shell_v2")) == (
        b"device::ro.product.model=X;features=cmd,shell_v2"
    )
