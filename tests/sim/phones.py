"""Phones and the runner: steps whose results come from the seed, through the production guard (steps 8 and 9).

A step is a coroutine over `GuardedDevice`, as the real ones are; this module only resumes it. The phones keep a
journal of their own: which attempt began which command when. It is the oracle for what really happened.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any, Final

from doai.clock import Clock
from doai.drivers.base import CommandOutput
from doai.errors import ErrorClass, Failure, StepError
from doai.node.core.effects import CancelStep, StartStep, StepEnded, TryKey
from doai.node.guarded_device import GuardedDevice
from doai.states import DeviceState
from tests.sim.world import Violation, World

OUTPUT: Final = CommandOutput(b"ok", b"", 0)
FAILURES: Final = (
    (ErrorClass.DEVICE, "out_of_storage"),
    (ErrorClass.DEVICE, "device_unresponsive"),
    (ErrorClass.DEVICE, "output_garbled"),
    (ErrorClass.INFRASTRUCTURE, "adb_server_down"),
    (ErrorClass.APP, "element_not_found"),
    (ErrorClass.RATE_LIMIT, "asked_to_wait"),
    (ErrorClass.AUTH, "signed_out"),
    (ErrorClass.USER, "bad_arguments"),
    (ErrorClass.TIMEOUT, "app_slow"),
)


class _Cancelled(BaseException):
    """The runner's scope around a step was cancelled, or timed out."""


class _Command:
    """What a step waits for: one command of its phone, or a while."""

    def __init__(self, duration_s: float, failure: Failure | None) -> None:
        self.duration_s = duration_s
        self.failure = failure

    def __await__(self) -> Generator[_Command, CommandOutput, CommandOutput]:
        return (yield self)


class _Device:
    """The part of a driver's device that the simulated steps use."""

    def __init__(self, serial: str, plan: list[_Command]) -> None:
        self.serial = serial
        self._plan = plan

    async def shell(self, command: str, *, stdin: bytes = b"") -> CommandOutput:
        return await self._plan.pop(0)


class Phone:
    """One phone. What holds it: a node by cable, or two at once over the network."""

    def __init__(self, world: World, serial: str, model: str, sdk: int) -> None:
        self.world = world
        self.serial = serial
        self.model = model
        self.sdk = sdk
        self.state = DeviceState.ONLINE
        self.gone_for_good = False
        self.attempt: tuple[tuple[int, int], str] | None = None
        """(token, task) of the attempt that acted on it last."""
        self.in_flight: dict[_Try, None] = {}

    def begins(self, attempt: _Try) -> None:
        """A command of an attempt begins; raises Violation when the phone is another's."""
        key = attempt.key
        mine = ((key.token.generation, key.token.n), key.task_id)
        for other in list(self.in_flight):
            if other.attempt_key == attempt.attempt_key and other.owner_acts():
                raise Violation("two_steps", f"two steps of {key} act on {self.serial} at once", key.task_id)
            if other.key.token.generation != key.token.generation:
                # The restored broker can not know what a node that does not answer had begun before.
                self.world.faults["overlap_after_restore"] += 1
            elif other.owner_acts():
                raise Violation("two_attempts", f"{key} and {other.key} act on {self.serial} at once", key.task_id)
            else:
                self.world.faults["overlap_in_flight"] += 1
        after_restore = self.attempt is not None and mine[0][0] < self.attempt[0][0]
        if self.attempt is not None and mine[0] < self.attempt[0] and not after_restore:
            raise Violation("acts_after_next", f"{key} acts on {self.serial} after {self.attempt}", key.task_id)
        self.attempt = max(mine, self.attempt or mine)
        self.in_flight[attempt] = None

    def ends(self, attempt: _Try) -> None:
        """Its command is over."""
        self.in_flight.pop(attempt, None)


class _Try:
    """One try of one step while it runs."""

    def __init__(self, runner: Runner, effect: StartStep) -> None:
        self.key: TryKey = effect.key
        self.attempt_key = (effect.key.task_id, effect.key.token)
        self.effect = effect
        self.runner = runner
        self.phone = runner.phones.get(effect.device_serial)
        self.guard: GuardedDevice | None = None
        self.step: Coroutine[_Command, CommandOutput, None] | None = None
        self.command = 0
        self.busy = False
        self.over = False

    def owner_acts(self) -> bool:
        """Whether its process could stop it: alive and not frozen."""
        return not self.runner.dead and self.runner.acts()


