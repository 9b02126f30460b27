"""One campaign: a fleet under load, faults from a seed, then quiet, then the reckoning (all steps)."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
import trio

from doai import topics
from doai.messages import commands as c
from tests.chaos import witness
from tests.chaos.disk import small_disk
from tests.chaos.faults import Faults, Injury, now_ms
from tests.chaos.journal import Journal
from tests.chaos.load import STEPS_OF_ONE_COMMAND, Load
from tests.chaos.operator import BACKUP_EVERY_H, Operator
from tests.chaos.proxy import open_proxies
from tests.integration.fleet import Fleet, node_id, open_fleet

RECOVERY_MAX_S: Final = 60.0
SETTLE_S: Final = 240.0
"""Longer than a lease (60 s), a lost connection (25 s) and the retries of a task together."""
LONGER_S: Final = 180.0
"""So much longer faults go on while a deed of the operator has not taken effect yet."""
DISK_RESERVE_MB: Final = 16
"""A small disk needs a small reserve."""
LOOK_S: Final = 0.05
STORY_EVENTS_MAX: Final = 60
_TWICE: Final = re.compile(r"\d+ times|several times|before and after a kill")
_ID: Final = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign does."""

    seconds: float
    seed: int
    nodes: int = 2
    phones: int = 10
    slots: int = 4
    recovery_max_s: float = RECOVERY_MAX_S
    """No result for this long after everything is whole again is a finding."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong."""

    text: str
    duplicated: bool
    task_id: str | None
    kinds: frozenset[str]
    """Faults that happened while its task lived; all of them where no task is named."""
    story: Sequence[str] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a campaign."""

    plan: Plan
    injuries: Sequence[Injury]
    findings: Sequence[Finding]
    states: dict[str, int]
    """Tasks by state at the end."""
    runs: int
    cancelled: int
    refused: int
    events: int
    artifacts: int
    skipped: Sequence[str]
    """Faults that are not possible here."""
    settled_s: float
    handled_again: int
    """Events whose handler began more than once: a kill was before its end, or before that was kept."""
    deeds: dict[str, int]
    """What an operator did meanwhile, and how often."""
    deeds_refused: dict[str, int]
    """Commands of deeds that were refused, by code."""

    @property
    def passed(self) -> bool:
        return not self.findings


async def run_campaign(plan: Plan, data_dir: Path, say: Callable[[str], None]) -> Report:
    """Run it in an empty folder; nothing but that folder is left."""
    with ExitStack() as mounts:
        found = {name: mounts.enter_context(small_disk(data_dir / folder)) for name, folder in _FOLDERS.items()}
        disks = {name: disk for name, disk in found.items() if disk is not None}
        async with (
            open_proxies() as proxies,
            open_fleet(
                data_dir,
                phones=plan.phones,
                slots=plan.slots,
                nodes=plan.nodes,
                route=proxies.route,
                disk_reserve_mb=DISK_RESERVE_MB,
                bot=Path(witness.__file__),
                admin_words=("--backup-every-h", str(BACKUP_EVERY_H)),
            ) as fleet,
        ):
            rng = random.Random(plan.seed)
            faults = Faults(fleet, proxies, disks, rng)
            load = Load(fleet, random.Random(rng.random()))
            operator = Operator(fleet, load, random.Random(rng.random()))
            campaign = _Campaign(plan, fleet, faults, load, operator, rng, say)
            campaign.skipped = [f"disk full, {name}" for name in found.keys() - disks.keys()]
            return await campaign.run()


_FOLDERS: Final = {"broker": "broker", "node": "node-1"}


class _Campaign:
    def __init__(
        self,
        plan: Plan,
        fleet: Fleet,
        faults: Faults,
        load: Load,
        operator: Operator,
        rng: random.Random,
        say: Callable[[str], None],
    ) -> None:
        self.skipped: list[str] = []
        self._plan = plan
        self._fleet = fleet
        self._faults = faults
        self._load = load
        self._operator = operator
        self._journal = Journal(fleet.bot_dir)
        self._rng = rng
        self._say = say
        self._injuries: list[Injury] = []
        self._wrong: list[str] = []

    async def run(self) -> Report:
        await self._load.prepare()
        await self._operator.prepare()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._load.run)
            async with trio.open_nursery() as operating:
                operating.start_soon(self._operator.run)
                await self._hurt()
                self._operator.stop()
            nursery.cancel_scope.cancel()
        self._wrong += self._operator.wrong()
        await self._operator.tidy()
        began_s = trio.current_time()
        await self._settle()
        settled_s = trio.current_time() - began_s
        self._reckon()
        count = self._fleet.store.ask
        return Report(
            plan=self._plan,
            injuries=self._injuries,
            findings=[self._finding(text) for text in self._wrong],
            states=dict(count("SELECT state, count(*) FROM tasks GROUP BY state")),
            runs=len(self._load.acknowledged),
            cancelled=self._load.cancelled,
            refused=len(self._load.refused),
            events=count("SELECT count(*) FROM events")[0][0],
            artifacts=count("SELECT count(*) FROM artifacts")[0][0],
            skipped=self.skipped,
            settled_s=settled_s,
            handled_again=self._journal.repeated(),
            deeds={kind: self._operator.done[kind] for kind in self._operator.kinds},
            deeds_refused=dict(self._operator.refused),
        )

    # --- faults ---------------------------------------------------------------------------------------------

    async def _hurt(self) -> None:
        """Fire faults until the time is over: each kind once in a random order, then again."""
        ends_s = trio.current_time() + self._plan.seconds
        kinds: list[str] = []
        await self._next_result(Injury("start", None, now_ms()))
        while trio.current_time() < (ends_s + LONGER_S if self._operator.missing() else ends_s):
            kinds = kinds or self._rng.sample(self._faults.kinds, len(self._faults.kinds))
            await trio.sleep(self._rng.uniform(0.1, 1.5))
            injury = await self._faults.fire(kinds.pop())
            self._injuries.append(injury)
            injury.recovered_ms = await self._next_result(injury)
            self._say(_told(injury))
            self._see_who_ended()

    async def _next_result(self, injury: Injury) -> int | None:
        """Return when the next result that it could have held up was in the log: a step's, or a stored artifact."""
        if injury.kind.endswith(" bot"):
            return await self._next_handled(injury)
        kind = topics.ARTIFACT_STORED if injury.kind.endswith(" admin") else topics.STEP_COMPLETED
        sql = "SELECT coalesce(max(position), 0) FROM events WHERE recorded_at_ms < ?"
        position = int(self._fleet.store.ask(sql, injury.healed_ms)[0][0])
        serials = self._serials_of(injury.node)
        with trio.move_on_after(self._plan.recovery_max_s):
            while True:
                for event in self._fleet.store.events(after=position, pattern=kind):
                    position = event.position
                    if event.payload["deviceSerial"] in serials:
                        return event.recorded_at_ms
                await trio.sleep(LOOK_S)
        where = injury.node or "the fleet"
        self._wrong.append(f"no {kind} of {where} within {self._plan.recovery_max_s:.0f} s after: {injury.kind}")
        return None

    async def _next_handled(self, injury: Injury) -> int | None:
        """Return when the bot next brought an event to its end."""
        with trio.move_on_after(self._plan.recovery_max_s):
            while True:
                ended_ms = [at_ms for handled in self._journal.read().values() for at_ms in handled.ended_ms]
                if after := [at_ms for at_ms in ended_ms if at_ms >= injury.healed_ms]:
                    return min(after)
                await trio.sleep(LOOK_S)
        self._wrong.append(f"the bot handled nothing within {self._plan.recovery_max_s:.0f} s after: {injury.kind}")
        return None

    def _serials_of(self, node: str | None) -> set[str]:
        rows = self._fleet.store.ask("SELECT serial, node_id FROM devices")
        return {serial for serial, of in rows if node in {None, of}}

    def _see_who_ended(self) -> None:
        for name in self._fleet.children:
            if self._faults.ended(name):
                self._wrong.append(f"{name} ended by itself")

    # --- the end --------------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Wait, within bounds, until nothing is open; who was taken out of service is put back by hand."""
        await self._release()
        with trio.move_on_after(SETTLE_S):
            while self._load.open_tasks() or self._open_runs() or self._missing():
                await trio.sleep(1.0)
                await self._release()
            while self._journal.missing(self._fleet.store):  # noqa: ASYNC110 - another process
                await trio.sleep(LOOK_S)
            while any(self._fleet.unacknowledged(node) for node in self._fleet.nodes):  # noqa: ASYNC110
                await trio.sleep(LOOK_S)

    async def _release(self) -> None:
        ask = self._fleet.store.ask
        for (serial,) in ask("SELECT serial FROM devices WHERE quarantine IS NOT NULL"):
            await self._fleet.ask(c.RELEASE_DEVICE, c.ReleaseDevice(serial=serial), self._fleet.new_command_id())
        for (node,) in ask("SELECT node_id FROM nodes WHERE quarantine IS NOT NULL"):
            await self._fleet.ask(c.RELEASE_NODE, c.ReleaseNode(node_id=node), self._fleet.new_command_id())

    def _open_runs(self) -> int:
        return int(self._fleet.store.ask("SELECT count(*) FROM runs WHERE state <> 'completed'")[0][0])

    def _missing(self) -> bool:
        return not self._fleet.store.promised().items() <= self._fleet.store.stored().items()

    def _reckon(self) -> None:
        self._wrong += self._load.lost()
        of_bot = [i.began_ms for i in self._injuries if i.kind.endswith(("bot", "broker", "all"))]
        self._wrong += self._journal.wrong(self._fleet.store, of_bot)
        self._wrong += self._fleet.wrong(one_command=STEPS_OF_ONE_COMMAND)
        for node in self._fleet.nodes:
            if waiting := self._fleet.unacknowledged(node):
                self._wrong.append(f"{node_id(node)} has {waiting} facts that the broker does not take")
            if (recorded := self._fleet.recorded(node)) != (taken := self._fleet.taken(node)):
                self._wrong.append(f"{node_id(node)} recorded {recorded} facts, the broker took {taken}")

    def _finding(self, text: str) -> Finding:
        tasks = {task_id for (task_id,) in self._fleet.store.ask("SELECT task_id FROM tasks")}
        task_id = next((found for found in _ID.findall(text) if found in tasks), None)
        events = self._fleet.store.ask(
            "SELECT position, recorded_at_ms, type FROM events WHERE subject = ? ORDER BY position",
            f"task/{task_id}",
        )
        from_ms, to_ms = (events[0][1], events[-1][1]) if events else (0, now_ms())
        near = [i for i in self._injuries if i.began_ms <= to_ms and (i.recovered_ms or now_ms()) >= from_ms]
        told = [(at_ms, f"{position:>7} {kind}") for position, at_ms, kind in events]
        told += [(i.began_ms, f"        === {i.kind} {i.node or ''}") for i in near if task_id]
        told += [(i.healed_ms, f"        === whole again: {i.kind}") for i in near if task_id]
        story = [f"{_clock(at_ms)} {line}" for at_ms, line in sorted(told)][-STORY_EVENTS_MAX:]
        return Finding(text, bool(_TWICE.search(text)), task_id, frozenset(i.kind for i in near), story)


