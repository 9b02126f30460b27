"""Fills the store of a broker that does not run with open and with finished tasks; a process of its own.

Open tasks are what the broker's own core makes of CreateRun commands, written by the store's own writer; finished
ones are the rows of whole lives (bench/store.py), of a run that is not open.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.report import ROOT
from bench.store import lives
from doai.broker.config import BrokerConfig, queues_of
from doai.broker.core.core import BrokerCore
from doai.broker.core.settings import CoreSettings
from doai.changes.ops import Op, Snapshot
from doai.clock import Now
from doai.codec import Kind, encode, pack_header, raw
from doai.envelope import Envelope
from doai.errors import LocalProtocolError
from doai.ids import RandomIds
from doai.messages.commands import CREATE_RUN, CreateRun, TargetKind, Targets
from doai.messages.link import Hello, HostSample, Role
from doai.store.sqlite_writer import SqliteWriter, open_writer

PER_RUN: Final = 100
COMMIT_OPS: Final = 5000
FILL_TIMEOUT_S: Final = 60.0
LINK: Final = 1
COMMANDS_A_S: Final = 1000
"""In the core's time: it hears 5,000 frames a second of one key."""


def fill_store(
    path: Path,
    workflow: str,
    *,
    open_tasks: int = 0,
    finished_tasks: int = 0,
    timeout_s: float = FILL_TIMEOUT_S,
) -> None:
    """Add tasks on the devices that the store knows. Raises CalledProcessError and TimeoutExpired."""
    command = [sys.executable, "-m", "bench.backlog", str(path), workflow, str(open_tasks), str(finished_tasks)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=timeout_s)


def main(path: Path, workflow: str, open_tasks: int, finished_tasks: int) -> None:
    """Open the store, add to it, close it."""
    writer = open_writer(path, new_store_id="none", now_ms=0)
    try:
        if finished_tasks:
            add_finished(writer, finished_tasks)
        if open_tasks:
            add_open(writer, workflow, open_tasks)
        writer.checkpoint()
    finally:
        writer.close()


def add_finished(writer: SqliteWriter, tasks: int) -> None:
    """Add the rows of tasks that have passed; tasks are rounded up to whole batches."""
    for phases in lives(tasks, after_position=writer.load().last_position):
        writer.commit([op for phase in phases for unit in phase for op in unit])


def add_open(writer: SqliteWriter, workflow: str, tasks: int) -> None:
    """Add runs of at most PER_RUN tasks, one on each device in turn."""
    snapshot = writer.load()
    serials = [device.serial for device in snapshot.devices][:PER_RUN]
    filler = _Filler(snapshot)
    ops: list[Op] = []
    left = tasks
    while left:
        chosen = serials[: min(left, len(serials))]
        ops += filler.create_run(workflow, chosen)
        left -= len(chosen)
        if len(ops) >= COMMIT_OPS or not left:
            writer.commit(ops)
            ops = []


class _Filler:
    """A core that hears an admin."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._ids = RandomIds(random.Random(os.urandom(16)).getrandbits)
        self._now = Now(0.0, time.time_ns() // 1_000_000)
        settings = CoreSettings(queues=queues_of(BrokerConfig(data_dir=".", endpoint="tcp://127.0.0.1:0")))
        self._core = BrokerCore(snapshot, self._ids, settings, self._now)
        sample = HostSample(host="bench", pid=1, version="0", started_at_ms=0)
        self._hear(Kind.HELLO, encode(Hello(name="admin", instance="backlog", role=Role.ADMIN, sample=sample)))

    def create_run(self, workflow: str, serials: Sequence[str]) -> list[Op]:
        """Return what the broker would write."""
        self._now = Now(self._now.mono_s + 1 / COMMANDS_A_S, self._now.utc_ms + 1)
        targets = Targets(kind=TargetKind.DEVICES, serials=list(serials))
        envelope = Envelope(
            event_id=self._ids.new_id(self._now.utc_ms),
            type=CREATE_RUN,
            subject="peer/admin",
            source="admin/backlog",
            trace_id=self._ids.new_trace_id(),
            occurred_at_ms=self._now.utc_ms,
            payload=raw(CreateRun(workflow=workflow, targets=targets)),
            actor="user/bench",
            interface="cli",
        )
        ops = self._hear(Kind.COMMAND, encode(envelope))
        if not ops:
            raise LocalProtocolError("the core made no run of a command of the backlog: look at its reply")
        return ops

    def _hear(self, kind: Kind, body: bytes) -> list[Op]:
        return list(self._core.frame(LINK, "admin", pack_header(kind), body, self._now).ops)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