class Runner:
    """Performs tries for one node process, as doai.node.runner does in cancel scopes."""

    def __init__(
        self,
        world: World,
        clock: Clock,
        phones: dict[str, Phone],
        draw: Callable[[StartStep], list[tuple[float, Failure | None]]],
        ended: Callable[[StepEnded], None],
        acts: Callable[[], bool],
    ) -> None:
        self.phones = phones
        self.acts = acts
        self.dead = False
        self.world = world
        self._clock = clock
        self._draw = draw
        self._ended = ended
        self._tries: dict[TryKey, _Try] = {}
        self._held_back: list[tuple[_Try, Failure | None, int]] = []
        self._late: list[tuple[Callable[[_Try, Any], None], _Try, Failure | None]] = []
        """What was due while the process stood still."""

    def start(self, effect: StartStep) -> None:
        """Begin a try."""
        running = self._tries[effect.key] = _Try(self, effect)
        self.world.after(effect.timeout_s, self._time_out, running)
        plan = self._draw(effect)
        if not effect.on_device:
            duration_s, failure = plan[0]
            self.world.after(duration_s, self._end, running, failure)
            return
        commands = [_Command(duration_s, failure) for duration_s, failure in plan]
        device: Any = _Device(effect.device_serial, list(commands))
        running.guard = GuardedDevice(device, self._clock, effect.act_until_s)
        running.step = _perform(running.guard, len(commands))
        self._resume(running, None)

    def cancel(self, effect: CancelStep) -> None:
        """Cancel a try; nothing when it has ended."""
        running = self._tries.get(effect.key)
        if running is not None:
            self.world.after(0.01, self._stop, running, _failure(ErrorClass.CANCELLED, "step_cancelled"))

    def cut(self, phone: Phone) -> None:
        """The phone was taken from this host: its command ends there and then."""
        for running in list(phone.in_flight):
            if running.runner is self:
                self._over(running, phone, _failure(ErrorClass.DEVICE, "device_offline"), running.command)

    def thaw(self) -> None:
        """The process goes on: what came meanwhile is seen now."""
        held_back, self._held_back = self._held_back, []
        for running, failure, command in held_back:
            self._answered(running, failure, command)
        late, self._late = self._late, []
        for call, running, failure in late:
            self.world.after(self.world.random.uniform(0.0, 0.5), call, running, failure)

    def die(self) -> None:
        """The process was killed; commands that run on phones go on there."""
        self.dead = True
        for running in self._tries.values():
            running.over = True
            if running.step is not None:
                running.step.close()

    # --- inside -------------------------------------------------------------------------------------------

    def _resume(self, running: _Try, failure: Failure | None) -> None:
        step = running.step
        assert step is not None
        try:
            command = step.throw(StepError(failure)) if failure is not None else step.send(None)  # type: ignore[arg-type]
        except StopIteration:
            self._end(running, None)
        except StepError as error:
            self._end(running, error.failure)
        else:
            self._command(running, command)

    def _command(self, running: _Try, command: _Command) -> None:
        phone = running.phone
        if phone is None or phone.state is not DeviceState.ONLINE or phone.serial not in self.phones:
            self._resume(running, _failure(ErrorClass.DEVICE, "device_offline"))
            return
        phone.begins(running)
        running.busy = True
        running.command += 1
        self.world.after(command.duration_s, self._over, running, phone, command.failure, running.command)

    def _over(self, running: _Try, phone: Phone, failure: Failure | None, command: int) -> None:
        if running.busy and running.command == command:
            running.busy = False
            phone.ends(running)
        if phone.state is DeviceState.UNRESPONSIVE and failure is None:
            failure = _failure(ErrorClass.DEVICE, "device_unresponsive")
        elif phone.state is not DeviceState.ONLINE and failure is None:
            failure = _failure(ErrorClass.DEVICE, "device_offline")
        self._answered(running, failure, command)

    def _answered(self, running: _Try, failure: Failure | None, command: int) -> None:
        if running.over or running.command != command:
            return
        if not self.acts():
            self._held_back.append((running, failure, command))
        elif failure is not None:
            self._resume(running, failure)
        else:
            self._resume(running, None)

    def _time_out(self, running: _Try) -> None:
        if not running.over and not self.dead:
            self._stop(running, _failure(ErrorClass.TIMEOUT, "step_timeout"))

    def _stop(self, running: _Try, failure: Failure) -> None:
        if running.over or self.dead:
            return
        if not self.acts():
            self._late.append((self._stop, running, failure))
            return
        if running.busy and running.phone is not None:
            running.phone.ends(running)
            running.busy = False
        if running.step is not None:
            with suppress(_Cancelled):
                running.step.throw(_Cancelled())
        self._end(running, failure)

    def _end(self, running: _Try, failure: Failure | None) -> None:
        if running.over or self.dead:
            return
        if not self.acts():
            self._late.append((self._end, running, failure))
            return
        running.over = True
        del self._tries[running.key]
        guard = running.guard
        unobserved = failure is not None and guard is not None and guard.unobserved
        outputs: dict[str, Any] = {}
        if failure is None and running.effect.use == "report":
            outputs = {"values": running.effect.arguments.get("values", {})}
        elif failure is None and self.world.chance(0.003):
            size = self.world.random.choice((20_000, 90_000))
            outputs = {"stdout": "x" * size, "lists": [["y" * 300] * 9] * 9, "maps": {"a": {"b": "z" * 999}}}
            if self.world.chance(0.2):
                outputs = {f"name{number}": number for number in range(3_000)}
            self.world.faults["large_outputs"] += 1
        self._ended(StepEnded(key=running.key, outputs=outputs, failure=failure, unobserved=unobserved))


async def _perform(device: GuardedDevice, commands: int) -> None:
    for _ in range(commands):
        await device.shell("act")


def _failure(error_class: ErrorClass, code: str) -> Failure:
    return Failure(error_class=error_class, code=code, message=f"simulated: {code}.")
