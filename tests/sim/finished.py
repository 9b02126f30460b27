"""Who looks after what has ended in queues: tries it again or removes it, some wrongly (steps 2 and 3)."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from doai.messages import finished as f
from doai.messages.commands import Reply
from doai.messages.retention import PRUNE_STORE, PruneStore
from doai.states import DeadLetterState, Outcome, RunState
from doai.store.memory import MemoryTables
from tests.sim.janitor import IN_ONE_OF, SLICE
from tests.sim.queues import NAMES
from tests.sim.world import Violation

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

AGES_S = (300.0, 400.0, 100.0)
"""The last one is too young."""
_QUESTION = f.CleanQueue(name="", ended_before_ms=0, runs=0, tasks=0, digest="")


class FinishedOperator:
    """Cleans queues and has what failed in them tried again, until its world is to be looked at."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self._simulation = simulation
        self._random = Random(seed + 1)
        self._asked: dict[str, f.CleanQueue] = {}
        """What each confirmation was shown for."""
        self._used: set[str] = set()
        if seed % IN_ONE_OF == 3:
            simulation.world.after(60.0, self._act)

    def _act(self) -> None:
        simulation, random = self._simulation, self._random
        if simulation.janitor.stopped:
            return
        if simulation.broker.core is not None and not simulation.admin.waiting:
            name = random.choice((*NAMES, *NAMES, "no-such-queue"))
            if random.random() < 0.5:
                simulation.admin.command(f.RETRY_FAILED, f.RetryFailed(name=name), self._retried)
            else:
                self._clean(name)
        simulation.world.after(random.uniform(20.0, 80.0), self._act)

    # --- again --------------------------------------------------------------------------------------------

    def _retried(self, payload: Any, reply: Reply) -> None:
        if reply.result is None:
            return
        told = msgspec.convert(reply.result, f.FailedRetried)
        runs = self._simulation.broker.disk.tables.runs
        if any(run_id in runs and runs[run_id].queue != payload.name for run_id in told.run_ids):
            raise Violation("retry_failed", f"{told.run_ids} are tried again for queue {payload.name}")
        if told.left and told.after <= payload.after:
            raise Violation("retry_failed", f"it goes on at {told.after} after {payload.after}: for ever")
        self._simulation.world.faults["failed_retried"] += told.retried
        if told.left:
            more = f.RetryFailed(name=payload.name, after=told.after, up_to=told.up_to)
            self._simulation.admin.command(f.RETRY_FAILED, more, self._retried)

    # --- removed ------------------------------------------------------------------------------------------

    def _clean(self, name: str) -> None:
        simulation, random = self._simulation, self._random
        before_ms = simulation.broker.clock.now().utc_ms - round(random.choice(AGES_S) * 1000)
        outcomes = random.choice(([], [], [Outcome.PASSED], [Outcome.FAILED, Outcome.CANCELLED]))
        wish = msgspec.structs.replace(_QUESTION, name=name, ended_before_ms=before_ms, outcomes=outcomes)
        simulation.admin.command(f.CLEAN_QUEUE, self._looked(wish), self._shown)

    def _looked(self, wish: f.CleanQueue) -> f.CleanQueue:
        """What the store has of it now."""
        tables = self._simulation.broker.disk.tables
        found = cleanable(tables, wish)
        tasks = sum(row.run_id in found for row in tables.tasks.values())
        return msgspec.structs.replace(wish, runs=len(found), tasks=tasks, digest=" ".join(found[:1] + found[-1:]))

    def _shown(self, payload: Any, reply: Reply) -> None:
        if reply.result is None:
            return
        token = msgspec.convert(reply.result, f.QueueCleaned).confirm
        self._asked[token] = payload
        world, random = self._simulation.world, self._random
        delay_s = random.choice((0.0, 0.0, 0.0, 30.0, 400.0))
        if random.random() < 0.1:
            payload = msgspec.structs.replace(payload, name=random.choice(NAMES))
        for _ in range(random.choice((1, 1, 2))):
            world.after(delay_s, self._confirm, payload, token)

    def _confirm(self, wish: f.CleanQueue, token: str) -> None:
        if not self._simulation.janitor.stopped:
            sure = msgspec.structs.replace(self._looked(wish), confirm=token)
            self._simulation.admin.command(f.CLEAN_QUEUE, sure, self._confirmed)

    def _confirmed(self, payload: Any, reply: Reply) -> None:
        if reply.result is None:
            return
        asked = self._asked[payload.confirm]
        if payload.confirm in self._used or msgspec.structs.replace(payload, confirm="") != asked:
            raise Violation("confirmation", f"{payload} was done with the confirmation of {asked}")
        self._used.add(payload.confirm)
        self._simulation.world.faults["queue_cleaned"] += 1
        self._slice(payload)

    def _slice(self, wish: f.CleanQueue) -> None:
        """Remove the next of what was meant, and go on while there is some."""
        simulation = self._simulation
        tables = simulation.broker.disk.tables
        meant = cleanable(tables, wish)
        tasks = [row.task_id for row in tables.tasks.values() if row.run_id in meant][:SLICE]
        if simulation.janitor.stopped or not meant:
            return
        prune = PruneStore(tasks=tasks, ended_before_ms=wish.ended_before_ms)
        if not tasks:
            prune = PruneStore(runs=meant[:SLICE])

        def pruned(payload: Any, reply: Reply) -> None:
            if reply.problem is None:
                simulation.world.after(0.1, self._slice, wish)
            elif reply.problem.code not in ("not_counted", "still_open"):
                raise Violation("retention", f"refused as {reply.problem.code}: {reply.problem.message}")

        simulation.admin.command(PRUNE_STORE, prune, pruned)


def cleanable(tables: MemoryTables, wish: f.CleanQueue) -> list[str]:
    """Return the runs that are meant, by id; none of which a dead letter is open."""
    kept = {row.run_id for row in tables.dead_letters.values() if row.state is DeadLetterState.OPEN}
    return sorted(
        run_id
        for run_id, row in tables.runs.items()
        if row.queue == wish.name
        and row.state is RunState.COMPLETED
        and (row.ended_at_ms or wish.ended_before_ms) < wish.ended_before_ms
        and (not wish.outcomes or row.outcome in wish.outcomes)
        and run_id not in kept
    )