def _clock(at_ms: int) -> str:
    return f"{time.strftime('%H:%M:%S', time.localtime(at_ms / 1000))}.{at_ms % 1000:03}"


def _told(injury: Injury) -> str:
    took = "never" if injury.recovery_s is None else f"{injury.recovery_s:.1f} s"
    aim = (
        ""
        if injury.aim is None
        else f", hit {injury.aim.running} running, {injury.aim.unacknowledged} facts unsent"
    )
    return f"{_clock(injury.began_ms)} {injury.kind:<18} {injury.node or '':<7} result after {took}{aim}"


def table(report: Report) -> list[str]:
    """Return the lines of the table: fault, times fired, worst recovery, lost, duplicated."""
    lines = [f"{'fault':<20}{'fired':>6}{'worst recovery s':>18}{'lost':>6}{'duplicated':>12}"]
    fired = Counter(injury.kind for injury in report.injuries)
    for kind in sorted(fired):
        took = [injury.recovery_s for injury in report.injuries if injury.kind == kind]
        worst = "never" if None in took else f"{max(s for s in took if s is not None):.1f}"
        there = [finding for finding in report.findings if kind in finding.kinds]
        lines.append(f"{kind:<20}{fired[kind]:>6}{worst:>18}{_two(there)}")
    return [*lines, f"{'all':<20}{fired.total():>6}{'':>18}{_two(report.findings)}"]


def _two(findings: Sequence[Finding]) -> str:
    twice = sum(finding.duplicated for finding in findings)
    return f"{len(findings) - twice:>6}{twice:>12}"
