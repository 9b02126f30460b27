"""The node's shell: brings events to the core, commits what it decides, performs the effects (steps 6-11)."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import trio

from doai.changes.outbox import OutboxOp
from doai.clock import Clock
from doai.drivers.base import DeviceChange, Driver, DriverNotice, Proof
from doai.drivers.failures import device_offline
from doai.errors import StepError
from doai.ids import Token
from doai.limits import (
    COMMIT_ENOUGH_OPS,
    COMMITS_APART_FULL_S,
    COMMITS_APART_S,
    CREDIT_BYTES,
    DISK_LOOK_S,
    RECORDS_PER_FRAME_MAX,
)
from doai.link.actions import OpenSocket, ReadFacts, SendFrame
from doai.messages.plugins import PluginOffer
from doai.node.core.core import NodeCore
from doai.node.core.effects import (
    CancelStep,
    Changes,
    DropTaskFiles,
    Log,
    NodeEffect,
    ReadHealth,
    ReloadOutbox,
    StartStep,
    StepEnded,
    StopNode,
)
from doai.node.driver_watch import DriverWatch
from doai.node.host import HostMeter
from doai.node.plugins import Plugins
from doai.node.runner import FileSource, Runner
from doai.node.sampler import sample_health
from doai.node.secrets import SecretSource
from doai.node.spool import Spool
from doai.node.steps.base import StepFunction
from doai.states import DeviceState
from doai.store.committer import Committer
from doai.store.outbox import OutboxFile
from doai.store.pipeline import Pipeline
from doai.wire.connecting import Connecting, OpenDealer
from doai.wire.log_tap import TELL_EVERY_S, LogTap
from doai.workflow.step_type import StepType

SAMPLE_EVERY_S: Final = 5.0
"""Twice a heartbeat: each tells numbers that are at most this old."""
DROP_AFTER_S: Final = 0.5
"""Files of ended tasks go together: a thread a task would cost more than its files."""
LATE_S: Final = 5.0
"""What was due this long ago and was not looked at says that the core's timer stands still."""
LATE_POLL_S: Final = 0.5
_log: Final = logging.getLogger(__name__)


