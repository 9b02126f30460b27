"""The broker's process in a world: core, pipeline and disk, driven as doai.broker.shell does (steps 2-5, 12)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from doai.broker.core.core import BrokerCore
from doai.broker.core.effects import (
    Changes,
    GoOn,
    KeysChanged,
    LoadAgain,
    LogLine,
    OpenChannel,
    ReadLog,
    SendFrame,
    ShutLink,
)
from doai.broker.core.settings import CoreSettings
from doai.ids import RandomIds
from tests.sim.commits import Commits
from tests.sim.disks import BrokerDisk
from tests.sim.log_lines import TELL_EVERY_S, LinesOfLog
from tests.sim.network import Network
from tests.sim.world import ProcessClock, World

ADMIN: Final = "admin"
ADMIN_KEY: Final = "a" * 40
TIMER_LATE_S: Final = 0.001
"""A timer fires a little after its time."""


class BrokerProcess:
    """One host on which broker processes live, one after the other."""

    def __init__(
        self,
        world: World,
        network: Network,
        disk: BrokerDisk,
        settings: CoreSettings,
        watch: Callable[[BrokerProcess, SendFrame], None],
    ) -> None:
        self.world = world
        self.disk = disk
        self.clock = ProcessClock(world)
        self.core: BrokerCore | None = None
        self.commits: Commits
        self.frozen = False
        self.decided: Callable[[BrokerCore, Changes, float], None] = _nothing
        """Looks at every decision."""
        self.lives = 0
        self.restart_after_s = 1.0
        self._network = network
        self._settings = settings
        self._watch = watch
        self._inbox: deque[tuple[int, str, bytes, bytes]] = deque()
        self._armed_s: float | None = None
        self._log_lines = LinesOfLog("broker")
        self._performers: dict[type, Callable[[Any], None]] = {
            SendFrame: self._send,
            ShutLink: lambda effect: self.world.after(effect.after_s, self._network.shut, effect.link),
            OpenChannel: lambda effect: None,
            KeysChanged: lambda effect: None,
            LogLine: self._log,
            LoadAgain: self._load_again,
            ReadLog: lambda effect: self.world.after(self.disk.pace.read_s(), self._read_log, effect, self.core),
            GoOn: self._go_on,
        }

    @property
    def alive(self) -> bool:
        """Whether a process lives."""
        return self.core is not None

    def start(self) -> None:
        """Begin a life from the disk."""
        if self.core is not None:
            return
        self.lives += 1
        self.frozen = False
        snapshot = self.disk.open()
        now = self.clock.now()
        self.core = BrokerCore(snapshot, RandomIds(self.world.random.getrandbits), self._settings, now)
        registered = self.core.register_admin(ADMIN, ADMIN_KEY, now)
        if registered.ops:
            self.disk.commit(registered.ops)
        self.commits = Commits(self.world, self.disk, self._perform, self._commit_failed)
        self._network.broker = self._arrived
        self._armed_s = None
        self._inbox.clear()
        self._arm()

    def kill(self) -> None:
        """SIGKILL: nothing is said, what was not committed is gone."""
        if self.core is None:
            return
        self.commits.die()
        self.core = None
        self.frozen = False
        self._network.broker = None
        self._network.break_links()

    def freeze(self) -> None:
        """SIGSTOP."""
        if self.core is not None:
            self.frozen = True
            self.commits.freeze()

    def thaw(self) -> None:
        """SIGCONT: everything that waited comes at once."""
        if self.core is None or not self.frozen:
            return
        self.frozen = False
        self.commits.thaw()
        while self._inbox and not self.frozen:
            self._hear(*self._inbox.popleft())
        self._armed_s = None
        self._arm()

    def submit(self, changes: Changes) -> None:
        """Take one decision of the core."""
        if self.core is not None:
            self.decided(self.core, changes, self.world.now_s)
        self.commits.submit(changes.ops, changes.effects)

    def disk_room(self, free_bytes: int) -> None:
        """So much is free on its disk."""
        if self.core is not None and not self.frozen:
            self.submit(self.core.disk_room(free_bytes, self.clock.now()))

    def malformed(self, link: int, name: str, data: bytes) -> None:
        """A message that is no frame came."""
        if self.core is not None and not self.frozen:
            self.submit(self.core.malformed(link, name, "it has 3 parts", data, self.clock.now()))

    # --- inside -------------------------------------------------------------------------------------------

    def _arrived(self, link: int, name: str, header: bytes, body: bytes) -> None:
        if self.frozen:
            self._inbox.append((link, name, header, body))
        else:
            self._hear(link, name, header, body)

    def _hear(self, link: int, name: str, header: bytes, body: bytes) -> None:
        if self.core is not None:
            self.submit(self.core.frame(link, name, header, body, self.clock.now()))
            self._arm()

    def _arm(self) -> None:
        if self.core is None:
            return
        due_s = self.core.next_due_s()
        if due_s is None:
            return
        at_s = self.clock.world_s(due_s) + TIMER_LATE_S
        if self._armed_s is None or at_s < self._armed_s:
            self._armed_s = at_s
            self.world.at(at_s, self._tick, self.lives, at_s)

    def _tick(self, life: int, at_s: float) -> None:
        if life != self.lives or at_s != self._armed_s or self.core is None or self.frozen:
            return
        self._armed_s = None
        due_s, now = self.core.next_due_s(), self.clock.now()
        if due_s is not None and due_s <= now.mono_s:
            self.submit(self.core.tick(now))
        self._arm()

    def _perform(self, effect: Any) -> None:
        self._performers[type(effect)](effect)

    def _send(self, effect: SendFrame) -> None:
        self._watch(self, effect)
        if not self._network.to_peer(effect.link, effect.header, effect.body) and self.core is not None:
            self.submit(self.core.link_gone(effect.link, self.clock.now()))

    def _load_again(self, effect: LoadAgain) -> None:
        self.world.fault("handler_failed")
        ids = RandomIds(self.world.random.getrandbits)
        self.core = BrokerCore(self.disk.load(), ids, self._settings, self.clock.now())
        self._arm()

    def _read_log(self, effect: ReadLog, asked: BrokerCore) -> None:
        """What a thread read meanwhile comes; a process that is frozen takes it later."""
        if self.core is not asked:
            return
        if self.frozen:
            self.world.after(0.5, self._read_log, effect, asked)
            return
        self.submit(self.core.log_read(effect, self.disk.read_log(effect.request), self.clock.now()))
        self._arm()

    def _go_on(self, effect: GoOn) -> None:
        if self.core is not None:
            self.core.landed(self.clock.now())
            self._arm()

    def _log(self, effect: LogLine) -> None:
        if self.core is not None and self.core.log_is_wanted and self._log_lines.add(effect.message):
            self.world.after(TELL_EVERY_S, self._tell_log, self.lives)

    def _tell_log(self, life: int) -> None:
        lines = self._log_lines.take()
        if self.core is not None and life == self.lives and not self.frozen:
            self.submit(self.core.logged(lines, self.clock.now()))

    def _commit_failed(self) -> None:
        self.world.notes.append((self.world.now_s, "broker exits: a commit failed"))
        self.kill()
        self.world.after(self.restart_after_s, self.start)


def _nothing(core: BrokerCore, changes: Changes, now_s: float) -> None:
    """Nobody looks."""
