"""Event rows by the size of a commit: the broker's writer and bare executemany in turn, into one and the same file.

Each row has an envelope of its own; the bare side has its rows made beforehand. Serves `bin/bench store`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import apsw
import msgspec

from bench.report import Line, compared
from doai.changes.ops import AppendEvent
from doai.codec import encode, raw
from doai.envelope import Envelope
from doai.ids import RandomIds, Token
from doai.store.database import BROKER, Database
from doai.store.sql_files import load_statements
from doai.store.sqlite_writer import open_writer

BATCHES: Final = (1, 16, 128, 1024)
COMMITS: Final = 100
"""At most; of large ones as many as EVENTS fill."""
EVENTS: Final = 6400
NOW_MS: Final = 1_700_000_000_000


class Spent(msgspec.Struct):
    """What one side needed, a figure a round."""

    rates: list[float]
    """Rows a second."""
    cpu_us: list[float]
    """A row."""


Found = dict[int, tuple[Spent, Spent]]
"""Events a commit -> writer, bare executemany."""


def measure(path: Path, batches: Sequence[int], rounds: int, commits: int = COMMITS) -> Found:
    """Write events into a file, in commits of each size, by both sides in turn; the first round warms up."""
    found: Found = {batch: (Spent([], []), Spent([], [])) for batch in batches}
    ids = RandomIds(random.Random(1).getrandbits)
    position = 0
    for turn in range(rounds + 1):
        for batch, sides in found.items():
            count = min(EVENTS, batch * commits)
            for spent, write in zip(sides, (_write, _write_bare), strict=True):
                events = [_event(ids, number) for number in range(position + 1, position + count + 1)]
                position += count
                seconds, cpu_s = write(path, [events[first : first + batch] for first in range(0, count, batch)])
                if turn:
                    spent.rates.append(count / seconds)
                    spent.cpu_us.append(cpu_s / count * 1e6)
    return found


def lines(found: Found) -> Iterator[Line]:
    """Yield rows a second and CPU a row, each size against bare executemany."""
    for batch, (ours, bare) in found.items():
        name, against = f"store.events_{batch}", "bare executemany on the same file"
        yield compared(f"{name}.rows", "rows/s", ours.rates, bare.rates, against, "more")
        yield compared(f"{name}.cpu", "us/row", ours.cpu_us, bare.cpu_us, against, "less")


def _write(path: Path, batches: list[list[AppendEvent]]) -> tuple[float, float]:
    writer = open_writer(path, new_store_id="bench", now_ms=NOW_MS)
    try:
        began, cpu = time.perf_counter(), time.process_time()
        for batch in batches:
            writer.commit(batch)
        return time.perf_counter() - began, time.process_time() - cpu
    finally:
        writer.close()


def _write_bare(path: Path, batches: list[list[AppendEvent]]) -> tuple[float, float]:
    sql = load_statements("broker", "columns", "statements")["append_event"]
    prepared = [[_row(event) for event in batch] for batch in batches]
    database = Database(path, BROKER)
    try:
        began, cpu = time.perf_counter(), time.process_time()
        for rows in prepared:

            def work(connection: apsw.Connection, rows: list[tuple[object, ...]] = rows) -> None:
                connection.executemany(sql, rows)

            database.transact(work)
        return time.perf_counter() - began, time.process_time() - cpu
    finally:
        database.close()


def _row(event: AppendEvent) -> tuple[object, ...]:
    envelope = event.envelope
    return event.position, envelope.subject, envelope.type, event.recorded_at_ms, encode(envelope)


def _event(ids: RandomIds, position: int) -> AppendEvent:
    task_id = ids.new_id(NOW_MS + position)
    told = {"taskId": task_id, "token": Token(1, position), "deviceSerial": f"device-{position % 100}"}
    envelope = Envelope(
        event_id=ids.new_id(NOW_MS + position),
        type="task.dispatched",
        subject=f"task/{task_id}",
        source="broker/1",
        trace_id="ab" * 16,
        occurred_at_ms=NOW_MS,
        payload=raw(told),
    )
    return AppendEvent(position, envelope, NOW_MS)
