"""link: facts from the outboxes of nodes into the broker's log, durable on both sides, against bare executemany.

A real broker with CURVE and FULL; the node side is the real link, outbox file and dealer. The outboxes are filled
before; what counts begins with the last look at a log without facts, and ends when the last one is there. The
bare side writes the same rows of the log, read back from the store, 256 a commit, into a file with the same schema
and settings.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec
import trio

from bench.link_node import Settings
from bench.mesh_client import open_mesh_client
from bench.programs import broker_settings, cpu_s, start_program
from bench.report import ROOT, Line
from bench.store_view import CountsWrong, StoreView, open_store_view
from doai.cli.child import Child
from doai.limits import WAL_BYTES_MAX
from doai.messages.commands import ADD_KEY, AddKey
from doai.store.database import BROKER, Database
from doai.store.sql_files import load_statements
from doai.wire.keys import load_or_make_keypair

NODES: Final = (1, 16, 100)
FACTS: Final = 192_000
"""Of all nodes together; more where each would have fewer than `FACTS_A_NODE`."""
FACTS_A_NODE: Final = 2_000
"""A connection and its first frames cost 3 ms, which is not what is measured here."""
ROUNDS: Final = 3
BARE_ROUNDS: Final = 5
"""It is over in a moment: one alone would measure what else the machine did then."""
GOAL_ROWS: Final = 0.6
PROCESSES: Final = 2
BATCH: Final = 256
LOOK_S: Final = 0.01
WITHIN_S: Final = 120.0
_ROW: Final = "SELECT position, subject, type, recorded_at_ms, envelope FROM events WHERE position > ? ORDER BY 1"


class Measured(msgspec.Struct, frozen=True):
    """What one round came to; CPU is of the broker, or of the bare writer."""

    facts: int
    rate: float
    """Facts a second, between the first and the last in the log."""
    cpu_us: float
    nodes_cpu_us: float
    """Of the node side, from the first connection to the last ack."""
    bare_rate: float
    bare_cpu_us: float


def run() -> Iterator[Line]:
    """Yield rows a second and CPU a row for one node and for many; takes some two minutes."""
    for nodes in NODES:
        rounds = [trio.run(measure, nodes, max(FACTS, FACTS_A_NODE * nodes)) for _ in range(ROUNDS)]
        yield from lines(nodes, rounds)


def lines(nodes: int, rounds: list[Measured]) -> Iterator[Line]:
    """Yield the lines of some rounds: the medians, and the median of the ratios of each round."""
    name = f"link.nodes_{nodes}"
    bare_rate = statistics.median(each.bare_rate for each in rounds)
    yield Line(
        name=f"{name}.rows",
        value=round(statistics.median(each.rate for each in rounds), 1),
        unit="rows/s",
        ratio=round(statistics.median(each.rate / each.bare_rate for each in rounds), 3),
        against=f"bare executemany: {bare_rate:.6g} rows/s",
        goal=GOAL_ROWS,
    )
    bare_cpu_us = statistics.median(each.bare_cpu_us for each in rounds)
    yield Line(
        name=f"{name}.broker_cpu",
        value=round(statistics.median(each.cpu_us for each in rounds), 2),
        unit="us/row",
        ratio=round(statistics.median(each.bare_cpu_us / each.cpu_us for each in rounds), 3),
        against=f"bare executemany: {bare_cpu_us:.4g} us/row",
    )
    nodes_cpu_us = statistics.median(each.nodes_cpu_us for each in rounds)
    yield Line(name=f"{name}.nodes_cpu", value=round(nodes_cpu_us, 2), unit="us/row")


async def measure(nodes: int, facts: int) -> Measured:
    """Let nodes tell so many facts in all, check that each is in the log once, and write the same rows bare."""
    each = facts // nodes
    with tempfile.TemporaryDirectory(prefix="doai-bench-") as name:
        folder = Path(name)
        children: dict[str, Child] = {}
        try:
            broker = await start_program(children, folder, "broker", broker_settings(folder))
            names = [f"node-{number:02d}" for number in range(nodes)]
            await _let_in(broker, folder, names)
            with open_store_view(folder / "broker" / "broker.db") as store:
                async with _node_processes(broker, folder, names, each) as processes:
                    begin = store.last_position()
                    nodes_cpu_s = -_cpu_s(processes)
                    for process in processes:
                        await process.stdin.send_all(b"go\n")  # type: ignore[union-attr]
                    rate, cpu_us = await _watch(store, broker.pid, begin, each * nodes)
                    for process in processes:
                        await _line(process, b"done")
                    nodes_cpu_s += _cpu_s(processes)
                rows = store.rows(_ROW, (begin,))
                verify(store, rows, names, each)
        finally:
            with trio.CancelScope(shield=True):
                for child in children.values():
                    await child.stop()
        bare = [write_bare(folder / f"bare-{number}.db", rows) for number in range(BARE_ROUNDS)]
        bare_rate, bare_cpu_us = (statistics.median(figures) for figures in zip(*bare, strict=True))
    nodes_cpu_us = nodes_cpu_s / len(rows) * 1e6
    return Measured(each * nodes, rate, cpu_us, nodes_cpu_us, bare_rate, bare_cpu_us)


def _cpu_s(processes: list[trio.Process]) -> float:
    return sum(cpu_s(process.pid) for process in processes)


async def _let_in(broker: Child, folder: Path, names: list[str]) -> None:
    admin = load_or_make_keypair(folder / "broker" / "keys" / "admin.key")
    async with open_mesh_client(
        broker.ready["X_DOAI_ENDPOINT"], admin, broker.ready["X_DOAI_PUBLIC_KEY"]
    ) as client:
        for name in names:
            public = load_or_make_keypair(folder / name / "keys" / "node.key").public
            await client.command(ADD_KEY, AddKey(name=name, role="node", public_key=public))


@asynccontextmanager
async def _node_processes(
    broker: Child, folder: Path, names: list[str], facts: int
) -> AsyncIterator[list[trio.Process]]:
    """Yield processes whose nodes are ready to begin; they are gone at the end of the block."""
    async with trio.open_nursery() as nursery:
        processes: list[trio.Process] = []
        for number in range(min(PROCESSES, len(names))):
            settings = Settings(
                folder=str(folder),
                endpoint=broker.ready["X_DOAI_ENDPOINT"],
                server_key=broker.ready["X_DOAI_PUBLIC_KEY"],
                names=names[number::PROCESSES],
                facts=facts,
            )
            command = [sys.executable, "-m", "bench.link_node"]
            process: trio.Process = await nursery.start(
                partial(trio.run_process, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
            )
            processes.append(process)
            await process.stdin.send_all(msgspec.json.encode(settings) + b"\n")  # type: ignore[union-attr]
        for process in processes:
            await _line(process, b"ready")
        yield processes
        nursery.cancel_scope.cancel()


async def _line(process: trio.Process, wanted: bytes) -> None:
    assert process.stdout is not None
    with trio.fail_after(WITHIN_S):
        said = await process.stdout.receive_some(100)
    if said.strip() != wanted:
        raise CountsWrong(f"the nodes said {said!r} instead of {wanted!r}: look at their errors above")


async def _watch(store: StoreView, broker_pid: int, begin: int, facts: int) -> tuple[float, float]:
    """Return rows a second and us of the broker's CPU a row, from the last look at an empty log to all rows."""
    began, began_cpu = time.perf_counter(), cpu_s(broker_pid)
    with trio.fail_after(WITHIN_S):
        while (there := _told(store, begin)) < facts:
            if not there:
                began, began_cpu = time.perf_counter(), cpu_s(broker_pid)
            await trio.sleep(LOOK_S)
    return facts / (time.perf_counter() - began), (cpu_s(broker_pid) - began_cpu) / facts * 1e6


