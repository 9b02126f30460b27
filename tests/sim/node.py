"""A node's process in the simulation: core, pipeline, disk, runner, as doai.node.shell drives them (steps 6-11)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from doai.drivers.base import DeviceChange, DeviceInfo, DriverNotice, Proof, ProofKind
from doai.errors import Failure
from doai.ids import RandomIds
from doai.limits import CREDIT_BYTES, RECORDS_PER_FRAME_MAX
from doai.link.actions import OpenSocket, ReadFacts, SendFrame
from doai.messages.plugins import PluginOffer
from doai.messages.samples import SAMPLES_DEVICES, DeviceHealth
from doai.node.core.core import NodeCore
from doai.node.core.effects import (
    CancelStep,
    Changes,
    DropTaskFiles,
    HostNumbers,
    Log,
    NodeSettings,
    ReadHealth,
    ReloadOutbox,
    StartStep,
    StepEnded,
    StopNode,
)
from doai.node.core.session import EXIT_FENCED
from doai.states import DeviceState
from doai.workflow.step_type import StepType
from tests.sim.commits import Commits
from tests.sim.disks import NodeDisk
from tests.sim.log_lines import TELL_EVERY_S, LinesOfLog
from tests.sim.network import Connection, Network
from tests.sim.phones import Phone, Runner
from tests.sim.world import ProcessClock, World

TIMER_LATE_S = 0.001
Draw = Callable[[StartStep], list[tuple[float, Failure | None]]]


class NodeProcess:
    """One host on which node processes live, one after the other."""

    def __init__(
        self,
        world: World,
        network: Network,
        name: str,
        disk: NodeDisk,
        *,
        slots: int,
        tags: list[str],
        draw: Draw,
        watch: Callable[[NodeProcess, Any], None],
        sample: Callable[[NodeProcess, str], None],
    ) -> None:
        self.world = world
        self.name = name
        self.disk = disk
        self.clock = ProcessClock(world)
        self.phones: dict[str, Phone] = {}
        self.core: NodeCore | None = None
        self.commits: Commits
        self.runner: Runner
        self.frozen = False
        self.lives = 0
        self.fenced = ""
        """Why its process ended for good; an operator starts it again."""
        self.is_clone = False
        self._network = network
        self._slots = slots
        self._tags = tags
        self._draw = draw
        self._watch = watch
        self._connection: Connection | None = None
        self._epoch = 0
        self._inbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._armed_s: float | None = None
        self._log_lines = LinesOfLog("node")
        self._performers: dict[type, Callable[[Any], None]] = {
            OpenSocket: self._open_socket,
            SendFrame: self._send,
            ReadFacts: self._read_facts,
            StartStep: lambda effect: self.runner.start(effect),
            CancelStep: lambda effect: self.runner.cancel(effect),
            DropTaskFiles: lambda effect: None,
            ReadHealth: lambda effect: sample(self, effect.serial),
            Log: self._log,
            ReloadOutbox: self._reload,
            StopNode: self._stop,
        }

    @property
    def alive(self) -> bool:
        """Whether a process lives."""
        return self.core is not None

    @property
    def key(self) -> str:
        """Its public key."""
        return self.name.ljust(40, "n")

    # --- lives --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin a life from the disk."""
        if self.core is not None:
            return
        self.lives += 1
        self.fenced = ""
        self.frozen = False
        state = self.disk.open()
        now = self.clock.now()
        settings = NodeSettings(
            node_id=self.name,
            host=f"host-{self.name}",
            pid=self.lives,
            version="sim",
            started_at_ms=now.utc_ms,
            slots=self._slots,
            tags=self._tags,
            capabilities=[SAMPLES_DEVICES],
        )
        self.core = NodeCore(state, settings, RandomIds(self.world.random.getrandbits), now)
        self.commits = Commits(self.world, self.disk, self._perform, self._commit_failed)
        life = self.lives
        self.runner = Runner(
            self.world,
            self.clock,
            self.phones,
            self._draw,
            self._step_ended,
            lambda: not (self.frozen and self.lives == life),
        )
        self._inbox.clear()
        self._armed_s = None
        facts = [envelope for _, envelope in self.disk.read_facts(0, 10**9, 10**9)]
        self._decided(self.core.start(now, facts))
        for phone in self.phones.values():
            self.world.after(self.world.random.uniform(0.1, 6.0), self.see, phone, self.lives)

    def kill(self) -> None:
        """SIGKILL."""
        if self.core is None:
            return
        self.runner.die()
        self.commits.die()
        self.core = None
        self.frozen = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def freeze(self) -> None:
        """SIGSTOP."""
        if self.core is not None:
            self.frozen = True
            self.commits.freeze()

    def thaw(self) -> None:
        """SIGCONT."""
        if self.core is None or not self.frozen:
            return
        self.frozen = False
        self.commits.thaw()
        while self._inbox and self.core is not None and not self.frozen:
            call, arguments = self._inbox.popleft()
            call(*arguments)
        self.runner.thaw()
        self._armed_s = None
        self._arm()

    def drain(self, reason: str) -> None:
        """An operator stops it: SIGTERM."""
        if self.core is not None and not self.frozen:
            self._decided(self.core.drain(reason, self.clock.now()))

    # --- devices ------------------------------------------------------------------------------------------

    def see(self, phone: Phone, life: int | None = None) -> None:
        """The driver looks at a phone and tells."""
        if life is None:
            life = self.lives
        if self.core is None or life != self.lives or phone.serial not in self.phones:
            return
        if self.frozen:
            self._inbox.append((self.see, (phone, life)))
            return
        now = self.clock.now()
        info = None
        if phone.state is DeviceState.ONLINE:
            info = DeviceInfo(serial=phone.serial, connection="usb", model=phone.model, sdk=phone.sdk)
        reason = "" if info is not None else "simulated"
        change = DeviceChange(serial=phone.serial, state=phone.state, reason=reason, info=info)
        self._decided(self.core.device_changed(change, "sim", now))
        self.core.device_proven(Proof(phone.serial, ProofKind.ANSWER), now)

    def notice(self, code: str, serial: str | None) -> None:
        """The driver, or the upload of artifacts, has something to say."""
        if self.core is None or self.frozen:
            return
        now = self.clock.now()
        if serial is None and code == "upload_refused":
            self._decided(self.core.alert(code, "an artifact was refused", now))
        else:
            self._decided(
                self.core.driver_noticed(
                    DriverNotice(code=code, message="x" * self.world.random.choice((9, 9_000)), serial=serial), now
                )
            )
        self.core.sampled(HostNumbers(1.0, 2.0, 3))
        self.core.device_proven(Proof("never-seen", ProofKind.ANSWER), now)

    def plugins_changed(self, offers: list[PluginOffer], step_types: Mapping[str, StepType]) -> None:
        """Its plug-ins are these."""
        if self.core is not None and not self.frozen:
            self._decided(self.core.plugins_changed(offers, step_types, self.clock.now()))

    def say_and_hear(self, header: bytes) -> None:
        """A frame that only newer programs know goes both ways."""
        if self._connection is not None:
            self._connection.send(header, b"")
        self._frame(self._epoch, self.lives, header, b"")

    def disk_room(self, free_bytes: int) -> None:
        """So much is free on its disk."""
        if self.core is not None and not self.frozen:
            self._decided(self.core.disk_room(free_bytes, self.clock.now()))

    def unplug(self, phone: Phone) -> None:
        """The phone is not this host's any more."""
        self.phones.pop(phone.serial, None)
        self._lose(phone, self.lives)

    def _lose(self, phone: Phone, life: int) -> None:
        if self.frozen:
            self._inbox.append((self._lose, (phone, life)))
        elif self.core is not None and life == self.lives:
            change = DeviceChange(serial=phone.serial, state=DeviceState.OFFLINE, reason="unplugged")
            self._decided(self.core.device_changed(change, "sim", self.clock.now()))

    # --- events -------------------------------------------------------------------------------------------

    def _decided(self, changes: Changes) -> None:
        self.commits.submit(changes.ops, changes.effects)
        self._arm()

    def _arm(self) -> None:
        if self.core is None:
            return
        due_s = self.core.due_s()
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
        due_s, now = self.core.due_s(), self.clock.now()
        if due_s is not None and due_s <= now.mono_s:
            self._decided(self.core.tick(now, self.world.random.random()))
        else:
            self._arm()

    def _step_ended(self, ended: StepEnded) -> None:
        if self.core is not None:
            self._decided(self.core.step_ended(ended, self.clock.now(), self.world.random.random()))

    def health_read(self, health: DeviceHealth) -> None:
        """A phone was read, or did not answer."""
        if self.core is not None:
            self._decided(self.core.health_read(health, self.clock.now()))

    def _frame(self, epoch: int, life: int, header: bytes, body: bytes) -> None:
        if self.core is None or life != self.lives:
            return
        if self.frozen:
            self._inbox.append((self._frame, (epoch, life, header, body)))
            return
        self._decided(self.core.frame(epoch, header, body, self.clock.now(), self.world.random.random()))

    def socket_lost(self) -> None:
        """The socket itself fails."""
        if self.core is not None and not self.frozen:
            self._decided(self.core.socket_lost(self._epoch, self.clock.now(), self.world.random.random()))

    # --- effects ------------------------------------------------------------------------------------------

    def _perform(self, effect: Any) -> None:
        self._watch(self, effect)
        self._performers[type(effect)](effect)

    def _open_socket(self, effect: OpenSocket) -> None:
        if self._connection is not None:
            self._connection.close()
        epoch, life = effect.epoch, self.lives
        self._epoch = epoch
        self._connection = self._network.dial(
            self.name, lambda header, body: self._frame(epoch, life, header, body)
        )
        slow = self.world.random.random() < 0.05
        self.world.after(self.world.random.uniform(0.1, 6.0) if slow else 0.001, self._opened, epoch, life)

    def _opened(self, epoch: int, life: int) -> None:
        if self.core is None or life != self.lives:
            return
        if self.frozen:
            self._inbox.append((self._opened, (epoch, life)))
            return
        self._decided(self.core.socket_opened(epoch, self.clock.now()))

    def _send(self, effect: SendFrame) -> None:
        if self._connection is not None and self._epoch == effect.epoch:
            self._connection.send(effect.header, effect.body)

    def _read_facts(self, effect: ReadFacts) -> None:
        self.commits.with_disk(
            lambda: self.disk.read_facts(effect.after_seq, RECORDS_PER_FRAME_MAX, CREDIT_BYTES // 4),
            lambda facts: self._facts_read(effect.epoch, facts),
        )

    def _facts_read(self, epoch: int, facts: list[tuple[int, bytes]]) -> None:
        if self.core is not None:
            self._decided(self.core.facts_read(epoch, facts, self.clock.now()))

    def _reload(self, effect: ReloadOutbox) -> None:
        self.commits.with_disk(self.disk.load, self._reloaded)

    def _reloaded(self, state: Any) -> None:
        if self.core is not None:
            self._decided(self.core.renewed(state, self.clock.now()))

    def _log(self, effect: Log) -> None:
        if self.core is not None and self.core.takes_log_lines and self._log_lines.add(effect.message):
            self.world.after(TELL_EVERY_S, self._tell_log, self.lives)

    def _tell_log(self, life: int) -> None:
        lines = self._log_lines.take()
        if self.core is not None and life == self.lives and not self.frozen and self.core.takes_log_lines:
            self._decided(self.core.tell_log(lines, self.clock.now()))

    def _stop(self, effect: StopNode) -> None:
        self.world.notes.append((self.world.now_s, f"{self.name} stops: {effect.reason}"))
        if effect.exit_code == EXIT_FENCED:
            self.fenced = effect.reason
        self.world.after(0.0, self._exit, self.lives)

    def _exit(self, life: int) -> None:
        if life == self.lives:
            self.kill()

    def _commit_failed(self) -> None:
        self.world.notes.append((self.world.now_s, f"{self.name} exits: a commit failed"))
        self.kill()
        self.world.after(1.0, self.start)
