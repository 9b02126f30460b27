"""The node's talk with the broker: frames in, holdings and heartbeats out, over the link (steps 5, 11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from doai.changes.outbox import AppendFact, DropRecipe, OutboxState
from doai.clock import Now
from doai.codec import KINDS, BodyDecoder, Kind, encode, unpack_header
from doai.disk_reserve import DiskReserve
from doai.errors import DecodeError
from doai.limits import HEARTBEAT_S, OUTBOX_RECORDS_MAX, OUTBOX_START_SHARE
from doai.link.actions import Actions, Effect, Established, OutgoingState, Renewing, SendFrame, Stop
from doai.link.outgoing import Outgoing
from doai.messages.link import Beat, Bye, Fenced, Heartbeat, HostSample, Welcome
from doai.messages.logs import LogLines
from doai.messages.samples import DeviceHealth, DeviceSamples, SampleOrder
from doai.messages.work import Cancels, Dispatches, Holdings, Recipe, Releases
from doai.node.core.devices import Devices
from doai.node.core.effects import (
    Decision,
    HostNumbers,
    Level,
    Log,
    NodeEffect,
    NodeSettings,
    ReadHealth,
    ReloadOutbox,
    StopNode,
)
from doai.node.core.recipes import Recipes
from doai.node.core.sampling import Sampling
from doai.node.core.tasks import Tasks
from doai.wire_versions import unknown_frame

EXIT_FENCED: Final = 76
"""The broker refuses this process for good (EX_PROTOCOL of sysexits.h); a restart would not help."""
OUTBOX_START_MAX: Final = int(OUTBOX_RECORDS_MAX * OUTBOX_START_SHARE)


class Session:
    """One node's end of its connection; decides what each frame means."""

    def __init__(
        self, settings: NodeSettings, outgoing: Outgoing, tasks: Tasks, devices: Devices, recipes: Recipes
    ) -> None:
        self._settings = settings
        self._outgoing = outgoing
        self._tasks = tasks
        self._devices = devices
        self._recipes = recipes
        self.sampling = Sampling(devices, settings.node_id)
        self.disk = DiskReserve(settings.disk_reserve_bytes)
        self._numbers = HostNumbers(0.0, 0.0, 0)
        self._beat_every_s = HEARTBEAT_S
        self._beat_at_s = 0.0
        self._greeted_s = 0.0
        self._broker_life = ""
        self._unknown_frames = 0
        self.takes_log_lines = False
        """Whether the broker of the newest connection passes log lines on."""
        self.broker_is_new = False
        """Another process of the broker answered than before: it does not know what only memory held."""
        self.renewing = False
        """A new incarnation is on its way to the disk: no fact has a place until the file is loaded again."""
        self.cloned_because = ""
        """Why that is so, when another process told other facts from a copy of the outbox."""

    @property
    def live(self) -> bool:
        """Whether the broker hears this process."""
        return self._outgoing.state is OutgoingState.LIVE

    @property
    def unacknowledged(self) -> int:
        """Facts that the broker has not confirmed."""
        return self._outgoing.unacknowledged

    def intake_closed(self) -> str:
        """Say why no new task starts; empty when one may."""
        if self._tasks.draining:
            return "the node stops"
        if self._outgoing.unacknowledged >= OUTBOX_START_MAX:
            return (
                f"{self._outgoing.unacknowledged} facts wait for the broker, "
                f"from {OUTBOX_START_MAX} on no task starts"
            )
        return self.disk.closed_because

    def sampled(self, numbers: HostNumbers) -> None:
        """Keep the newest numbers of the host."""
        self._numbers = numbers

    def sample(self, now: Now) -> HostSample:
        """Return what HELLO and heartbeats say of host and process."""
        s, n = self._settings, self._numbers
        return HostSample(
            host=s.host,
            pid=s.pid,
            version=s.version,
            started_at_ms=s.started_at_ms,
            slots=s.slots,
            running=self._tasks.running,
            passed=self._tasks.passed,
            failed=self._tasks.failed,
            cpu_percent=n.cpu_percent,
            memory_percent=n.memory_percent,
            rss_bytes=n.rss_bytes,
            utc_ms=now.utc_ms,
            outbox_facts=self._outgoing.unacknowledged,
            disk_low=bool(self.disk.closed_because),
            unknown_frames=self._unknown_frames,
            wire_lowest=s.wire.lowest,
            wire_highest=s.wire.highest,
        )

    # --- time and connections ---------------------------------------------------------------------------------

    def tick(self, now: Now, random01: float, out: Decision) -> None:
        """Let time pass: connect, give up a silent connection, beat."""
        if self.renewing:
            return
        self._take(self._outgoing.tick(now.mono_s, random01), now, out)
        if now.mono_s >= self._beat_at_s:
            self.beat(now, out)
        self._read(self.sampling.tick(now.mono_s), out)

    def due_s(self) -> float | None:
        """Return the time at which `tick` has something to do."""
        if self.renewing:
            return None
        due_s = self._outgoing.due_s()
        if not self.live or due_s is None:
            return due_s
        sample_s = self.sampling.due_s()
        return min(due_s, self._beat_at_s) if sample_s is None else min(due_s, self._beat_at_s, sample_s)

    def opened(self, epoch: int, now: Now, out: Decision) -> None:
        """The socket of this epoch is open."""
        actions = self._outgoing.opened(epoch, self.sample(now), now.mono_s)
        if actions.effects:
            self._greeted_s = now.mono_s
        self._take(actions, now, out)

    def lost(self, epoch: int, now: Now, random01: float, out: Decision) -> None:
        """The socket of this epoch is of no use."""
        if epoch == self._outgoing.epoch:
            self._take(self._outgoing.lost(now.mono_s, random01), now, out)

    def facts_read(self, epoch: int, facts: list[tuple[int, bytes]], now: Now, out: Decision) -> None:
        """Facts that were asked for from the file."""
        self._take(self._outgoing.facts_read(epoch, facts, now.mono_s), now, out)

    def renewed(self, state: OutboxState) -> None:
        """The file after a new incarnation."""
        self._outgoing.renewed(state)
        self.renewing = False

    # --- frames -----------------------------------------------------------------------------------------------

    def frame(self, epoch: int, header_bytes: bytes, body: bytes, now: Now, random01: float, out: Decision) -> None:
        """Take a frame; one that can not be understood ends the connection, the next repeats what counts."""
        if self.renewing or not self._outgoing.heard(epoch, now.mono_s):
            return
        try:
            header = unpack_header(header_bytes, self._outgoing.agreement.version)
            reader = _BODIES.get(header.kind)
            message: Any = reader(body) if reader is not None else None
        except DecodeError as error:
            out.effects.append(Log(Level.ERROR, f"The broker sent what this node can not read: {error}"))
            self._take(self._outgoing.lost(now.mono_s, random01), now, out)
            return
        if header.kind == Kind.WELCOME:
            self._take(self._outgoing.welcome(message, header, now.mono_s), now, out)
            return
        if header.kind == Kind.FENCED:
            self._take(self._outgoing.fenced(message.reason), now, out)
            return
        if header.kind == Kind.HELLO_REQUIRED:
            self._take(self._outgoing.lost(now.mono_s, random01), now, out)
            return
        if not self.live:
            return
        self._take(self._outgoing.acked(header, now.mono_s), now, out)
        handler = _HANDLERS.get(header.kind)
        if handler is not None:
            handler(self, message, now, random01, out)
        elif header.kind not in KINDS:
            self._unknown(header.kind, out)
        self._tasks.fill(now, out)

    def _unknown(self, kind: int, out: Decision) -> None:
        """A newer broker says what this node does not know: it is counted, and told with the next heartbeat."""
        self._unknown_frames += 1
        if text := unknown_frame(kind, "the broker", self._unknown_frames):
            out.effects.append(Log(Level.WARNING, text))

    def _dispatched(self, message: Dispatches, now: Now, random01: float, out: Decision) -> None:
        if self._tasks.draining:
            # The word that nothing is taken did not arrive: without it, what is given back comes again at once.
            self.beat(now, out)
        for dispatch in message.dispatches:
            if dispatch.recipe_hash not in self._recipes:
                # A recipe comes before its tasks, once a connection: this one lost a frame. The next begins anew.
                text = f"The recipe of {dispatch.workflow} did not come: the connection to the broker begins anew."
                out.effects.append(Log(Level.WARNING, text, {"task_id": dispatch.task_id}))
                self._take(self._outgoing.lost(now.mono_s, random01), now, out)
                return
            self._tasks.dispatch(dispatch, now, out)

    def _beaten(self, message: Beat, now: Now, random01: float, out: Decision) -> None:
        if message.said_s:
            self._tasks.listed(message.said_s)

    def _ordered(self, message: SampleOrder, now: Now, random01: float, out: Decision) -> None:
        self.sampling.order(message, now.mono_s)

    def health_read(self, health: DeviceHealth, out: Decision) -> None:
        """A device was read: tell it, where there is somebody to hear it."""
        self._read(self.sampling.read(health.serial), out)
        if self.live and not self.renewing:
            self._send(Kind.DEVICE_SAMPLES, DeviceSamples(samples=[health]), out)

    def _read(self, serials: list[str], out: Decision) -> None:
        # Nobody would hear of it; the one who ordered it says so again.
        if self.live and not self._tasks.draining:
            out.effects.extend(ReadHealth(serial) for serial in serials)
        else:
            self.sampling.forget(serials)

    def _recipe(self, message: Recipe, now: Now, random01: float, out: Decision) -> None:
        self._tasks.take_recipe(message.recipe_hash, message.body, out)

    def _cancelled(self, message: Cancels, now: Now, random01: float, out: Decision) -> None:
        for ref in message.tasks:
            self._tasks.cancel(ref.task_id, ref.token, now, out)

    def _released(self, message: Releases, now: Now, random01: float, out: Decision) -> None:
        for ref in message.tasks:
            self._tasks.release(ref.task_id, ref.token, now, out)

    # --- what goes out ----------------------------------------------------------------------------------------

    def number_facts(self, now: Now, out: Decision) -> None:
        """Give the facts of a decision their places in the stream, and send what credit allows.

        Results leave at once while a slot is free; how far the steps of a task are, and the like, may gather.
        """
        if out.ops:
            out.ops[:0] = self._outgoing.trim()
        appended, full = False, self._tasks.running >= self._settings.slots
        for index, op in enumerate(out.ops):
            if type(op) is AppendFact and op.seq == 0:
                may_wait = full or not op.is_result
                seq = self._outgoing.append(op.envelope, may_wait=may_wait, is_result=op.is_result)
                out.ops[index] = AppendFact(seq, op.envelope, op.is_result)
                appended = True
        if appended:
            out.effects.extend(_of_link(self._outgoing.pump(now.mono_s)))

    def bye(self, reason: str, out: Decision) -> None:
        """Say farewell, where there is somebody to hear it."""
        if self.live:
            self._send(Kind.BYE, Bye(reason=reason), out)

    def _take(self, actions: Actions, now: Now, out: Decision) -> None:
        out.ops.extend(actions.ops)
        for effect in actions.effects:
            if isinstance(effect, Established):
                self._established(effect.welcome, now, out)
            elif isinstance(effect, Stop):
                said = "The broker refuses this node" if effect.refused else "This node can not go on"
                out.effects.append(StopNode(f"{said}: {effect.reason}", EXIT_FENCED))
            elif isinstance(effect, Renewing):
                self.renewing = True
                self.cloned_because = effect.reason if effect.cloned else ""
                out.effects.append(Log(Level.WARNING, f"A new stream begins: {effect.reason}."))
                out.effects.append(ReloadOutbox())
            else:
                out.effects.append(effect)

    def _established(self, welcome: Welcome, now: Now, out: Decision) -> None:
        self.broker_is_new = self._broker_life not in ("", welcome.broker_life)
        self._broker_life = welcome.broker_life
        self._beat_every_s = welcome.heartbeat_s
        self.takes_log_lines = welcome.takes_log_lines
        self._tasks.greeted(self._greeted_s)
        self.sampling.order(SampleOrder(every_s=0.0), now.mono_s)
        # A recipe comes once a connection, so between connections is when one can be forgotten.
        for recipe_hash in self._recipes.drop_all_but(self._tasks.recipe_hashes()):
            out.ops.append(DropRecipe(recipe_hash))
        holdings = Holdings(tasks=self._tasks.holdings(), as_of_seq=self._outgoing.highest_seq)
        self._send(Kind.HOLDINGS, holdings, out)
        # Its answer is the word that the broker still counts on what waits here.
        self.beat(now, out)
        out.effects.append(Log(Level.INFO, "The broker took this node in."))

    def beat(self, now: Now, out: Decision) -> None:
        """Send a heartbeat, where there is somebody to hear it."""
        if not self.live:
            return
        self._beat_at_s = now.mono_s + self._beat_every_s
        out.ops.extend(self._outgoing.trim())
        beat = Heartbeat(
            sample=self.sample(now),
            tokens=self._tasks.tokens(),
            as_of_seq=self._outgoing.highest_seq,
            devices=self._devices.proofs(now.mono_s),
            intake_closed=self.intake_closed(),
            said_s=now.mono_s,
        )
        self._send(Kind.HEARTBEAT, beat, out)

    def tell_log(self, lines: LogLines, out: Decision) -> None:
        """Tell what the process logged, where there is somebody to hear it."""
        if self.live and self.takes_log_lines:
            self._send(Kind.LOG_LINES, lines, out)

    def _send(self, kind: Kind, body: object, out: Decision) -> None:
        outgoing = self._outgoing
        out.effects.append(SendFrame(outgoing.epoch, outgoing.agreement.header(kind), encode(body)))


_BODIES: Final[dict[int, BodyDecoder]] = {
    Kind.WELCOME: BodyDecoder(Welcome),
    Kind.FENCED: BodyDecoder(Fenced),
    Kind.DISPATCH: BodyDecoder(Dispatches),
    Kind.CANCEL: BodyDecoder(Cancels),
    Kind.RELEASE: BodyDecoder(Releases),
    Kind.RECIPE: BodyDecoder(Recipe),
    Kind.BEAT: BodyDecoder(Beat),
    Kind.SAMPLE_ORDER: BodyDecoder(SampleOrder),
}
_HANDLERS: Final[dict[int, Callable[[Session, Any, Now, float, Decision], None]]] = {
    Kind.DISPATCH: Session._dispatched,
    Kind.CANCEL: Session._cancelled,
    Kind.RELEASE: Session._released,
    Kind.RECIPE: Session._recipe,
    Kind.BEAT: Session._beaten,
    Kind.SAMPLE_ORDER: Session._ordered,
}


def _of_link(effects: list[Effect]) -> list[NodeEffect]:
    return [effect for effect in effects if not isinstance(effect, Established | Renewing | Stop)]