def _told(store: StoreView, begin: int) -> int:
    # What the broker itself says of each node that it has not known comes before its facts.
    return store.number("SELECT sum(last_seq) FROM streams") if store.last_position() > begin else 0


def verify(store: StoreView, rows: list[tuple[Any, ...]], names: list[str], facts: int) -> None:
    """Raise CountsWrong unless the log has each fact of each node once, and no place of it is empty."""
    told = [row for row in rows if row[2] == "step.completed"]
    subjects = {row[1] for row in told}
    last_seqs = dict(store.rows("SELECT name, last_seq FROM streams"))
    contiguous = [row[0] for row in rows] == list(range(rows[0][0], rows[0][0] + len(rows)))
    if len(told) != len(subjects) or len(told) != facts * len(names) or not contiguous:
        raise CountsWrong(f"{facts * len(names)} facts were told, the log has {len(subjects)} in {len(told)} rows")
    if last_seqs != dict.fromkeys(names, facts):
        raise CountsWrong(f"the streams ended at {last_seqs} instead of {facts} each")


def write_bare(path: Path, rows: list[tuple[Any, ...]]) -> tuple[float, float]:
    """Return rows a second and us of CPU a row of bare executemany, BATCH rows a commit."""
    sql = load_statements("broker", "columns", "statements")["append_event"]
    database = Database(path, BROKER)
    try:
        began, cpu = time.perf_counter(), time.process_time()
        for first in range(0, len(rows), BATCH):

            def work(
                connection: apsw.Connection, batch: list[tuple[Any, ...]] = rows[first : first + BATCH]
            ) -> None:
                connection.executemany(sql, batch)

            database.transact(work)
            if database.log_bytes >= WAL_BYTES_MAX:  # as the broker does, or one of the two copies nothing
                database.checkpoint()
        return len(rows) / (time.perf_counter() - began), (time.process_time() - cpu) / len(rows) * 1e6
    finally:
        database.close()
