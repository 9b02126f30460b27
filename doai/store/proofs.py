"""What the newest heartbeats prove of nodes and devices (step 14)."""

from __future__ import annotations

from typing import Any, Final

from doai.changes.rows import SampleRow
from doai.codec import BodyDecoder
from doai.messages.link import DeviceProof, Heartbeat
from doai.store.read_connections import Answer

_decode_heartbeat: Final = BodyDecoder(Heartbeat)


def sample_row(c: tuple[Any, ...]) -> SampleRow:
    """Return a row of ``samples``."""
    return SampleRow(name=c[0], instance=c[1], received_at_ms=c[2], body=c[3])


def newest_samples(answer: Answer) -> dict[str, SampleRow]:
    """Return them by name; the answer is ordered by time, so the last one of a name is its newest."""
    return {c[0]: sample_row(c) for c in answer}


def newest_proofs(answer: Answer, node_ids: set[str]) -> dict[tuple[str, str], tuple[int, DeviceProof]]:
    """Return when each device of these nodes was last told of, and what of it, by node and serial."""
    proofs: dict[tuple[str, str], tuple[int, DeviceProof]] = {}
    for node_id, sample in newest_samples(answer).items():
        if node_id in node_ids:
            heartbeat: Heartbeat = _decode_heartbeat(sample.body)
            for proof in heartbeat.devices:
                proofs[node_id, proof.serial] = (sample.received_at_ms, proof)
    return proofs


def age(age_s: float) -> float | None:
    """Return an age in seconds; None for one that was not told."""
    return None if age_s < 0 else age_s
