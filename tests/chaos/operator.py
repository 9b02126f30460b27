"""What an operator does while everything fails: each deed is undone, counted when it took effect, must happen."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import httpx
import trio

from doai.envelope import Message
from doai.errors import DoaiError
from doai.messages import campaigns as k
from doai.messages import commands as c
from doai.messages import dead_letters as d
from doai.messages import holds as h
from doai.messages import queues as q
from doai.messages import retention as r
from doai.schedule import Schedule
from doai.store.backup import check_backup, list_backups
from tests.chaos.load import SIDE, Load, ask
from tests.integration.fleet import LOOK_S, Fleet, node_id

CAMPAIGNS: Final = tuple(f"campaign-{number}" for number in range(8))
CAMPAIGN_EVERY_S: Final = 60.0
"""The shortest there is; they begin one after the other, so that one of them fires every few seconds."""
FIRST_FIRE_S: Final = 2.0
BACKUP_EVERY_H: Final = 0.001
"""3.6 s."""
AUDIT_KEPT: Final = 20
BETWEEN_S: Final = (0.0, 0.5)
LONG_S: Final = (0.1, 1.0)
"""How long something lasts before it is undone."""
PASS_S: Final = 10.0
"""For a pass of retention, and for a letter to come; then it is left for another time."""
NODE_SHARE: Final = 0.3
"""Of the quarantines."""
QUEUES: Final = ("default", SIDE)


class Operator:
    """Does one deed after the other, each kind once in a random order, then again."""

    def __init__(self, fleet: Fleet, load: Load, rng: random.Random) -> None:
        self._fleet = fleet
        self._load = load
        self._rng = rng
        self.done: Counter[str] = Counter()
        """Deeds that took effect."""
        self.refused: Counter[str] = Counter()
        """Commands of deeds that the broker refused, each with a sentence."""
        self._stopping = False
        self._backups: set[str] = set()
        self._table: dict[str, Callable[[], Awaitable[bool]]] = {
            "pause, resume": self._pause,
            "drain": self._drain,
            "discard": self._discard,
            "rate": self._rate,
            "hold": self._hold,
            "letters retried": self._retry_letters,
            "letters discarded": self._discard_letters,
            "quarantine": self._quarantine,
            "cancel run": self._cancel,
            "retention": self._retention,
        }
        self.kinds = (*self._table, "schedule fired", "scheduled backup")

    async def prepare(self) -> None:
        """Make the second queue and the campaigns; before the first fault."""
        await self._fleet.command(q.PUT_QUEUE, q.PutQueue(name=SIDE))
        run = c.CreateRun(
            workflow=self._load.workflows[0],
            targets=c.Targets(kind=c.TargetKind.DEVICES, serials=self._load.serials[:1]),
        )
        first_ms = _now_ms() + round(FIRST_FIRE_S * 1000)
        apart_ms = round(CAMPAIGN_EVERY_S * 1000) // len(CAMPAIGNS)
        for number, name in enumerate(CAMPAIGNS):
            schedule = Schedule(every_s=CAMPAIGN_EVERY_S, starts_at_ms=first_ms + number * apart_ms)
            plan = k.CampaignPlan(run=run, schedule=schedule, overlap=k.Overlap.QUEUE)
            await self._fleet.command(k.PUT_CAMPAIGN, k.PutCampaign(name=name, plan=plan))

    def missing(self) -> list[str]:
        """The kinds of deeds that never took effect."""
        self.look()
        return [kind for kind in self.kinds if not self.done[kind]]

    async def run(self) -> None:
        """Do deeds until `stop`; what is under way then is undone first."""
        kinds: list[str] = []
        while not self._stopping:
            kinds = kinds or self._rng.sample(list(self._table), len(self._table))
            kind = kinds.pop()
            self.done[kind] += await self._table[kind]()
            await trio.sleep(self._rng.uniform(*BETWEEN_S))

    def stop(self) -> None:
        """Begin no other deed."""
        self._stopping = True

    async def tidy(self) -> None:
        """Nothing is stopped any more that could hold the load up; no run is made by the schedule."""
        for queue in QUEUES:
            await self._tell(q.RESUME_QUEUE, q.ResumeQueue(name=queue))
            await self._tell(q.PUT_QUEUE, q.PutQueue(name=queue, rate_per_min=0))
        for (serial,) in self._fleet.store.ask("SELECT serial FROM devices WHERE hold IS NOT NULL"):
            await self._tell(h.UNHOLD_DEVICE, h.UnholdDevice(serial=serial, force=True))
        for name in CAMPAIGNS:
            await self._tell(k.PAUSE_CAMPAIGN, k.PauseCampaign(name=name, reason="quiet"))

    def look(self) -> None:
        """Count what happens by itself."""
        sql = "SELECT count(*) FROM fires WHERE state = 'fired' AND hand = ''"
        self.done["schedule fired"] = int(self._fleet.store.ask(sql)[0][0])
        self._backups.update(folder.name for folder, _ in list_backups(self._backups_dir))
        self.done["scheduled backup"] = len(self._backups)

    def wrong(self) -> list[str]:
        """What never happened, and what is wrong with the newest backup."""
        self.look()
        wrong = [f"the operator's {kind} never took effect" for kind in self.missing()]
        for folder, _ in list_backups(self._backups_dir)[-1:]:
            try:
                check_backup(folder)
            except DoaiError as error:
                wrong.append(f"the newest backup is of no use: {error}")
        return wrong

    @property
    def _backups_dir(self) -> Path:
        return self._fleet.data_dir / "broker" / "backups"

    # --- deeds ----------------------------------------------------------------------------------------------

    async def _pause(self) -> bool:
        queue = self._rng.choice(QUEUES)
        done = await self._tell(q.PAUSE_QUEUE, q.PauseQueue(name=queue, reason="chaos"))
        await self._a_while()
        back = await self._tell(q.RESUME_QUEUE, q.ResumeQueue(name=queue))
        return done is not None and back is not None

    async def _drain(self) -> bool:
        done = await self._tell(q.DRAIN_QUEUE, q.DrainQueue(name=SIDE, reason="chaos"))
        await self._a_while()
        back = await self._tell(q.RESUME_QUEUE, q.ResumeQueue(name=SIDE))
        return done is not None and back is not None

    async def _discard(self) -> bool:
        """Throw away what waits; a confirmation is void when another task came, or the broker began anew."""
        await self._tell(q.PAUSE_QUEUE, q.PauseQueue(name=SIDE, reason="chaos"))
        await self._wait("SELECT count(*) FROM tasks WHERE queue = ? AND state = 'queued'", SIDE)
        asked = await self._tell(q.DISCARD_QUEUE, q.DiscardQueue(name=SIDE))
        done = None
        if asked is not None and asked["tasks"]:
            wish = q.DiscardQueue(name=SIDE, confirm=asked["confirm"], reason="chaos")
            done = await self._tell(q.DISCARD_QUEUE, wish)
        await self._tell(q.RESUME_QUEUE, q.ResumeQueue(name=SIDE))
        return done is not None and bool(done["done"])

    async def _rate(self) -> bool:
        queue = self._rng.choice(QUEUES)
        limit = q.PutQueue(name=queue, rate_per_min=self._rng.choice((30, 120, 600)))
        done = await self._tell(q.PUT_QUEUE, limit)
        await self._a_while()
        return (
            await self._tell(q.PUT_QUEUE, q.PutQueue(name=queue, rate_per_min=0)) is not None and done is not None
        )

    async def _hold(self) -> bool:
        serial = self._rng.choice(self._load.serials)
        done = await self._tell(h.HOLD_DEVICE, h.HoldDevice(serial=serial, for_s=60.0, reason="chaos"))
        await self._a_while()
        back = await self._tell(h.UNHOLD_DEVICE, h.UnholdDevice(serial=serial))
        return done is not None and bool(done["held"]) and back is not None

    async def _quarantine(self) -> bool:
        serial = self._rng.choice(self._load.serials)
        node = node_id(self._rng.choice(self._fleet.nodes))
        term: Any = {"for_s": 60.0, "reason": "chaos"}
        on: tuple[str, Message] = (c.QUARANTINE_DEVICE, c.QuarantineDevice(serial=serial, **term))
        off: tuple[str, Message] = (c.RELEASE_DEVICE, c.ReleaseDevice(serial=serial))
        if self._rng.random() < NODE_SHARE:
            on = c.QUARANTINE_NODE, c.QuarantineNode(node_id=node, **term)
            off = c.RELEASE_NODE, c.ReleaseNode(node_id=node)
        done = await self._tell(*on)
        await self._a_while()
        back = await self._tell(*off)
        return done is not None and back is not None

    async def _cancel(self) -> bool:
        sql = "SELECT run_id FROM runs WHERE state = 'active' ORDER BY run_id DESC LIMIT 5"
        runs = [run_id for (run_id,) in await ask(self._fleet.store, sql)]
        if not runs:
            return False
        wish = c.CancelRun(run_id=self._rng.choice(runs), reason="chaos")
        done = await self._tell(c.CANCEL_RUN, wish)
        return done is not None and done["cancelled"] + done["cancelling"] > 0

    async def _retry_letters(self) -> bool:
        if not await self._wait_letters():
            return False
        done = await self._tell(d.RETRY_DEAD_LETTERS, d.RetryDeadLetters(everything=True))
        if done is None:
            return False
        self._load.made_elsewhere.update(done["runIds"])
        return bool(done["retried"])

    async def _discard_letters(self) -> bool:
        if not await self._wait_letters():
            return False
        asked = await self._tell(d.DISCARD_DEAD_LETTERS, d.DiscardDeadLetters(everything=True))
        if asked is None or not asked.get("confirm"):
            return False
        wish = d.DiscardDeadLetters(everything=True, confirm=asked["confirm"], reason="chaos")
        done = await self._tell(d.DISCARD_DEAD_LETTERS, wish)
        return done is not None and bool(done["discarded"])

    async def _wait_letters(self) -> bool:
        return await self._wait("SELECT count(*) FROM dead_letters WHERE state = 'open' AND kind = 'task'")

    async def _retention(self) -> bool:
        """A pass by the admin, which finds all of it too young, and old rows of the audit, which go."""
        began_ms = _now_ms()
        url = self._fleet.children["admin"].ready.get("X_DOAI_URL", "")
        token = (self._fleet.data_dir / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        try:
            async with httpx.AsyncClient(base_url=url, headers=headers, timeout=PASS_S, trust_env=False) as client:
                begun = await client.post("/api/v1/retention")
        except httpx.HTTPError:
            return False  # the admin is away
        if begun.is_error:
            return False
        [(newest,)] = await ask(self._fleet.store, "SELECT max(n) FROM audit")
        pruned = await self._tell(r.PRUNE_STORE, r.PruneStore(audit_up_to=max(0, newest - AUDIT_KEPT)))
        passed = await self._wait("SELECT count(*) FROM retention_passes WHERE began_at_ms >= ?", began_ms)
        return passed and pruned is not None

    # --- how ------------------------------------------------------------------------------------------------

    async def _wait(self, sql: str, *values: Any) -> bool:
        """Wait until a question has an answer above 0; False when it takes too long."""
        with trio.move_on_after(PASS_S):
            while not (await ask(self._fleet.store, sql, *values))[0][0]:  # noqa: ASYNC110 - another process
                await trio.sleep(LOOK_S)
            return True
        return False

    async def _a_while(self) -> None:
        await trio.sleep(self._rng.uniform(*LONG_S))

    async def _tell(self, name: str, payload: Message) -> dict[str, Any] | None:
        """Give a command until it is answered; None when it is refused."""
        reply = await self._load.until_answered(name, payload)
        if reply.problem is not None:
            self.refused[reply.problem.code] += 1
            return None
        result: dict[str, Any] = reply.result
        return result


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
