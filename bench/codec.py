"""codec: a frame's header and envelope, out and in, against msgspec's bare floor, and against JSON of the same.

The floor is the same message as a plain Struct by a bare msgspec encoder or decoder, without doai's types around
it; of the header it is a bare `struct`. Everything is measured in turn within one run, medians count.
"""

from __future__ import annotations

import statistics
import struct
import time
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from bench.report import Line
from doai.codec import BodyDecoder, Kind, encode, pack_header, raw, unpack_header
from doai.envelope import Envelope, JsonEnvelope, to_json
from doai.ids import Token
from doai.messages.events import StepCompleted

CALLS: Final = 20_000
ROUNDS: Final = 7
_HEADER: Final = struct.Struct("!BBHIQQQ")
Subject = Callable[[], object]


class BareEnvelope(msgspec.Struct, array_like=True):
    """The same fields as an `Envelope`, and nothing else."""

    event_id: str
    type: str
    subject: str
    source: str
    trace_id: str
    occurred_at_ms: int
    payload: msgspec.Raw
    causation_id: str | None = None
    schema_version: int = 1
    idempotency_key: str | None = None
    actor: str | None = None
    interface: str | None = None
    origin: str | None = None


def run() -> Iterator[Line]:
    """Yield us a call of each part beside its floor; takes some 10 s."""
    yield from lines(measure(CALLS, ROUNDS))


def measure(calls: int, rounds: int) -> dict[str, list[float]]:
    """Return us a call of each subject, one figure a round; the first round warms up and does not count."""
    found: dict[str, list[float]] = {}
    for turn in range(rounds + 1):
        for name, subject in subjects().items():
            began = time.process_time()
            for _ in range(calls):
                subject()
            if turn:
                found.setdefault(name, []).append((time.process_time() - began) / calls * 1e6)
    return found


def lines(found: dict[str, list[float]]) -> Iterator[Line]:
    """Yield one line a part, with its ratio to the floor, and one with its ratio to JSON where there is one."""
    for part in ("header.out", "header.in", "envelope.out", "envelope.in"):
        value = statistics.median(found[part])
        for other in ("bare", "json"):
            if f"{part}.{other}" not in found:
                continue
            reference = statistics.median(found[f"{part}.{other}"])
            yield Line(
                name=f"codec.{part}" if other == "bare" else f"codec.{part}.to_{other}",
                value=round(value, 4),
                unit="us/call",
                ratio=round(reference / value, 3) if value else None,
                against=f"{'bare floor' if other == 'bare' else 'JSON'}: {reference:.4g} us/call",
            )


def subjects() -> dict[str, Subject]:
    """Return what is compared: part -> ours, part.bare -> the floor, part.json -> the same as JSON."""
    ours = _envelope()
    bare = BareEnvelope(**{name: getattr(ours, name) for name in BareEnvelope.__struct_fields__})
    bare_encode, bare_decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(BareEnvelope).decode
    json_encode, json_decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(JsonEnvelope).decode
    body, text, header = encode(ours), json_encode(to_json(ours)), pack_header(Kind.RECORDS, ack=7)
    ours_decode = BodyDecoder(Envelope)
    return {
        "header.out": lambda: pack_header(Kind.RECORDS, ack=7, credit_seq=8, credit_bytes=9),
        "header.out.bare": lambda: _HEADER.pack(1, 3, 0, 0, 7, 8, 9),
        "header.in": lambda: unpack_header(header),
        "header.in.bare": lambda: _HEADER.unpack(header),
        "envelope.out": lambda: encode(ours),
        "envelope.out.bare": lambda: bare_encode(bare),
        "envelope.out.json": lambda: json_encode(to_json(ours)),
        "envelope.in": lambda: ours_decode(body),
        "envelope.in.bare": lambda: bare_decode(body),
        "envelope.in.json": lambda: json_decode(text),
    }


def _envelope() -> Envelope:
    task_id = "01HF7YAT0000000000000000AB"
    step = StepCompleted(
        task_id=task_id,
        run_id=task_id,
        token=Token(1, 77),
        device_serial="R58M000001",
        step_id="open_app",
        try_number=1,
        duration_ms=1234,
        outputs={"stdout": "Starting: Intent { act=android.intent.action.MAIN }", "exit_code": 0},
    )
    return Envelope(
        event_id=task_id,
        type="step.completed",
        subject=f"task/{task_id}",
        source="node-1/main",
        trace_id="ab" * 16,
        occurred_at_ms=1_700_000_000_000,
        payload=raw(step),
    )
