"""Bytes to meaning: any bytes give a value or a DecodeError that keeps them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.codec import HEADER_BYTES, BodyDecoder, Kind, decode, encode, pack_header, raw, unpack_header
from doai.envelope import Envelope, to_json
from doai.errors import DecodeError
from doai.messages.catalogue import BODIES
from doai.messages.commands import CreateRun, TargetKind, Targets

u64 = st.integers(0, 2**64 - 1)
DECODERS = [BodyDecoder(body) for body in BODIES.values() if body is not None]


@given(st.sampled_from(Kind), st.integers(0, 2**32 - 1), u64, u64, u64)
def test_header_round_trip(kind: Kind, channel: int, ack: int, credit_seq: int, credit_bytes: int) -> None:
    data = pack_header(kind, channel=channel, ack=ack, credit_seq=credit_seq, credit_bytes=credit_bytes)
    header = unpack_header(data)
    assert len(data) == HEADER_BYTES
    assert (header.kind, header.channel, header.ack) == (kind, channel, ack)
    assert (header.credit_seq, header.credit_bytes) == (credit_seq, credit_bytes)


@given(st.binary(max_size=80))
def test_any_header_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        assert unpack_header(data).version == 1
    except DecodeError as error:
        assert error.data in (data, data[:64])


@given(st.binary(max_size=300), st.sampled_from(DECODERS))
def test_any_body_bytes_are_read_or_refused(data: bytes, decoder: BodyDecoder) -> None:
    try:
        decoder(data)
    except DecodeError as error:
        assert error.data == data


@given(
    st.lists(
        st.one_of(st.integers(-(2**63), 2**64 - 1), st.text(max_size=5), st.lists(st.booleans(), max_size=2)),
        max_size=20,
    )
)
def test_several_bodies_are_read_as_each_alone(values: list[object]) -> None:
    bodies = [encode(value) for value in values]
    found = BodyDecoder(int).each(bodies)
    assert [value if isinstance(value, int) else DecodeError for value in values] == [
        DecodeError if isinstance(one, DecodeError) else one for one in found
    ]
    assert [one.data for one in found if isinstance(one, DecodeError)] == [
        body for body, value in zip(bodies, values, strict=True) if not isinstance(value, int)
    ]


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(DecodeError):
        decode(b"\x91" * 100_000, list[object])


def test_unknown_fields_are_ignored_and_keys_are_camel_case() -> None:
    command = CreateRun(workflow="w@1", targets=Targets(kind=TargetKind.ALL), expires_in_s=3.0)
    fields = msgspec.msgpack.decode(encode(command))
    assert fields["expiresInS"] == 3.0
    fields["addedLater"] = {"by": "a newer peer"}
    assert decode(encode(fields), CreateRun) == command


def test_the_json_form_of_an_envelope() -> None:
    envelope = Envelope(
        event_id="E",
        type="task.started",
        subject="task/T",
        source="node-1/main",
        trace_id="a" * 32,
        occurred_at_ms=1_763_712_000_123,
        payload=raw({"taskId": "T"}),
        idempotency_key="K",
    )
    assert decode(encode(envelope), Envelope) == envelope
    fields = msgspec.json.decode(msgspec.json.encode(to_json(envelope, 7)))
    assert fields == {
        "eventId": "E",
        "type": "task.started",
        "subject": "task/T",
        "source": "node-1/main",
        "traceId": "a" * 32,
        "occurredAt": "2025-11-21T08:00:00.123000Z",
        "payload": {"taskId": "T"},
        "position": 7,
        "idempotencyKey": "K",
    }
