"""The tasks that a node holds: taken once, queued by device, begun in slots, ended once (steps 6 and 7)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from doai import topics
from doai.changes.outbox import DropHeld, HeldRow, OutboxState, PutHeld, PutRecipe
from doai.clock import Now
from doai.codec import BodyDecoder, encode
from doai.envelope import Envelope
from doai.errors import DecodeError, StepError
from doai.ids import Token
from doai.limits import DEVICE_SETTLE_S, RESULTS_KEPT
from doai.messages.events import AttemptEnded
from doai.messages.work import Dispatch, Holding, HoldingState
from doai.node.core.acts import Cause, Finish
from doai.node.core.attempt import RELEASED, Attempt, end_attempt, ended_by
from doai.node.core.devices import Devices
from doai.node.core.effects import Decision, Level, Log, StepEnded
from doai.node.core.endings import end_of_crash, expired, refusal
from doai.node.core.facts import Facts
from doai.node.core.queue import DeviceQueues
from doai.node.core.recipes import NOT_OFFERED, Recipes
from doai.node.core.slots import Slots
from doai.node.core.timers import Timers
from doai.node.core.vouched import Taken, Vouched
from doai.states import Outcome
from doai.workflow.mistakes import ParameterError

Key = tuple[str, Token]
_dispatch: Final = BodyDecoder(Dispatch)
_envelope: Final = BodyDecoder(Envelope)
_ended: Final = BodyDecoder(AttemptEnded)


class _Task:
    """A held task; `attempt` once it has begun."""

    __slots__ = ("attempt", "content_id", "dispatch", "key", "row", "taken")

    def __init__(self, row: HeldRow, dispatch: Dispatch, content_id: str, taken: Taken) -> None:
        self.key: Key = (row.task_id, row.token)
        self.taken = taken
        self.row = row
        self.dispatch = dispatch
        self.content_id = content_id
        self.attempt: Attempt | None = None


class Tasks:
    """Everything held, by (task, token). Calls put what follows into the decision they are given."""

    def __init__(
        self,
        facts: Facts,
        devices: Devices,
        recipes: Recipes,
        *,
        node_id: str,
        tags: list[str],
        slots: int,
        began_s: float,
        may_start: Callable[[], bool],
    ) -> None:
        self._facts = facts
        self._devices = devices
        self._recipes = recipes
        self._node_id = node_id
        self._tags = tags
        self._slots = Slots(slots)
        self._may_start = may_start
        self._vouched = Vouched()
        self._unsure: dict[str, None] = {}
        """Devices whose next task the broker may have given up by now: they wait for its word."""
        self._held: dict[Key, _Task] = {}
        self._waiting: DeviceQueues[_Task] = DeviceQueues()
        self._timers: Timers[Key] = Timers()
        self._newest: OrderedDict[str, Token] = OrderedDict()
        """Highest token seen of a task, held or ended lately; the broker tells no ended one again after its ack."""
        self._gone: dict[str, float] = {}
        """Devices that went away while tasks wait for them, and when those tasks are given back."""
        self._order = 0
        self._settled_s = began_s + DEVICE_SETTLE_S
        self._settled = False
        self.draining = False
        self.passed = 0
        self.failed = 0

    @property
    def running(self) -> int:
        """Slots in use."""
        return self._slots.running

    @property
    def held(self) -> int:
        """Tasks held, waiting ones too."""
        return len(self._held)

    def tokens(self) -> list[tuple[int, int]]:
        """Return the tokens held."""
        return [(token.generation, token.n) for _, token in self._held]

    def holdings(self) -> list[Holding]:
        """Return everything held, as the broker wants to hear it."""
        return [
            Holding(task.row.task_id, task.row.token, task.attempt.row.state if task.attempt else task.row.state)
            for task in self._held.values()
        ]

    def recipe_hashes(self) -> set[str]:
        """Return the recipes that held tasks need."""
        return {task.dispatch.recipe_hash for task in self._held.values()}

    # --- a new life -------------------------------------------------------------------------------------------

    def restore(self, state: OutboxState, now: Now, out: Decision) -> None:
        """Settle what the file holds: what ran when the process died has ended, the rest goes back to the broker.

        Nothing is told of what waits: HOLDINGS does not list it, so the broker gives it anew, under a new token. A
        file that is an old one, or a copy, can thus begin nothing that was begun before.
        """
        given_back = 0
        for row in sorted(state.held, key=lambda row: row.order):
            self._order = max(self._order, row.order)
            self._newest[row.task_id] = max(row.token, self._newest.get(row.task_id, row.token))
            if row.state is HoldingState.WAITING:
                given_back += 1
                out.ops.append(DropHeld(row.task_id, row.token))
                continue
            try:
                dispatch: Dispatch = _dispatch(row.dispatch_body)
            except DecodeError as error:
                # Only its row is known: the broker hears nothing of it and takes it back when its lease ends.
                out.effects.append(
                    Log(Level.ERROR, f"A held task can not be read and waits for its lease: {error}")
                )
                continue
            self._end(dispatch, end_of_crash(row), now, out)
        if given_back:
            text = f"{given_back} tasks that had not begun before this start go back to the broker."
            out.effects.append(Log(Level.INFO, text))

    def note_told(self, envelope: bytes) -> None:
        """Remember an attempt whose end is told and not acknowledged: its Dispatch may be repeated."""
        fact: Envelope = _envelope(envelope)
        if fact.type != topics.ATTEMPT_ENDED:
            return
        ended: AttemptEnded = _ended(fact.payload)
        self._newest[ended.task_id] = max(ended.token, self._newest.get(ended.task_id, ended.token))

    # --- what the broker says ---------------------------------------------------------------------------------

    def take_recipe(self, recipe_hash: str, body: bytes, out: Decision) -> None:
        """Keep a recipe."""
        if self._recipes.put(recipe_hash, body):
            out.ops.append(PutRecipe(recipe_hash, body))

    def dispatch(self, d: Dispatch, now: Now, out: Decision) -> None:
        """Take a task, once: a token that is not newer than what is known of the task is ignored."""
        known = self._newest.get(d.task_id)
        if known is not None:
            if d.token <= known:
                return
            self.release(d.task_id, known, now, out)
        self._newest[d.task_id] = d.token
        self._newest.move_to_end(d.task_id)
        if self.draining:
            self._end(d, RELEASED, now, out)
        elif not self._devices.is_here(d.device_serial) and now.mono_s >= self._settled_s:
            self._give_back(d, now, out)
        else:
            self._order += 1
            row = HeldRow(
                task_id=d.task_id,
                token=d.token,
                order=self._order,
                dispatch_body=encode(d),
                state=HoldingState.WAITING,
                received_at_ms=now.utc_ms,
            )
            if self._accept(row, d, now, out):
                out.ops.append(PutHeld(row))

    def cancel(self, task_id: str, token: Token, now: Now, out: Decision) -> None:
        """Stop a task after its `always`; one that waits ends at once."""
        task = self._held.get((task_id, token))
        if task is None:
            return
        if task.attempt is None:
            self._unqueue(task)
            cancelled = Finish(outcome=Outcome.CANCELLED, failure=None, outputs={}, released=False, repeatable=True)
            self._end(task.dispatch, cancelled, now, out)
        else:
            task.attempt.stop(Cause.CANCEL, now, out)
            self._after(task, now, out)

    def release(self, task_id: str, token: Token, now: Now, out: Decision) -> None:
        """Drop a task at once: it belongs to somebody else."""
        task = self._held.get((task_id, token))
        if task is None:
            return
        if task.attempt is None:
            self._unqueue(task)
            self._end(task.dispatch, RELEASED, now, out)
        else:
            task.attempt.stop(Cause.RELEASE, now, out)
            self._after(task, now, out)

    def greeted(self, said_s: float) -> None:
        """The broker answered the HELLO that was sent then: what it gives from now on, it gives after that."""
        self._vouched.greeted(said_s)

    def listed(self, said_s: float) -> None:
        """The broker took the heartbeat that was sent then: it counts on all that this one listed."""
        self._vouched.listed(said_s)
        for serial in self._unsure:
            self._offer(serial)
        self._unsure.clear()

    # --- what happens here ------------------------------------------------------------------------------------

    def device_changed(self, serial: str, now: Now, out: Decision) -> None:
        """The state of a device changed."""
        if self._devices.is_here(serial):
            self._gone.pop(serial, None)
        else:
            self._gone.setdefault(serial, now.mono_s + DEVICE_SETTLE_S)
        self._offer(serial)
        self.fill(now, out)

    def step_ended(self, ended: StepEnded, now: Now, random01: float, out: Decision) -> None:
        """A try ended; of an attempt that is not held any more: nothing."""
        task = self._held.get((ended.key.task_id, ended.key.token))
        if task is None or task.attempt is None:
            return
        task.attempt.step_ended(ended, now, random01, out)
        self._after(task, now, out)
        self.fill(now, out)

    def steps_changed(self, now: Now, out: Decision) -> None:
        """Other plug-ins are here: waiting tasks that can not be executed any more end, or go back."""
        for task in list(self._waiting):
            d = task.dispatch
            try:
                self._recipes.get(d.recipe_hash, d.workflow)
            except StepError as error:
                self._unqueue(task)
                is_elsewhere = error.failure.code == NOT_OFFERED
                self._end(d, RELEASED if is_elsewhere else ended_by(refusal(error)), now, out)

    def tick(self, now: Now, out: Decision) -> None:
        """Let time pass: attempts that are due, tasks that were not begun in time, devices that did not come."""
        while (key := self._timers.pop_due(now.mono_s)) is not None:
            task = self._held[key]
            if task.attempt is None:
                self._unqueue(task)
                self._end(task.dispatch, expired(task.dispatch), now, out)
            else:
                task.attempt.tick(now, out)
                self._after(task, now, out)
        if not self._settled and now.mono_s >= self._settled_s:
            self._settled = True
            for task in self._waiting:
                if not self._devices.is_known(task.dispatch.device_serial):
                    self._unqueue(task)
                    self._give_back(task.dispatch, now, out)
        if self._gone:
            for serial in [serial for serial, due_s in self._gone.items() if due_s <= now.mono_s]:
                self._give_back_all(serial, now, out)
        self.fill(now, out)

    def due_s(self) -> float | None:
        """Return the time at which `tick` has something to do."""
        due_s = self._timers.due_s()
        if not self._gone and (self._settled or not len(self._waiting)):
            return due_s
        due = [*self._gone.values()]
        if due_s is not None:
            due.append(due_s)
        if not self._settled and len(self._waiting):
            due.append(self._settled_s)
        return min(due)

    def drain(self, now: Now, out: Decision) -> None:
        """The node stops (`draining` is set): give waiting tasks back, stop running ones after their `always`."""
        for task in list(self._held.values()):
            if task.attempt is None:
                self._unqueue(task)
                self._end(task.dispatch, RELEASED, now, out)
            else:
                task.attempt.stop(Cause.DRAIN, now, out)
                self._after(task, now, out)

    def fill(self, now: Now, out: Decision) -> None:
        """Begin tasks while there are free slots and eligible devices."""
        while not self.draining and self._may_start() and (serial := self._slots.take()) is not None:
            if self._vouched.covers(self._waiting.first(serial).taken, now.mono_s):
                self._begin(self._waiting.pop(serial), now, out)
            else:
                self._slots.free(serial)
                self._unsure[serial] = None

    # --- inside -----------------------------------------------------------------------------------------------

    def _accept(self, row: HeldRow, d: Dispatch, now: Now, out: Decision) -> bool:
        """Hold a task that waits; False (and ended) when its recipe can not be executed here."""
        try:
            content_id = self._recipes.get(d.recipe_hash, d.workflow).content_id(d.params)
        except (StepError, ParameterError) as error:
            # What another node, or this one later, can execute goes back: the broker was told of the plug-ins.
            is_elsewhere = isinstance(error, StepError) and error.failure.code == NOT_OFFERED
            self._end(d, RELEASED if is_elsewhere else ended_by(refusal(error)), now, out)
            return False
        task = _Task(row, d, content_id, self._vouched.taken(now.mono_s))
        self._held[task.key] = task
        self._waiting.push(d.device_serial, task)
        if d.begin_within_s is not None:
            self._timers.set(task.key, now.mono_s + d.begin_within_s)
        self._offer(d.device_serial)
        return True

    def _begin(self, task: _Task, now: Now, out: Decision) -> None:
        d = task.dispatch
        recipe = self._recipes.get(d.recipe_hash, d.workflow)
        plan = self._recipes.plan(d.recipe_hash, d.workflow, d.step_timeouts_s)
        rules = recipe.rules(
            d.params,
            device=self._devices.facts(d.device_serial, node_id=self._node_id, tags=self._tags),
            run_id=d.run_id,
            task_id=d.task_id,
            attempt=d.attempt,
        )
        task.attempt = Attempt(task.row, d, plan, rules, task.content_id, self._facts)
        task.attempt.begin(now, out)
        self._after(task, now, out)

    def _after(self, task: _Task, now: Now, out: Decision) -> None:
        """Look how far an attempt is, after anything happened to it."""
        attempt = task.attempt
        assert attempt is not None
        if attempt.device_freed:
            attempt.device_freed = False
            self._slots.free(task.dispatch.device_serial)
            self._offer(task.dispatch.device_serial)
        if attempt.finished is None:
            self._timers.set(task.key, attempt.due_s())
        else:
            self._count(attempt.finished)
            self._forget(task.key)

    def _offer(self, serial: str) -> None:
        if self._waiting.has(serial) and self._devices.is_online(serial):
            self._slots.offer(serial)
        else:
            self._slots.withdraw(serial)

    def _unqueue(self, task: _Task) -> None:
        self._waiting.remove(task.dispatch.device_serial, task)
        self._offer(task.dispatch.device_serial)

    def _give_back_all(self, serial: str, now: Now, out: Decision) -> None:
        """The device stays away, or is at another node by now: what waits for it must not wait here."""
        del self._gone[serial]
        for task in self._waiting:
            if task.dispatch.device_serial == serial:
                self._unqueue(task)
                self._give_back(task.dispatch, now, out)

    def _give_back(self, d: Dispatch, now: Now, out: Decision) -> None:
        # Said again though it was told before: a broker that had it right would not have sent the task, and one
        # that has it wrong would send it again at once, for ever.
        state, reason = self._devices.why_not_here(d.device_serial)
        self._facts.device_offline(out, now, d.device_serial, state, reason)
        self._end(d, RELEASED, now, out)

    def _end(self, d: Dispatch, finish: Finish, now: Now, out: Decision) -> None:
        """End an attempt that never began here."""
        end_attempt(self._facts, out, now, d, finish)
        self._count(finish)
        self._forget((d.task_id, d.token))

    def _count(self, finish: Finish) -> None:
        if finish.outcome is Outcome.PASSED:
            self.passed += 1
        elif not finish.released and finish.outcome is not Outcome.CANCELLED:
            self.failed += 1

    def _forget(self, key: Key) -> None:
        self._held.pop(key, None)
        self._timers.set(key, None)
        while len(self._newest) - len(self._held) > RESULTS_KEPT:
            task_id, token = next(iter(self._newest.items()))
            if (task_id, token) in self._held:
                self._newest.move_to_end(task_id)
            else:
                del self._newest[task_id]
