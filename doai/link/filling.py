"""How many facts fit the next frame, and the credit (step 11)."""

from __future__ import annotations

from collections import deque

import msgspec

from doai.messages.link import Record

_RECORD_OVERHEAD = 16
"""Bytes of array headers and seq around an envelope in a frame; 12 at most."""


class Filling(msgspec.Struct, frozen=True):
    """What one frame takes along."""

    records: list[Record]
    """At least one."""
    taken_bytes: int
    new_bytes: int
    """Of facts that were not sent before: these alone cost credit."""


def fill(
    buffer: deque[tuple[int, bytes]],
    *,
    counted_seq: int,
    credit_seq: int,
    left_bytes: int,
    records_max: int,
    frame_bytes_max: int,
) -> Filling:
    """Take what fits a frame off the buffer; its first fact goes in any case.

    ``counted_seq``: facts up to here were sent before. ``left_bytes`` of credit are left.
    """
    records: list[Record] = []
    size = taken_bytes = new_bytes = 0
    while buffer and len(records) < records_max:
        seq, envelope = buffer[0]
        length = len(envelope)
        new = length if seq > counted_seq else 0
        size += length + _RECORD_OVERHEAD
        if records and (seq > credit_seq or size > frame_bytes_max or (new and new_bytes + new > left_bytes)):
            break
        buffer.popleft()
        taken_bytes += length
        new_bytes += new
        records.append(Record(seq, msgspec.Raw(envelope)))
    return Filling(records, taken_bytes, new_bytes)
