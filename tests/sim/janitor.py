"""Retention in a world: removes what has ended a short while ago, and tries to remove what is open (steps 2, 3)."""

from __future__ import annotations

from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any

from doai.messages.commands import RECORD_ARTIFACT, RecordArtifact, Reply
from doai.messages.retention import PRUNE_STORE, RECORD_RETENTION, PruneStore, RecordRetention
from doai.states import RunState
from doai.store.memory import MemoryTables
from doai.store.memory_retention import is_removable
from doai.store.retention_writer import has_digest
from tests.sim.world import Violation

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

IN_ONE_OF = 5
"""Seeds: those that once broke a rule keep their worlds."""
SLICE = 40


class Janitor:
    """Asks for slices, over the admin, until its world is to be looked at."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self._simulation = simulation
        self._random = Random(seed)
        self.stopped = False
        self._age_s = self._random.choice((90.0, 150.0, 300.0))
        if seed % IN_ONE_OF == 3:
            simulation.world.after(self._age_s, self._sweep)

    def stop(self) -> None:
        """It asks for nothing more: what it asks at the very end would have no answer."""
        self.stopped = True

    def _sweep(self) -> None:
        if self.stopped:
            return
        simulation, random = self._simulation, self._random
        tables, core = simulation.broker.disk.tables, simulation.broker.core
        if core is not None and not simulation.admin.waiting:
            cutoff_ms = simulation.broker.clock.now().utc_ms - round(self._age_s * 1000)
            self._store_artifact(tables)
            self._ask(_plan(tables, cutoff_ms))
            if core.state.tasks and random.random() < 0.3:
                task_id = random.choice(sorted(core.state.tasks))
                wrong = PruneStore(
                    tasks=[task_id], ended_before_ms=0, runs=random.sample(sorted(core.state.runs), 1)
                )
                simulation.admin.command(PRUNE_STORE, wrong, self._refused)
            if ended := [task_id for task_id in tables.tasks if task_id not in core.state.tasks]:
                # What has just ended is not in the statistics yet.
                soon = PruneStore(tasks=ended[-1:], ended_before_ms=simulation.broker.clock.now().utc_ms)
                simulation.admin.command(PRUNE_STORE, soon, self._refused)
        simulation.world.after(random.uniform(10.0, 60.0), self._sweep)

    def _store_artifact(self, tables: MemoryTables) -> None:
        """The admin has a file of some task, which may have ended since."""
        if tables.tasks:
            row = tables.tasks[self._random.choice(sorted(tables.tasks))]
            serial = row.status.device_serial or "nowhere"
            record = RecordArtifact(
                path=f"content/n0/{serial}/{row.run_id}/{row.task_id}.png",
                sha256="a" * 64,
                size_bytes=1,
                media_type="image/png",
                node_id="n0",
                device_serial=serial,
                run_id=row.run_id,
                task_id=row.task_id,
                step_id="shot",
            )
            self._simulation.admin.command(RECORD_ARTIFACT, record, _answered)

    def _ask(self, prune: PruneStore) -> None:
        if prune == PruneStore(ended_before_ms=prune.ended_before_ms):
            return
        self._simulation.admin.command(PRUNE_STORE, prune, _answered)
        record = RecordRetention(began_at_ms=0, tasks=len(prune.tasks), runs=len(prune.runs))
        self._simulation.admin.command(RECORD_RETENTION, record, _answered)
        self._simulation.world.faults["retention"] += 1

    def _refused(self, payload: Any, reply: Reply) -> None:
        # What was open may have ended by now; then the store alone decides, and `_judge` looks at what it did.
        if reply.problem is not None and reply.problem.code not in ("still_open", "not_counted", "not_heard"):
            raise Violation("retention", f"refused as {reply.problem.code}: {reply.problem.message}")


def _plan(tables: MemoryTables, cutoff_ms: int) -> PruneStore:
    ended = (
        task_id
        for task_id, row in tables.tasks.items()
        if (row.status.ended_at_ms or cutoff_ms) < cutoff_ms and is_removable(tables, row)
    )
    with_tasks = {row.run_id for row in tables.tasks.values()}
    runs = [
        run_id
        for run_id, run in tables.runs.items()
        if run.state is RunState.COMPLETED
        and (run.ended_at_ms or cutoff_ms) < cutoff_ms
        and run_id not in with_tasks
    ]
    events = [
        event.position
        for event in tables.events
        if event.recorded_at_ms < cutoff_ms and not event.envelope.subject.startswith(("task/", "run/"))
    ]
    audit = [n for n, row in tables.audit.items() if row.at_ms < cutoff_ms]
    return PruneStore(
        tasks=list(islice(ended, SLICE)),
        artifacts=[path for path, row in tables.artifacts.items() if row.stored_at_ms < cutoff_ms][:SLICE],
        ended_before_ms=cutoff_ms,
        runs=runs[:SLICE],
        events=events[:SLICE],
        audit_up_to=max(audit[:SLICE], default=0),
    )


def _answered(payload: Any, reply: Reply) -> None:
    """What is refused is planned again."""


def was_removed(tables: MemoryTables, kind: str, removed_id: str) -> bool:
    """Whether the store remembers that retention removed it."""
    return any(
        kind == slice_kind and first <= removed_id <= last and has_digest(digests, removed_id)
        for (slice_kind, first, last), (_, digests) in tables.removals.items()
    )


def check_counts(simulation: Simulation) -> None:
    """Statistics and use count every end once, whatever was removed since."""
    core, tables, ended = simulation.broker.core, simulation.broker.disk.tables, simulation.ledger.ended
    assert core is not None
    written = sum(row.ended for row in tables.statistics.values() if row.period.value == "minute")
    counted = written + sum(sum(minute.outcomes.values()) for minute in core._statistics._open.values())
    if counted != ended:
        raise Violation("statistics", f"{counted} ends are counted, {ended} there were")
    for kind in ("actor", "workflow", "project"):
        used = sum(row.tasks for (of, _, _), row in tables.usage.items() if of == kind)
        if used != ended:
            raise Violation("usage", f"the use by {kind} counts {used} tasks, {ended} ended")
