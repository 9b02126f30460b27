"""The node's core: every event of a node in, what follows from it out (steps 6-11).

A pure machine. Of each `Changes` the shell commits `ops` as one before it performs any of `effects`, and performs
later effects after all earlier ops: a frame or a device command never runs ahead of its commit.

How a node stops: `drain` gives waiting tasks back untouched, stops running ones after their `always` and gives
them back too (that burns no attempt); when all have ended and the broker has heard it, or FLUSH_S later, the
node says BYE and stops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from doai.backoff import Backoff
from doai.changes.outbox import OutboxState, RenewIncarnation
from doai.clock import Now
from doai.drivers.base import DeviceChange, DriverNotice, Proof
from doai.ids import IdSource
from doai.link.outgoing import Outgoing
from doai.messages.link import Role
from doai.messages.logs import LogLines
from doai.messages.plugins import PluginOffer
from doai.messages.samples import DeviceHealth
from doai.node.core.devices import Devices
from doai.node.core.effects import Changes, Decision, HostNumbers, Level, Log, NodeSettings, StepEnded, StopNode
from doai.node.core.facts import Facts
from doai.node.core.recipes import Recipes
from doai.node.core.session import Session
from doai.node.core.tasks import Tasks
from doai.workflow.step_type import StepType

INSTANCE: Final = "main"
"""A node has one instance."""
RECONNECT: Final = Backoff(first_s=0.5, longest_s=15.0)
"""A broker that restarts is found again within seconds; a fleet of nodes spreads over fifteen."""
FLUSH_S: Final = 5.0
"""A node that stops waits this long for the ack of its last facts; they are safe in its file either way."""


class NodeCore:
    """Takes events, decides, and returns what follows."""

    def __init__(self, state: OutboxState, settings: NodeSettings, ids: IdSource, now: Now) -> None:
        self._state: OutboxState | None = state
        self._settings = settings
        self._devices = Devices()
        self._recipes = Recipes(state.recipes)
        self._facts = Facts(f"{settings.node_id}/{INSTANCE}", settings.node_id, ids)
        self._tasks = Tasks(
            self._facts,
            self._devices,
            self._recipes,
            node_id=settings.node_id,
            tags=settings.tags,
            slots=settings.slots,
            began_s=now.mono_s,
            may_start=lambda: not self._session.intake_closed(),
        )
        outgoing = Outgoing(
            name=settings.node_id,
            instance=INSTANCE,
            role=Role.NODE,
            capabilities=settings.capabilities,
            outbox=state,
            new_incarnation=lambda: ids.new_id(self._utc_ms),
            backoff=RECONNECT,
            wire=settings.wire,
        )
        self._session = Session(settings, outgoing, self._tasks, self._devices, self._recipes)
        self._utc_ms = now.utc_ms
        self._deferred: list[Decision] = []
        self._flush_until_s: float | None = None
        self._stop_reason = ""
        self._stopped = False
        self._closed_because = ""
        self._offers: list[PluginOffer] | None = None
        """Plug-ins as last told; None = there never was one in this life of the process."""

    # --- state, for the shell ---------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """Whether the broker hears this node."""
        return self._session.live

    @property
    def held(self) -> int:
        """Tasks held now."""
        return self._tasks.held

    @property
    def running(self) -> int:
        """Slots in use."""
        return self._tasks.running

    @property
    def full(self) -> bool:
        """Whether every slot is in use."""
        return self._tasks.running >= self._settings.slots

    @property
    def unacknowledged(self) -> int:
        """Facts that the broker has not confirmed."""
        return self._session.unacknowledged

    def due_s(self) -> float | None:
        """Return the monotonic time at which `tick` has something to do."""
        link_s, tasks_s = self._session.due_s(), self._tasks.due_s()
        due_s = tasks_s if link_s is None or (tasks_s is not None and tasks_s < link_s) else link_s
        if self._flush_until_s is None or self._stopped:
            return due_s
        return self._flush_until_s if due_s is None else min(due_s, self._flush_until_s)

    # --- events -----------------------------------------------------------------------------------------------

    def start(self, now: Now, unacknowledged: Iterable[bytes] = ()) -> Changes:
        """First event: take over what the file holds.

        ``unacknowledged``: the envelopes of the facts that the broker has not confirmed. Of an attempt whose end
        is among them it may still send the Dispatch, which must not be begun again.
        """
        out = Decision()
        assert self._state is not None
        for envelope in unacknowledged:
            self._tasks.note_told(envelope)
        self._tasks.restore(self._state, now, out)
        self._state = None
        return self._decided(out, now)

    def tick(self, now: Now, random01: float) -> Changes:
        """Let time pass; early calls do nothing. ``random01`` is uniform in [0, 1)."""
        out = Decision()
        self._tasks.tick(now, out)
        self._session.tick(now, random01, out)
        return self._decided(out, now)

    def socket_opened(self, epoch: int, now: Now) -> Changes:
        """The socket of an OpenSocket is open."""
        out = Decision()
        self._session.opened(epoch, now, out)
        return self._decided(out, now)

    def socket_lost(self, epoch: int, now: Now, random01: float) -> Changes:
        """The socket of this epoch failed."""
        out = Decision()
        self._session.lost(epoch, now, random01, out)
        return self._decided(out, now)

    def frame(self, epoch: int, header: bytes, body: bytes, now: Now, random01: float) -> Changes:
        """A frame came over the socket of this epoch."""
        out = Decision()
        self._utc_ms = now.utc_ms
        self._session.frame(epoch, header, body, now, random01, out)
        if self._session.broker_is_new:
            # That another node saw a device too was only in the memory of the process before.
            self._session.broker_is_new = False
            self._tell_devices(out, now)
            self._tell_plugins(out, now)
        return self._decided(out, now)

    def facts_read(self, epoch: int, facts: list[tuple[int, bytes]], now: Now) -> Changes:
        """The answer to ReadFacts."""
        out = Decision()
        self._session.facts_read(epoch, facts, now, out)
        return self._decided(out, now)

    def renewed(self, state: OutboxState, now: Now) -> Changes:
        """The answer to ReloadOutbox: what was decided meanwhile gets its place in the new stream."""
        self._session.renewed(state)
        merged = Decision()
        for out in self._deferred:
            merged.ops.extend(out.ops)
            merged.effects.extend(out.effects)
        self._deferred = []
        if self._session.cloned_because:
            self._facts.alert(merged, now, "cloned_outbox", self._session.cloned_because)
        # A store that lost its past may not know where a device is, or have it as it was then.
        self._tell_devices(merged, now)
        self._tell_plugins(merged, now)
        return self._decided(merged, now)

    def device_changed(self, change: DeviceChange, driver: str, now: Now) -> Changes:
        """A driver says that a device came, went, or changed."""
        out = Decision()
        if self._devices.changed(change, driver, now.mono_s):
            self._facts.device_changed(out, now, change, driver=driver, tags=self._settings.tags)
            self._tasks.device_changed(change.serial, now, out)
            self._session.sampling.plan(now.mono_s)
        return self._decided(out, now)

    def device_proven(self, proof: Proof, now: Now) -> None:
        """A device was proven alive in one way; the next heartbeat tells."""
        self._devices.proven(proof, now.mono_s)

    def driver_noticed(self, notice: DriverNotice, now: Now) -> Changes:
        """A driver says something that an operator should know."""
        out = Decision()
        self._facts.noticed(out, now, notice)
        return self._decided(out, now)

    def step_ended(self, ended: StepEnded, now: Now, random01: float) -> Changes:
        """A try that was started with StartStep ended."""
        out = Decision()
        self._tasks.step_ended(ended, now, random01, out)
        return self._decided(out, now)

    def health_read(self, health: DeviceHealth, now: Now) -> Changes:
        """The answer to ReadHealth."""
        out = Decision()
        self._session.health_read(health, out)
        return self._decided(out, now)

    def alert(self, code: str, message: str, now: Now) -> Changes:
        """Something on this host needs an operator: e.g. the admin refused an artifact for good."""
        out = Decision()
        self._facts.alert(out, now, code, message)
        return self._decided(out, now)

    @property
    def takes_log_lines(self) -> bool:
        """Whether `tell_log` reaches a broker now."""
        return self.live and self._session.takes_log_lines

    def tell_log(self, lines: LogLines, now: Now) -> Changes:
        """Tell the broker what this process logged; where that can not be, it is lost."""
        out = Decision()
        self._session.tell_log(lines, out)
        return self._decided(out, now)

    def plugins_changed(self, offers: list[PluginOffer], step_types: Mapping[str, StepType], now: Now) -> Changes:
        """The plug-ins of this node are these from now on, and these the steps that they perform."""
        out = Decision()
        self._offers = offers
        self._tell_plugins(out, now)
        self._recipes.know(step_types)
        self._tasks.steps_changed(now, out)
        return self._decided(out, now)

    def sampled(self, numbers: HostNumbers) -> None:
        """Newest numbers of the host, for the next heartbeat."""
        self._session.sampled(numbers)

    def disk_room(self, free_bytes: int, now: Now) -> Changes:
        """So much is free on the disk of the node's files; below the reserve no task starts."""
        out = Decision()
        disk = self._session.disk
        if disk.note(free_bytes):
            if disk.closed_because:
                self._facts.alert(out, now, "disk_low", f"No new task starts: {disk.closed_because}.")
            self._tasks.fill(now, out)
        return self._decided(out, now)

    def drain(self, reason: str, now: Now) -> Changes:
        """Stop: give everything back, then StopNode comes."""
        out = Decision()
        if not self._stop_reason:
            self._stop_reason = reason
            # First the broker hears that nothing is taken any more, or it would send what is given back again.
            self._tasks.draining = True
            self._note_intake(now, out)
            self._tasks.drain(now, out)
        return self._decided(out, now)

    def _tell_devices(self, out: Decision, now: Now) -> None:
        for change, driver in self._devices.known():
            self._facts.device_changed(out, now, change, driver=driver, tags=self._settings.tags)

    def _tell_plugins(self, out: Decision, now: Now) -> None:
        if self._offers is not None:
            self._facts.plugins_changed(out, now, self._offers, self._settings.started_at_ms)

    # --- inside -----------------------------------------------------------------------------------------------

    def _decided(self, out: Decision, now: Now) -> Changes:
        self._utc_ms = now.utc_ms
        if self._session.renewing and not any(type(op) is RenewIncarnation for op in out.ops):
            self._deferred.append(out)
            return Changes()
        self._session.number_facts(now, out)
        self._note_intake(now, out)
        if self._stop_reason:
            self._finish_drain(now, out)
        return Changes(out.ops, out.effects)

    def _note_intake(self, now: Now, out: Decision) -> None:
        closed = self._session.intake_closed()
        if bool(closed) != bool(self._closed_because):
            text = f"No new task starts: {closed}." if closed else "Tasks start again."
            out.effects.append(Log(Level.WARNING, text, {"node_id": self._settings.node_id}))
            self._session.beat(now, out)
        self._closed_because = closed

    def _finish_drain(self, now: Now, out: Decision) -> None:
        if self._stopped or self._tasks.held:
            return
        if self._flush_until_s is None:
            self._flush_until_s = now.mono_s + FLUSH_S
        heard = not self._session.live or not self._session.unacknowledged
        if heard or now.mono_s >= self._flush_until_s:
            self._stopped = True
            self._session.bye(self._stop_reason, out)
            out.effects.append(StopNode(self._stop_reason, 0))
