"""What retention may take, what it took, and the use that outlives it, read beside the writer (step 14).

Plans name every id. Old runs come first; what is open, or of an open run, is in no plan. A run goes as a whole: its
artifacts, its tasks with attempts and events, itself.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import msgspec

from doai.changes.retention import DAY_MS, RetentionPass, UsageKind, UsageRow
from doai.changes.samples import HOUR_MS, MINUTE_MS
from doai.ids import make_id
from doai.limits import SAMPLE_SERIALS_PRUNED_MAX
from doai.states import Outcome
from doai.store.read_connections import Answer, ReadConnections
from doai.store.retention_writer import has_digest
from doai.store.sql_files import load_statements

PLAN_MAX_S: Final = 5.0
"""For one question of a plan: those that count look at all runs."""
MIN_AGE_MS: Final = 3_600_000
"""What ended later than this ago never goes, whatever a count says: somebody may just be looking at it."""
SLICE: Final = 100
"""Ids of one slice: some 10 ms of the writer, in which nothing else is committed."""
SAMPLES_COUNTED_MAX: Final = 1_000_000
"""More samples than this are not counted: some tenths of a second."""
_DIGEST_CHARACTERS: Final = 16


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how many; 0 = without end."""

    tasks_days: float
    tasks_max: int
    events_days: float
    events_max: int
    artifacts_days: float
    artifacts_disk_percent: float
    audit_days: float
    audit_max: int
    samples_hours: float
    """Of minutes."""
    sample_hours_days: float
    """Of what hours came to."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What there is now."""

    tasks: int
    runs: int
    events: int
    artifacts: int
    artifact_bytes: int
    audit: int
    samples: int
    """By the minute; counted up to SAMPLES_COUNTED_MAX, and so are the hours."""
    sample_hours: int


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Up to where it goes, at one moment."""

    now_ms: int
    runs_ended_before_ms: int
    runs_up_to: str
    """Completed runs up to this id go too, because there are too many tasks."""
    artifacts_before_ms: int
    artifacts_up_to: str
    """Artifacts of runs up to this id go too, because they fill the disk."""
    events_before: int
    """Position; of events that are not of a task or run."""
    audit_up_to: int
    sample_minute_before: int
    sample_hour_before: int


class Cleaning(msgspec.Struct, frozen=True, kw_only=True):
    """What is meant of a queue's ended runs."""

    queue: str
    ended_before_ms: int
    outcomes: list[Outcome]
    """None = any."""


class Cleanable(msgspec.Struct, frozen=True, kw_only=True):
    """What a cleaning comes to now."""

    runs: int
    tasks: int
    digest: str
    """As no run of it ends anew, another look that found as many, from the same first to the same last, found the
    same."""


class Going(msgspec.Struct, frozen=True, kw_only=True):
    """What would go within the bounds."""

    runs: int
    tasks: int
    artifacts: int
    artifact_bytes: int
    events: int
    audit: int
    samples: int
    sample_hours: int


