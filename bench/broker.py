"""broker: CPU of a task's life in the broker's core and store alone, against bare executemany of the same rows.

One process, no sockets: the figure that another load of the machine changes least. In runs of 100 devices and of
one; the nodes tell the facts of one task a frame, or of twenty. Rounds alternate, medians count.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from bench.broker_alone import BrokerAlone, Spent
from bench.report import Line
from bench.store_floor import Floor, measure_floor
from bench.store_view import open_store_view

TASKS: Final = 2_000
ROUNDS: Final = 3
SHAPES: Final = ((100, 20), (100, 1), (1, 20))
"""Devices a run, tasks whose facts come in one frame."""
US: Final = 1e6


class Measured(msgspec.Struct, frozen=True):
    """One round of one shape."""

    spent: Spent
    floor: Floor


def run() -> Iterator[Line]:
    """Yield the CPU a task of each shape; takes some 15 s."""
    rounds = [[measure(TASKS, *shape) for shape in SHAPES] for _ in range(ROUNDS)]
    for shape, measured in zip(SHAPES, zip(*rounds, strict=True), strict=True):
        yield from lines(*shape, list(measured))


def measure(tasks: int, per_run: int, per_frame: int) -> Measured:
    """Let so many tasks live in a store of their own; every count is checked."""
    with tempfile.TemporaryDirectory(prefix="doai-bench-") as name:
        folder = Path(name)
        broker = BrokerAlone(folder / "broker.db")
        try:
            warm = len(broker.serials)
            broker.run(warm, warm, per_frame)
            position = broker.last_position
            gc.collect()
            spent = broker.run(tasks, per_run, per_frame)
        finally:
            broker.close()
        with open_store_view(folder / "broker.db") as store:
            store.verify(tasks + warm, -(-tasks // per_run) + 1)
            return Measured(spent, measure_floor(store, position, folder))


def lines(per_run: int, per_frame: int, rounds: list[Measured]) -> Iterator[Line]:
    """Yield the lines of one shape."""
    name = f"broker.runs_of_{per_run}.frames_of_{per_frame}"
    floor_us = statistics.median(each.floor.cpu_s / each.floor.tasks for each in rounds) * US
    rows = rounds[0].floor.rows_a_task
    parts = {
        "cpu": [each.spent.decide_s + each.spent.commit_s for each in rounds],
        "decide": [each.spent.decide_s for each in rounds],
        "commit": [each.spent.commit_s for each in rounds],
    }
    for part, seconds in parts.items():
        cpu_us = statistics.median(seconds) / rounds[0].spent.tasks * US
        is_total = part == "cpu"
        yield Line(
            name=f"{name}.{part}",
            value=round(cpu_us, 2),
            unit="us/task",
            ratio=round(floor_us / cpu_us, 4) if is_total and cpu_us else None,
            against=f"bare executemany of the same {rows:.1f} rows: {floor_us:.4g} us/task" if is_total else "",
        )
