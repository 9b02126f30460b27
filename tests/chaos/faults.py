"""What can happen to a fleet: kills, freezes, bad links, full disks, each aimed and counted (all steps)."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import trio

from tests.chaos.disk import SmallDisk
from tests.chaos.journal import JOURNAL, in_handler
from tests.chaos.proxy import Mode, Proxies
from tests.integration.fleet import LOOK_S, WITHIN_S, Fleet, command_of, node_id

AIM_S: Final = 4.0
"""How long a moment is waited for that is worth a kill; then it happens anyway."""
AIMED_SHARE: Final = 0.8


class Aim(msgspec.Struct, frozen=True):
    """What a kill hit."""

    running: int
    """Tasks that ran, as the broker knows."""
    unacknowledged: int
    """Facts in the outboxes."""

    @property
    def good(self) -> bool:
        return self.running > 0 and self.unacknowledged > 0


class Injury(msgspec.Struct):
    """One fault that happened."""

    kind: str
    node: str | None
    """Whose results show the recovery; None = anybody's."""
    began_ms: int
    over_ms: int = 0
    """When recovery begins: of a kill its moment, else when the process went on or the link was whole again."""
    healed_ms: int = 0
    """When the last program was ready and the last link whole again: results count from here."""
    recovered_ms: int | None = None
    """When the first result that this fault could have held up was in the log; None = it never was."""
    aim: Aim | None = None
    """Of kills."""
    in_handler: bool | None = None
    """Of kills of the bot: whether one was at work."""

    @property
    def recovery_s(self) -> float | None:
        return None if self.recovered_ms is None else (self.recovered_ms - self.over_ms) / 1000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Faults:
    """Fires one fault at a time; `kinds` has the names of those that are possible here."""

    def __init__(self, fleet: Fleet, proxies: Proxies, disks: dict[str, SmallDisk], rng: random.Random) -> None:
        self._fleet = fleet
        self._proxies = proxies
        self._disks = disks
        self._rng = rng
        self._table: dict[str, Callable[[Injury], Awaitable[None]]] = {
            "kill broker": lambda injury: self._kill(injury, "broker"),
            "kill node": lambda injury: self._kill(injury, self._pick(injury)),
            "kill admin": lambda injury: self._kill(injury, "admin"),
            "kill adb server": self._kill_adb,
            "kill bot": self._kill_bot,
            "kill all": lambda injury: self._kill(injury, "broker", "admin", "bot", *fleet.nodes),
            "freeze broker": lambda injury: self._freeze(fleet.children["broker"].pid),
            "freeze node": lambda injury: self._freeze(fleet.children[self._pick(injury)].pid),
            "freeze admin": lambda injury: self._freeze(fleet.children["admin"].pid),
            "freeze bot": lambda injury: self._freeze(fleet.children["bot"].pid),
            "freeze adb server": self._freeze_adb,
            "link refused": lambda injury: self._weather(injury, Mode.REFUSE),
            "link cut": self._cut,
            "link stalled up": lambda injury: self._weather(injury, Mode.STALL_UP),
            "link stalled down": lambda injury: self._weather(injury, Mode.STALL_DOWN),
            "link slow": lambda injury: self._weather(injury, Mode.DELAY),
        }
        if "broker" in disks:
            self._table["disk full, broker"] = lambda injury: self._fill(injury, "broker")
        if "node" in disks:
            self._table["disk full, node"] = lambda injury: self._fill(injury, "node")
        self.kinds = tuple(self._table)

    async def fire(self, kind: str) -> Injury:
        """Let it happen, and make whole again what it broke."""
        injury = Injury(kind, None, now_ms())
        await self._table[kind](injury)
        injury.healed_ms = now_ms()
        injury.over_ms = injury.over_ms or injury.healed_ms
        return injury

    def _pick(self, injury: Injury) -> str:
        name = self._rng.choice(self._fleet.nodes)
        injury.node = node_id(name)
        return name

    # --- kills ----------------------------------------------------------------------------------------------

    async def _kill(self, injury: Injury, *names: str) -> None:
        pids = [self._fleet.children[name].pid for name in names]
        nodes = [name for name in names if name in self._fleet.nodes] or self._fleet.nodes
        injury.aim = await self._aim(pids, nodes)
        injury.began_ms = injury.over_ms = now_ms()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for name in names:
            await self._fleet.kill(name)  # It is dead by now: this waits for it, and notes it.
        self._proxies.heal()
        async with trio.open_nursery() as nursery:  # At once, as after a boot: the admin is ready after its broker.
            for name in names:
                nursery.start_soon(self._fleet.start, name)

    async def _kill_adb(self, injury: Injury) -> None:
        node = self._pick(injury)
        pid = await self._adb_server(node)
        injury.aim = await self._aim([pid], [node])
        injury.began_ms = injury.over_ms = now_ms()
        os.kill(pid, signal.SIGKILL)
        self._proxies.heal()

    async def _kill_bot(self, injury: Injury) -> None:
        pid = self._fleet.children["bot"].pid
        journal = self._fleet.bot_dir / JOURNAL
        with trio.move_on_after(AIM_S):
            while not in_handler(journal):  # noqa: ASYNC110 - another process
                await trio.sleep(LOOK_S)
        os.kill(pid, signal.SIGSTOP)
        injury.in_handler = in_handler(journal)
        injury.began_ms = injury.over_ms = now_ms()
        os.kill(pid, signal.SIGKILL)
        await self._fleet.kill("bot")
        await self._fleet.start("bot")

    async def _aim(self, pids: list[int], nodes: list[str]) -> Aim:
        """Stop the victims at a moment worth it, mostly; return what they were at when they stopped.

        Most times no ack comes back for a moment before, so that the outbox is not empty.
        """
        aimed = self._rng.random() < AIMED_SHARE
        if aimed:
            for node in nodes:
                self._proxies.of[node].set_mode(Mode.STALL_DOWN)
        else:
            await trio.sleep(self._rng.uniform(0, 1))
        with trio.move_on_after(AIM_S if aimed else 0):
            while not self._look(nodes).good:  # noqa: ASYNC110 - other processes
                await trio.sleep(LOOK_S)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        return self._look(nodes)

    def _look(self, nodes: list[str]) -> Aim:
        marks = ",".join("?" * len(nodes))
        sql = f"SELECT count(*) FROM tasks WHERE state = 'running' AND node_id IN ({marks})"
        [(running,)] = self._fleet.store.ask(sql, *map(node_id, nodes))
        return Aim(int(running), sum(self._fleet.unacknowledged(node) for node in nodes))

    # --- freezes, links, disks ------------------------------------------------------------------------------

    async def _freeze_adb(self, injury: Injury) -> None:
        await self._freeze(await self._adb_server(self._pick(injury)))

    async def _adb_server(self, node: str) -> int:
        """Return its pid; it may just be starting again."""
        with trio.fail_after(WITHIN_S):
            while len(found := self._fleet.adb_server_pids(node)) != 1:  # noqa: ASYNC110
                await trio.sleep(LOOK_S)
        return found[0]

    async def _freeze(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        try:
            await trio.sleep(self._rng.uniform(0.5, 5))
        finally:
            with contextlib.suppress(ProcessLookupError):  # A node replaces an adb server that hangs.
                os.kill(pid, signal.SIGCONT)

    async def _weather(self, injury: Injury, mode: Mode) -> None:
        proxy = self._proxies.of[self._pick(injury)]
        proxy.delay_s = self._rng.uniform(0.02, 0.3)
        proxy.set_mode(mode)
        await trio.sleep(self._rng.uniform(0.5, 6))
        proxy.set_mode(Mode.PASS)

    async def _cut(self, injury: Injury) -> None:
        proxy = self._proxies.of[self._pick(injury)]
        for _ in range(self._rng.randint(1, 4)):
            proxy.cut()
            await trio.sleep(self._rng.uniform(0, 0.8))

    async def _fill(self, injury: Injury, name: str) -> None:
        """No byte is left on its disk for a while; who ends because of it is started when there is room."""
        if name in self._fleet.nodes:
            injury.node = node_id(name)
        self._disks[name].fill()
        try:
            with trio.move_on_after(self._rng.uniform(2, 5)):
                await self._fleet.children[name].wait()
        finally:
            self._disks[name].free()
        injury.over_ms = now_ms()
        with trio.move_on_after(1):  # A commit that is under way may still meet the full disk.
            await self._fleet.children[name].wait()
        if self.ended(name):
            await self._fleet.start(name)

    def ended(self, name: str) -> bool:
        """Whether a program is not there."""
        return command_of(self._fleet.children[name].pid) == ""