class Shell:
    """One node from start to stop. It performs and never decides."""

    def __init__(
        self,
        *,
        node_id: str,
        core: NodeCore,
        outbox: OutboxFile,
        spool: Spool,
        drivers: Sequence[Driver],
        open_dealer: OpenDealer,
        steps: Mapping[str, StepFunction],
        clock: Clock,
        random01: Callable[[], float] = random.random,
        disk_free_bytes: Callable[[], int | None] | None = None,
        files: FileSource | None = None,
        secrets: SecretSource | None = None,
        tap: LogTap | None = None,
        plugins: Plugins | None = None,
    ) -> None:
        """``disk_free_bytes`` looks at the disk of the node's files; None = there is none to run full.

        ``files`` gives steps stored files; it runs elsewhere. ``secrets`` gives them what tasks name.
        ``tap`` has what this process logs, to be told to the admin. ``plugins`` performs steps of plug-ins.
        """
        self._node_id = node_id
        self._core = core
        self._outbox = outbox
        self._spool = spool
        self._drivers = drivers
        self._connection = Connecting(open_dealer, self)
        self._clock = clock
        self._tap = tap
        self._random01 = random01
        self._disk_free_bytes = disk_free_bytes
        self._committer: Committer[OutboxOp, NodeEffect] = Committer(
            Pipeline(), outbox, self._release, apart_s=self._commits_apart_s, enough_ops=COMMIT_ENOUGH_OPS
        )
        self._runner = Runner(
            node_id=node_id,
            driver_of=self.driver_of,
            artifacts=spool,
            clock=clock,
            steps=steps,
            ended=self._step_ended,
            files=files,
            secrets=secrets,
            plugins=plugins,
        )
        self._plugins = plugins
        self._to_drop: list[tuple[str, Token]] = []
        """Attempts that have ended, and that made files."""
        self._holder: dict[str, Driver] = {}
        self._due_s: float | None = None
        self._due_changed = trio.Event()
        self._nursery: trio.Nursery
        self._not_running = len(drivers)
        self._drivers_run = trio.Event()
        self._stop: StopNode | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> StopNode:
        """Run until the core says stop; raises StoreError when a commit fails."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._committer.run)
            await nursery.start(self._runner.run)
            self._look_at_disk()  # before the first start: a node whose disk is full begins closed
            self._decided(self._core.start(self._clock.now(), unacknowledged(self._outbox)))
            for driver in self._drivers:
                nursery.start_soon(DriverWatch(driver, self, self._random01).run)
            nursery.start_soon(self._tick)
            nursery.start_soon(self._sample)
            nursery.start_soon(self._watch_disk)
            nursery.start_soon(self._tell_log)
            if self._plugins is not None:
                nursery.start_soon(self._plugins.run, self._plugins_changed)
            task_status.started()
        assert self._stop is not None
        return self._stop

    async def wait_serving(self) -> None:
        """Return when every driver runs: devices are seen, and tasks of theirs can be executed."""
        if self._not_running:
            await self._drivers_run.wait()

    async def prove_turn(self) -> None:
        """Return when the core is not behind its own times and what waits for the disk gets there.

        For a watchdog: while the loop, the core's timer or a commit stands still, this does not return.
        """
        while self._core_is_late():  # noqa: ASYNC110 - a time passes, no event
            await trio.sleep(LATE_POLL_S)
        await self._committer.wait_turn()

    def _core_is_late(self) -> bool:
        due_s = self._core.due_s()
        return due_s is not None and due_s < self._clock.now().mono_s - LATE_S

    def drain(self, reason: str) -> None:
        """Give everything back and stop."""
        self._decided(self._core.drain(reason, self._clock.now()))

    def alert(self, code: str, message: str) -> None:
        """Tell an operator of something on this host."""
        self._decided(self._core.alert(code, message, self._clock.now()))

    # --- events -----------------------------------------------------------------------------------------------

    def _commits_apart_s(self) -> float:
        return COMMITS_APART_FULL_S if self._core.full else COMMITS_APART_S

    def _decided(self, changes: Changes) -> None:
        self._committer.submit(changes.ops, changes.effects)
        due_s = self._core.due_s()
        if due_s is not None and (self._due_s is None or due_s < self._due_s):
            self._due_changed.set()

    async def _tick(self) -> None:
        while True:
            self._due_changed = trio.Event()
            self._due_s = self._core.due_s()
            wait_s = float("inf") if self._due_s is None else self._due_s - self._clock.now().mono_s
            if wait_s > 0:
                with trio.move_on_after(wait_s):
                    await self._due_changed.wait()
            else:
                self._decided(self._core.tick(self._clock.now(), self._random01()))
                await trio.lowlevel.checkpoint()

    async def _sample(self) -> None:
        meter = HostMeter()
        while True:
            self._core.sampled(meter.read())
            await trio.sleep(SAMPLE_EVERY_S)

    async def _tell_log(self) -> None:
        while self._tap is not None:
            await trio.sleep(TELL_EVERY_S)
            if self._core.takes_log_lines and (lines := self._tap.take()) is not None:
                self._decided(self._core.tell_log(lines, self._clock.now()))

    async def _watch_disk(self) -> None:
        while True:
            await trio.sleep(DISK_LOOK_S)
            self._look_at_disk()

    def _look_at_disk(self) -> None:
        free_bytes = self._disk_free_bytes() if self._disk_free_bytes is not None else None
        if free_bytes is not None:
            self._decided(self._core.disk_room(free_bytes, self._clock.now()))

    def driver_runs(self, driver: Driver) -> None:
        """Its devices are seen from now on."""
        self._not_running -= 1
        if not self._not_running:
            self._drivers_run.set()

    def driver_said(self, driver: Driver, item: DeviceChange | Proof | DriverNotice) -> None:
        """A driver told of a device, or of itself."""
        now = self._clock.now()
        if isinstance(item, DeviceChange):
            if item.state is DeviceState.OFFLINE and self._holder.get(item.serial, driver) is not driver:
                return  # it went from one driver to another, and the other has it
            self._holder[item.serial] = driver
            self._decided(self._core.device_changed(item, driver.name, now))
        elif isinstance(item, Proof):
            self._core.device_proven(item, now)
        else:
            self._decided(self._core.driver_noticed(item, now))

    def driver_failed(self, driver: Driver, notice: DriverNotice) -> None:
        """What it held is nobody's until it, or another driver, tells of it again."""
        for serial in [serial for serial, holder in self._holder.items() if holder is driver]:
            gone = DeviceChange(serial=serial, state=DeviceState.OFFLINE, reason=notice.message)
            self.driver_said(driver, gone)
            del self._holder[serial]
        self.driver_said(driver, notice)

    def driver_of(self, serial: str) -> Driver:
        """Return the driver that has a device now; raises StepError when none has."""
        driver = self._holder.get(serial)
        if driver is None:
            raise device_offline(serial)
        return driver

    def _plugins_changed(self, offers: list[PluginOffer], step_types: Mapping[str, StepType]) -> None:
        self._decided(self._core.plugins_changed(offers, step_types, self._clock.now()))

    def _step_ended(self, ended: StepEnded) -> None:
        self._decided(self._core.step_ended(ended, self._clock.now(), self._random01()))

    # --- the connection ---------------------------------------------------------------------------------------

    def opened(self, epoch: int) -> None:
        """The socket is connected."""
        self._decided(self._core.socket_opened(epoch, self._clock.now()))

    async def heard(self, epoch: int, frames: Sequence[tuple[bytes, bytes]]) -> bool:
        """Frames of the broker came; return whether it has taken the node in. With a full disk queue it waits."""
        for header, body in frames:
            self._decided(self._core.frame(epoch, header, body, self._clock.now(), self._random01()))
        if not self._committer.has_room:
            await self._committer.wait_idle()
        return self._core.live

    def lost(self, epoch: int) -> None:
        """The connection is of no more use."""
        self._decided(self._core.socket_lost(epoch, self._clock.now(), self._random01()))

    def explained(self, why: str) -> None:
        """Say why nobody answers."""
        _log.warning("%s", why, extra={"node_id": self._node_id})

    # --- effects ----------------------------------------------------------------------------------------------

    def _release(self, effect: NodeEffect) -> None:
        _PERFORM[type(effect)](self, effect)

    def _open_socket(self, effect: OpenSocket) -> None:
        self._connection.open(self._nursery, effect.epoch)

    def _send(self, effect: SendFrame) -> None:
        self._connection.send(effect.epoch, effect.header, effect.body)

    def _read_facts(self, effect: ReadFacts) -> None:
        self._nursery.start_soon(self._read_facts_from_file, effect)

    async def _read_facts_from_file(self, effect: ReadFacts) -> None:
        facts = await self._committer.with_writer(
            lambda: self._outbox.read_facts(effect.after_seq, RECORDS_PER_FRAME_MAX, CREDIT_BYTES // 4), brief=True
        )
        self._decided(self._core.facts_read(effect.epoch, facts, self._clock.now()))

    def _start_step(self, effect: StartStep) -> None:
        self._runner.start(effect)

    def _cancel_step(self, effect: CancelStep) -> None:
        self._runner.cancel(effect)

    def _drop_files(self, effect: DropTaskFiles) -> None:
        if self._runner.forget(effect.task_id, effect.token):
            if not self._to_drop:
                self._nursery.start_soon(self._drop_gathered)
            self._to_drop.append((effect.task_id, effect.token))

    async def _drop_gathered(self) -> None:
        await trio.sleep(DROP_AFTER_S)
        attempts, self._to_drop = self._to_drop, []
        try:
            await self._spool.drop_tasks(attempts)
        except StepError as error:
            # The files are of no use to anybody; the next start of the node removes them.
            _log.warning("files of %d ended tasks stay: %s", len(attempts), error, extra={"node_id": self._node_id})

    def _read_health(self, effect: ReadHealth) -> None:
        self._nursery.start_soon(self._sample_device, effect.serial)

    async def _sample_device(self, serial: str) -> None:
        health = await sample_health(self.driver_of, serial, self._clock, self._node_id)
        self._decided(self._core.health_read(health, self._clock.now()))

    def _log_line(self, effect: Log) -> None:
        _log.log(effect.level, "%s", effect.message, extra={"node_id": self._node_id, **effect.fields})

    def _reload_outbox(self, effect: ReloadOutbox) -> None:
        self._nursery.start_soon(self._reload)

    async def _reload(self) -> None:
        state = await self._committer.with_writer(self._outbox.load)
        self._decided(self._core.renewed(state, self._clock.now()))

    def _stop_node(self, effect: StopNode) -> None:
        self._stop = effect
        self._nursery.cancel_scope.cancel()


def unacknowledged(outbox: OutboxFile) -> Iterator[bytes]:
    """Yield the envelopes of the facts that the broker has not confirmed, in order."""
    after_seq = 0
    while facts := outbox.read_facts(after_seq, RECORDS_PER_FRAME_MAX, CREDIT_BYTES):
        yield from (envelope for _, envelope in facts)
        after_seq = facts[-1][0]


_PERFORM: Final[dict[type, Callable[[Shell, Any], None]]] = {
    OpenSocket: Shell._open_socket,
    SendFrame: Shell._send,
    ReadFacts: Shell._read_facts,
    StartStep: Shell._start_step,
    CancelStep: Shell._cancel_step,
    DropTaskFiles: Shell._drop_files,
    ReadHealth: Shell._read_health,
    Log: Shell._log_line,
    ReloadOutbox: Shell._reload_outbox,
    StopNode: Shell._stop_node,
}
