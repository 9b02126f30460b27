"""What a handler is given beside its payload: commands, queries, runs, state, log, clock (step 14)."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypedDict, Unpack

import msgspec

from doai.bots.core.work import Cause, Work
from doai.bots.errors import BotError
from doai.bots.results import RunResult, RunWaits, wait_for_end, wait_for_run
from doai.bots.state import State
from doai.bots.stored_apps import StoredApp, read_app, read_versions
from doai.clock import Clock
from doai.codec import encode
from doai.limits import BOT_COMMAND_S, HOLD_S
from doai.messages.catalogue import COMMANDS
from doai.messages.commands import (
    CancelRun,
    CancelTask,
    CreateRun,
    QuarantineDevice,
    ReleaseDevice,
    RunCreated,
    Selector,
    TargetKind,
    Targets,
)
from doai.messages.holds import DeviceHold, HoldDevice, UnholdDevice
from doai.secret_reference import secret_of

_COMMAND_OF: Final[dict[type, tuple[str, type]]] = {
    payload: (name, answer) for name, (payload, answer) in COMMANDS.items()
}
On = str | Sequence[str] | Selector | Targets
"""Targets of a run: ``all``, a serial, serials, conditions, or anything that a run can name."""


class RunBounds(TypedDict, total=False):
    """How far a run goes, as doai.messages.commands.CreateRun has it."""

    canary: int | None
    max_parallel: int | None
    stop_rate: float | None
    stop_after: int | None
    expires_in_s: float | None
    attempts: int | None


class Services(Protocol):
    """What stands behind a context: the running bot, or its twin of a test."""

    clock: Clock
    runs: RunWaits

    async def command(
        self, name: str, subject: str, payload: object, *, work: Work, key: str, timeout_s: float
    ) -> object:
        """Return the answer to a command as a map. Raises CommandRefused and NoAnswer."""
        ...

    async def query(self, path: str, query: Mapping[str, object]) -> Any:
        """Return what the admin API has at a path below /api/v1. Raises QueryFailed."""
        ...

    async def secret(self, name: str) -> str:
        """Return a secret. Raises SecretMissing."""
        ...


class _Log(logging.LoggerAdapter[logging.Logger]):
    """Lines with the ids of what the handler is called for."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {**(self.extra or {}), **kwargs.get("extra", {})}}


