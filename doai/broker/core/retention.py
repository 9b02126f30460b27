"""Removes what has ended, slice by slice (steps 2 and 3).

Who plans (the admin, over a read connection) names every id, so that a slice is the same whenever it is applied.
What is open is never removed: what is open in memory is refused here, and the store leaves what has not wholly
ended.
"""

from __future__ import annotations

from typing import Final

from doai.broker.core.decision import Decision
from doai.broker.core.state import State
from doai.broker.core.statistics import Statistics
from doai.changes.retention import (
    PruneArtifacts,
    PruneAudit,
    PruneEvents,
    PruneRuns,
    PruneTasks,
    PutRetentionPass,
    RetentionPass,
)
from doai.changes.samples import PruneSamples
from doai.envelope import Envelope
from doai.errors import ConflictError, UserError
from doai.limits import PRUNE_IDS_MAX, SAMPLE_SERIALS_PRUNED_MAX
from doai.messages.retention import PruneStore, RecordRetention, RetentionRecorded, StorePruned

SUBJECT: Final = "retention"
PROBLEM_CHARACTERS_MAX: Final = 500


class Retention:
    """Executes slices of retention."""

    def __init__(self, state: State, statistics: Statistics) -> None:
        self._state = state
        self._statistics = statistics

    def prune(self, decision: Decision, command: Envelope, prune: PruneStore) -> StorePruned:
        """Remove one slice."""
        counts = {
            "tasks": len(prune.tasks),
            "runs": len(prune.runs),
            "artifacts": len(prune.artifacts),
            "events": len(prune.events),
            "samples": len(prune.samples),
        }
        asked = sum(counts.values())
        if asked > PRUNE_IDS_MAX:
            raise UserError(f"a slice has at most {PRUNE_IDS_MAX} ids, not {asked}: ask for less", code="bad_slice")
        if len(prune.samples) > SAMPLE_SERIALS_PRUNED_MAX:
            raise UserError(
                f"a slice is of the samples of {SAMPLE_SERIALS_PRUNED_MAX} devices at most: ask for less",
                code="bad_slice",
            )
        self._check_ended(prune)
        self._check_heard(prune, decision)
        now_ms, ops = decision.now.utc_ms, decision.ops
        if prune.tasks:
            ops.append(PruneTasks(prune.tasks, now_ms))
        if prune.runs:
            ops.append(PruneRuns(prune.runs, now_ms))
        if prune.artifacts:
            ops.append(PruneArtifacts(prune.artifacts))
        if prune.events:
            ops.append(PruneEvents(prune.events))
        if prune.samples:
            ops.append(PruneSamples(prune.samples, prune.sample_minute_before, prune.sample_hour_before))
        if prune.audit_up_to > 0:
            ops.append(PruneAudit(prune.audit_up_to, now_ms))
        decision.changed(SUBJECT, None, {**counts, "audit_up_to": prune.audit_up_to})
        return StorePruned(asked=asked)

    def _check_ended(self, prune: PruneStore) -> None:
        state = self._state
        still_open = [task_id for task_id in prune.tasks if task_id in state.tasks]
        still_open += [run_id for run_id in prune.runs if run_id in state.runs]
        still_open += [path for path in prune.artifacts if _run_of(path) in state.runs]
        if still_open:
            raise ConflictError(
                f"{still_open[0][:300]} is open, or of an open run: nothing was removed", code="still_open"
            )
        if prune.tasks and not self._statistics.are_written(prune.ended_before_ms):
            raise ConflictError(
                "the statistics of these tasks are not written yet: try again in a minute", code="not_counted"
            )

    def _check_heard(self, prune: PruneStore, decision: Decision) -> None:
        """What a live subscription has not heard of stays; one that is behind by too much is not waited for."""
        log = self._state.log.position
        for bot in self._state.bots.values():
            for feed in bot.feeds.values():
                low = feed.low()
                if log - low > self._state.settings.cursor_lag_max:
                    continue
                done_to_ms = decision.now.utc_ms if low >= log else feed.row.done_to_ms
                too_new = [position for position in prune.events if position > low]
                if too_new or ((prune.tasks or prune.runs) and prune.ended_before_ms > done_to_ms):
                    raise ConflictError(
                        f"subscription {feed.row.name} of bot {bot.row.name} has not heard of all of it: nothing "
                        "was removed; let the bot work, or begin it anew (`doai bots reset`)",
                        code="not_heard",
                    )

    def record(self, decision: Decision, command: Envelope, record: RecordRetention) -> RetentionRecorded:
        """Remember a pass."""
        row = RetentionPass(
            pass_id=decision.new_id(),
            began_at_ms=record.began_at_ms,
            ended_at_ms=decision.now.utc_ms,
            actor=command.actor or command.source,
            tasks=record.tasks,
            runs=record.runs,
            events=record.events,
            artifacts=record.artifacts,
            audit=record.audit,
            freed_bytes=record.freed_bytes,
            problem=record.problem[:PROBLEM_CHARACTERS_MAX],
            queue=record.queue[:63],
        )
        decision.ops.append(PutRetentionPass(row))
        decision.changed(SUBJECT, None, row)
        return RetentionRecorded(pass_id=row.pass_id)


def _run_of(path: str) -> str:
    parts = path.split("/")
    return parts[3] if len(parts) > 3 else ""