class RetentionReader:
    """Plans and tells; questions may take longer than those of pages, so it has connections of its own."""

    def __init__(self, path: Path) -> None:
        self._connections = ReadConnections(path, read_max_s=PLAN_MAX_S)
        self._sql = load_statements("broker", "columns", "retention")

    async def close(self) -> None:
        await self._connections.close()

    async def held(self) -> Held:
        """Return how much there is."""
        [[counts], [of_samples]] = await self._connections.ask(
            (self._sql["held"], ()), (self._sql["held_samples"], {"most": SAMPLES_COUNTED_MAX})
        )
        tasks, runs, events, artifacts, artifact_bytes, audit = (int(count or 0) for count in counts)
        return Held(
            tasks=tasks,
            runs=runs,
            events=events,
            artifacts=artifacts,
            artifact_bytes=artifact_bytes,
            audit=audit,
            samples=int(of_samples[0]),
            sample_hours=int(of_samples[1]),
        )

    async def bounds(self, policy: Policy, held: Held, disk_bytes: int, now_ms: int) -> Bounds:
        """Return up to where a policy lets go; ``disk_bytes`` is the size of the artifacts' disk."""
        youngest_ms = now_ms - MIN_AGE_MS
        excess_tasks = held.tasks - policy.tasks_max if policy.tasks_max else 0
        share = disk_bytes * policy.artifacts_disk_percent / 100
        excess_bytes = held.artifact_bytes - round(share) if policy.artifacts_disk_percent else 0
        return Bounds(
            now_ms=now_ms,
            runs_ended_before_ms=_before_ms(policy.tasks_days, now_ms),
            runs_up_to=await self._up_to("runs_up_to", excess_tasks, youngest_ms),
            artifacts_before_ms=_before_ms(policy.artifacts_days, now_ms),
            artifacts_up_to=await self._up_to("artifacts_up_to", excess_bytes, youngest_ms),
            events_before=max(
                await self._position_at(_before_ms(policy.events_days, now_ms)),
                await self._number("events_beyond", policy.events_max) if policy.events_max else 0,
            ),
            audit_up_to=max(
                await self._number("audit_before", _before_ms(policy.audit_days, now_ms)),
                await self._number("audit_beyond", policy.audit_max) if policy.audit_max else 0,
            ),
            sample_minute_before=_before_ms(policy.samples_hours / 24, now_ms) // MINUTE_MS,
            sample_hour_before=_before_ms(policy.sample_hours_days, now_ms) // HOUR_MS,
        )

    async def going(self, bounds: Bounds) -> Going:
        """Return how much goes within bounds."""
        samples = {
            "minute_before": bounds.sample_minute_before,
            "hour_before": bounds.sample_hour_before,
            "most": SAMPLES_COUNTED_MAX,
        }
        [[runs], [artifacts], [events], [audit], [of_samples]] = await self._connections.ask(
            (self._sql["going_runs"], _bindings(bounds)),
            (self._sql["going_artifacts"], _bindings(bounds)),
            (self._sql["going_events"], _bindings(bounds)),
            (self._sql["going_audit"], _bindings(bounds)),
            (self._sql["going_samples"], samples),
        )
        return Going(
            runs=int(runs[0]),
            tasks=int(runs[1] or 0),
            artifacts=int(artifacts[0]),
            artifact_bytes=int(artifacts[1] or 0),
            events=int(events[0]),
            audit=int(audit[0]),
            samples=int(of_samples[0]),
            sample_hours=int(of_samples[1]),
        )

    # --- slices ---------------------------------------------------------------------------------------------

    async def runs(self, bounds: Bounds, after: str) -> list[str]:
        """Return the next runs that go, by id."""
        return [str(row[0]) for row in await self._slice("next_runs", bounds, after=after)]

    async def tasks_of(self, run_id: str) -> list[str]:
        """Return the next tasks of a run that can go."""
        [answer] = await self._connections.ask((self._sql["next_tasks"], {"run_id": run_id, "limit": SLICE}))
        return [str(row[0]) for row in answer]

    async def artifacts_of(self, run_id: str) -> list[tuple[str, int]]:
        """Return the next artifacts of a run: paths and sizes."""
        [answer] = await self._connections.ask((self._sql["artifacts_of_run"], {"run_id": run_id, "limit": SLICE}))
        return [(str(path), int(size)) for path, size in answer]

    async def artifacts(self, bounds: Bounds) -> list[tuple[str, int]]:
        """Return the next artifacts that go before their run: paths and sizes."""
        return [(str(path), int(size)) for path, size in await self._slice("next_artifacts", bounds)]

    async def events(self, bounds: Bounds) -> list[int]:
        """Return the positions of the next events that go."""
        return [int(row[0]) for row in await self._slice("next_events", bounds)]

    async def audit(self, bounds: Bounds) -> list[int]:
        """Return the numbers of the next rows of the audit that go."""
        return [int(row[0]) for row in await self._slice("next_audit", bounds)]

    async def samples(self, bounds: Bounds, after: str) -> list[str]:
        """Return the next devices of whose samples something is too old."""
        bindings = {
            "minute_before": bounds.sample_minute_before,
            "hour_before": bounds.sample_hour_before,
            "after": after,
            "limit": SAMPLE_SERIALS_PRUNED_MAX,
        }
        [answer] = await self._connections.ask((self._sql["next_samples"], bindings))
        return [str(row[0]) for row in answer]

    async def cleanable(self, cleaning: Cleaning) -> Cleanable:
        """Return how much a cleaning would remove."""
        [[found]] = await self._connections.ask((self._sql["cleanable"], _meant(cleaning)))
        runs, tasks, first, last = found
        digest = hashlib.sha256(f"{runs} {tasks} {first} {last}".encode()).hexdigest()[:_DIGEST_CHARACTERS]
        return Cleanable(runs=int(runs), tasks=int(tasks), digest=digest)

    async def next_cleanable(self, cleaning: Cleaning, after: str) -> list[str]:
        """Return the next runs that a cleaning removes, by id."""
        bindings = {**_meant(cleaning), "after": after, "limit": SLICE}
        [answer] = await self._connections.ask((self._sql["next_cleanable"], bindings))
        return [str(row[0]) for row in answer]

    # --- what was removed, what was used --------------------------------------------------------------------

    async def removed_at_ms(self, removed_id: str) -> int | None:
        """Return when retention removed a task or run; None = it did not."""
        [answer] = await self._connections.ask((self._sql["removals"], (removed_id, removed_id)))
        return next((int(at_ms) for at_ms, digests in answer if has_digest(digests, removed_id)), None)

    async def passes(self, limit: int) -> list[RetentionPass]:
        """Return the newest passes, newest first."""
        [answer] = await self._connections.ask((self._sql["passes"], (limit,)))
        return [RetentionPass(**dict(zip(RetentionPass.__struct_fields__, row, strict=True))) for row in answer]

    async def newest_pass_ms(self) -> int | None:
        """Return when retention last went through all of the store."""
        [answer] = await self._connections.ask((self._sql["newest_pass"], ()))
        return int(answer[0][0]) if answer and answer[0][0] is not None else None

    async def usage(self, kind: UsageKind, since_day: int, *, daily: bool) -> list[UsageRow]:
        """Return the use since a day: by name and day, or over all the days (``day`` is then the first one)."""
        [answer] = await self._connections.ask(
            (self._sql["usage_daily" if daily else "usage"], (kind.value, since_day))
        )
        fields = UsageRow.__struct_fields__[1:]
        return [UsageRow(kind=kind, **dict(zip(fields, row, strict=True))) for row in answer]

    # --- how questions are put ------------------------------------------------------------------------------

    async def _slice(self, name: str, bounds: Bounds, **more: object) -> Answer:
        [answer] = await self._connections.ask((self._sql[name], {**_bindings(bounds), **more, "limit": SLICE}))
        return answer

    async def _number(self, name: str, value: int) -> int:
        [answer] = await self._connections.ask((self._sql[name], (value,)))
        return int(answer[0][0] or 0) if answer else 0

    async def _up_to(self, name: str, excess: int, youngest_ms: int) -> str:
        if excess <= 0:
            return ""
        bindings = {"excess": excess, "youngest_ms": youngest_ms, "youngest_id": make_id(max(0, youngest_ms), 0)}
        [answer] = await self._connections.ask((self._sql[name], bindings))
        return str(answer[0][0] or "") if answer else ""

    async def _position_at(self, before_ms: int) -> int:
        """Return the first position that is not older than a time, by halving: the log has no index of times."""
        [[(first, last)]] = await self._connections.ask((self._sql["positions"], ()))
        low, high = int(first or 0), int(last or 0)
        while low < high:
            middle = (low + high) // 2
            [answer] = await self._connections.ask((self._sql["event_from"], (middle,)))
            position, recorded_at_ms = answer[0]
            if int(recorded_at_ms) < before_ms:
                low = int(position) + 1
            else:
                high = middle
        return low


def _before_ms(days: float, now_ms: int) -> int:
    return now_ms - max(round(days * DAY_MS), MIN_AGE_MS) if days else 0


def _meant(cleaning: Cleaning) -> dict[str, Any]:
    return {
        "queue": cleaning.queue,
        "ended_before_ms": cleaning.ended_before_ms,
        "outcomes": json.dumps([outcome.value for outcome in cleaning.outcomes]),
    }


def _bindings(bounds: Bounds) -> dict[str, Any]:
    return {
        "ended_before_ms": bounds.runs_ended_before_ms,
        "youngest_ms": bounds.now_ms - MIN_AGE_MS,
        "runs_up_to": bounds.runs_up_to,
        "stored_before_ms": bounds.artifacts_before_ms,
        "stored_before_id": make_id(max(0, bounds.artifacts_before_ms), 0),
        "artifacts_up_to": bounds.artifacts_up_to,
        "events_before": bounds.events_before,
        "audit_up_to": bounds.audit_up_to,
    }