class Context:
    """One call of a handler, and what it can do.

    Commands of an event or a task have a key made of it: when the handler is called for the same again, after a
    failure or another process's death, the same command is carried out once.
    """

    def __init__(self, bot: str, work: Work, config: Any, services: Services, state: State) -> None:
        self.bot = bot
        self.config = config
        """An instance of the bot's configuration, as an operator has set it now."""
        self.state = state
        self.handler = work.handler
        self.type = work.type
        """Of the event or sample; the kind of the task."""
        self.subject = work.subject
        self.position = work.event.position if work.event is not None else 0
        """Of the event in the log."""
        self.occurred_at_ms = work.event.envelope.occurred_at_ms if work.event is not None else 0
        self.attempt = work.attempt
        """Counts tries for the same event or task, from 1."""
        self.task_id = work.task_id
        self.run_id = work.run_id
        self.trace_id = work.trace_id
        self.log: logging.LoggerAdapter[logging.Logger] = _Log(
            logging.getLogger(f"doai.bots.bot.{bot}"), dict(_fields(bot, work))
        )
        self._work = work
        self._services = services
        self._given: dict[str, int] = {}

    @property
    def now_ms(self) -> int:
        """UTC, ms since 1970; of the clock that a test can move."""
        return self._services.clock.now().utc_ms

    @property
    def now(self) -> datetime:
        """The same as an aware datetime."""
        return datetime.fromtimestamp(self.now_ms / 1000, UTC)

    # --- commands -------------------------------------------------------------------------------------------

    async def command(
        self, payload: msgspec.Struct, *, subject: str = "", key: str = "", timeout_s: float = BOT_COMMAND_S
    ) -> Any:
        """Give any command of `doai.messages`; return its answer.

        ``key``: under the same key it is carried out once. Raises CommandRefused, NoAnswer, BotError.
        """
        if type(payload) not in _COMMAND_OF:
            raise BotError(f"{type(payload).__name__} is no command: see proto/MESSAGES.md")
        name, answer = _COMMAND_OF[type(payload)]
        result = await self._services.command(
            name,
            subject or self.subject or f"bot/{self.bot}",
            payload,
            work=self._work,
            key=key or self._key(name, payload),
            timeout_s=timeout_s,
        )
        return msgspec.convert(result, answer)

    def _key(self, name: str, payload: msgspec.Struct) -> str:
        """Return a key that the same handler makes again for the same event or task; empty = one of its own."""
        about = self.task_id or (str(self.position) if self._work.cause is Cause.EVENT else "")
        if not about:
            return ""
        digest = hashlib.blake2b(name.encode() + encode(payload), digest_size=12).hexdigest()
        # The same command twice in one call is meant twice.
        count = self._given[digest] = self._given.get(digest, 0) + 1
        return f"bot:{self.bot}:{self.handler}:{about}:{digest}:{count}"

    async def quarantine(
        self, serial: str, *, reason: str, minutes: float | None = None, unless_other: bool = False
    ) -> None:
        """Give a device no tasks for a while, or (None) until it is released.

        ``unless_other``: one that somebody else keeps quarantined stays theirs; CommandRefused ``not_own``.
        """
        for_s = None if minutes is None else minutes * 60
        wish = QuarantineDevice(serial=serial, for_s=for_s, reason=reason, unless_other=unless_other)
        await self.command(wish, subject=f"device/{serial}")

    async def release(self, serial: str, *, reason: str = "", only_own: bool = False) -> None:
        """End the quarantine of a device.

        ``only_own``: not one that somebody else set; CommandRefused ``not_own``.
        """
        wish = ReleaseDevice(serial=serial, reason=reason, only_own=only_own)
        await self.command(wish, subject=f"device/{serial}")

    async def hold(self, serial: str, *, reason: str, minutes: float = HOLD_S / 60) -> DeviceHold:
        """Reserve a device for this bot: its tasks end, it is given no other."""
        hold: DeviceHold = await self.command(
            HoldDevice(serial=serial, for_s=minutes * 60, reason=reason), subject=f"device/{serial}"
        )
        return hold

    async def unhold(self, serial: str, *, reason: str = "") -> None:
        """Give a device back."""
        await self.command(UnholdDevice(serial=serial, reason=reason), subject=f"device/{serial}")

    async def cancel_run(self, run_id: str, *, reason: str) -> None:
        """Cancel every open task of a run."""
        await self.command(CancelRun(run_id=run_id, reason=reason), subject=f"run/{run_id}")

    async def cancel_task(self, task_id: str, *, reason: str) -> None:
        """Cancel one task."""
        await self.command(CancelTask(task_id=task_id, reason=reason), subject=f"task/{task_id}")

    # --- runs -----------------------------------------------------------------------------------------------

    async def start_run(
        self,
        workflow: str,
        *,
        on: On,
        params: Mapping[str, Any] | None = None,
        queue: str = "default",
        priority: int = 0,
        key: str = "",
        **bounds: Unpack[RunBounds],
    ) -> RunCreated:
        """Make a run and return at once. Raises as `command`."""
        command = CreateRun(
            workflow=workflow,
            targets=targets_of(on),
            params=dict(params or {}),
            queue=queue,
            priority=priority,
            **bounds,
        )
        created: RunCreated = await self.command(command, subject=f"workflow/{workflow}", key=key)
        return created

    async def run(
        self,
        workflow: str,
        *,
        on: On,
        params: Mapping[str, Any] | None = None,
        queue: str = "default",
        priority: int = 0,
        key: str = "",
        **bounds: Unpack[RunBounds],
    ) -> RunResult:
        """Make a run, wait for its end, return what came of it.

        It takes what the run takes: give the handler a ``timeout`` that is long enough. Called again for the same
        event or task, it waits for the same run. Raises as `command` and `query`; an admin API that is away for a
        while is waited for.
        """
        created = await self.start_run(
            workflow, on=on, params=params, queue=queue, priority=priority, key=key, **bounds
        )
        return await self.wait_run(created.run_id)

    async def wait_run(self, run_id: str) -> RunResult:
        """Wait for the end of a run that was started, and return what came of it. Raises QueryFailed."""
        return await wait_for_run(self.query, run_id, self._services.runs)

    async def wait_end(self, run_id: str) -> str:
        """Wait for the end of a run that was started, and return its outcome alone. Raises QueryFailed."""
        run = await wait_for_end(self.query, run_id, self._services.runs)
        outcome: str = run["outcome"]
        return outcome

    # --- stored files -----------------------------------------------------------------------------------------

    async def app(self, file: str) -> StoredApp:
        """Return what is in an application package that is stored: ``name@version``, or ``name`` for the newest.

        Raises QueryFailed: there is no such file, or it is no app that can be installed (``status`` 404, 422).
        """
        return await read_app(self.query, file)

    async def versions(self, file: str) -> list[str]:
        """Return the versions of a stored file as ``name@version``, the newest last. Raises QueryFailed."""
        return await read_versions(self.query, file)

    # --- queries and secrets ----------------------------------------------------------------------------------

    async def query(self, path: str, **query: object) -> Any:
        """Return what the admin API has at a path below /api/v1, such as ``/devices``. Raises QueryFailed."""
        return await self._services.query(path, query)

    async def secret(self, name: str) -> str:
        """Return a secret by its name, or by the ``${secret.NAME}`` of the configuration. Raises SecretMissing.

        Never log it.
        """
        return await self._services.secret(secret_of(name) or name)


def targets_of(on: On) -> Targets:
    """Return the targets that a person's words mean."""
    if isinstance(on, Targets):
        return on
    if isinstance(on, Selector):
        return Targets(kind=TargetKind.ALL, selector=on)
    if on == "all":
        return Targets(kind=TargetKind.ALL)
    return Targets(kind=TargetKind.DEVICES, serials=[on] if isinstance(on, str) else list(on))


def _fields(bot: str, work: Work) -> Iterator[tuple[str, object]]:
    yield "bot", bot
    yield "handler", work.handler
    yield "run_id", work.run_id
    yield "task_id", work.task_id
    yield "trace_id", work.trace_id
    kind, _, name = work.subject.partition("/")
    if kind == "device":
        yield "device_serial", name
    if work.event is not None:
        yield "position", work.event.position
