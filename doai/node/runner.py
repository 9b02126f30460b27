"""Performs tries of steps in cancel scopes and tells how each ended; decides nothing (step 8)."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import trio

from doai.clock import Clock
from doai.drivers.base import Device, Driver
from doai.errors import ErrorClass, Failure, StepError
from doai.ids import Token
from doai.messages.work import FilePin
from doai.node.artifacts import ArtifactOwner
from doai.node.core.effects import CancelStep, StartStep, StepEnded, TryKey
from doai.node.guarded_device import GuardedDevice
from doai.node.mask import Mask
from doai.node.plugin_host import TryContext
from doai.node.secrets import SecretSource, TaskSecrets
from doai.node.steps.base import ArtifactRef, StepFunction, step_failed
from doai.node.workers import Workers
from doai.workflow.arguments import arguments_of
from doai.workflow.step_type import StepType
from doai.workflow.steps import BUILT_IN

_log: Final = logging.getLogger(__name__)
_RECORD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
"""Names that a field of a log line can not have: `logging` refuses them with KeyError."""


class ArtifactStore(Protocol):
    """Where steps keep files; `doai.node.spool.Spool` is one."""

    async def keep(
        self,
        owner: ArtifactOwner,
        data: bytes,
        *,
        extension: str,
        media_type: str,
        utc_ms: int,
        name: str | None = None,
    ) -> ArtifactRef: ...

    async def spool(self, task_id: str, token: Token, name: str) -> ArtifactRef: ...


class FileSource(Protocol):
    """Where steps get stored files from; `doai.node.file_cache.FileCache` is one."""

    async def get(self, pin: FilePin, task_id: str, token: Token) -> Path:
        """Return the file; it stays until `release`. Raises StepError."""
        ...

    def release(self, task_id: str, token: Token) -> None:
        """The attempt has ended: its files may go."""
        ...


class PluginSteps(Protocol):
    """What performs the steps of plug-ins; `doai.node.plugins.Plugins` is it."""

    async def perform(self, effect: StartStep, arguments: dict[str, Any], context: TryContext) -> dict[str, Any]:
        """Perform a try and return its outputs; raises StepError."""
        ...


class Runner:
    """Performs what StartStep says; `run` (of doai.node.workers.Workers) must be running in a nursery."""

    def __init__(
        self,
        *,
        node_id: str,
        driver_of: Callable[[str], Driver],
        artifacts: ArtifactStore,
        clock: Clock,
        steps: Mapping[str, StepFunction],
        ended: Callable[[StepEnded], None],
        step_types: Mapping[str, StepType] = BUILT_IN,
        files: FileSource | None = None,
        secrets: SecretSource | None = None,
        plugins: PluginSteps | None = None,
    ) -> None:
        """``driver_of`` returns the driver that has a device now, or raises StepError; ``ended`` must not block.

        Without ``files`` steps get no stored files, without ``secrets`` no secrets; ``plugins`` perform theirs.
        """
        self._node_id = node_id
        self._driver_of = driver_of
        self._artifacts = artifacts
        self._clock = clock
        self._steps = steps
        self._step_types = step_types
        self._files = files
        self._secrets = TaskSecrets(secrets)
        self._plugins = plugins
        self._scopes: dict[TryKey, trio.CancelScope] = {}
        self._cancelled: set[TryKey] = set()
        """Tries that were told to stop; the other ones that are cut off took too long."""
        self._keepers: set[tuple[str, Token]] = set()
        self._workers = Workers(self._perform, self._cut_off, ended)
        self.run = self._workers.run

    def start(self, effect: StartStep) -> None:
        """Begin a try; `ended` is called once for it."""
        key = effect.key
        context = _Context(
            effect,
            self._node_id,
            self._driver_of,
            self._artifacts,
            self._clock,
            self._files,
            partial(self._secrets.mask, key.task_id, key.token),
        )
        self._scopes[key] = self._workers.start(context, effect.timeout_s)

    def cancel(self, effect: CancelStep) -> None:
        """Cancel a try; nothing happens when it has ended."""
        scope = self._scopes.get(effect.key)
        if scope is not None:
            self._cancelled.add(effect.key)
            scope.cancel()

    def forget(self, task_id: str, token: Token) -> bool:
        """The attempt has ended; returns whether a step of it kept a file."""
        if self._files is not None:
            self._files.release(task_id, token)
        self._secrets.forget(task_id, token)
        kept = (task_id, token) in self._keepers
        self._keepers.discard((task_id, token))
        return kept

    async def _perform(self, context: _Context) -> StepEnded:
        effect = context.effect
        outputs: dict[str, Any] = {}
        failure: Failure | None = None
        try:
            outputs = await self._call(effect, context)
        except StepError as error:
            failure = error.failure
        except msgspec.ValidationError as error:
            failure = _failure(
                ErrorClass.USER, "bad_arguments", f"Step {effect.key.step_id} can not take its arguments: {error}."
            )
        except Exception as error:  # a step is code of many authors: whatever it raises ends this try and no more
            failure = _crashed(context, error)
        self._forget_try(context)
        return _ended(context, outputs, failure)

    def _cut_off(self, context: _Context, error: Exception | None) -> StepEnded:
        """The try was told to stop, or took too long; ``error`` was raised beside that."""
        effect = context.effect
        if error is not None:
            _crashed(context, error)
        if self._forget_try(context):
            said = " ".join([f"Step {effect.key.step_id} was cancelled.", *context.sentences])
            return _ended(context, {}, _failure(ErrorClass.CANCELLED, "step_cancelled", said))
        late = (
            f"Step {effect.key.step_id} ({effect.use}) did not end within {effect.timeout_s:g} s: "
            "look at the device's screen then, or give the step a longer timeout."
        )
        said = " ".join([late, *context.sentences])
        return _ended(context, {}, _failure(ErrorClass.TIMEOUT, "step_timeout", said))

    def _forget_try(self, context: _Context) -> bool:
        """The try has ended; return whether it was told to stop."""
        key = context.effect.key
        del self._scopes[key]
        if context.kept_file:
            self._keepers.add((key.task_id, key.token))
        stopped = key in self._cancelled
        self._cancelled.discard(key)
        return stopped

    async def _call(self, effect: StartStep, context: _Context) -> dict[str, Any]:
        key = effect.key
        if effect.provider and self._plugins is not None:
            filled = await self._secrets.reveal(key.task_id, key.token, effect.arguments)
            return await self._plugins.perform(effect, filled, context)
        step_type, function = self._step_types.get(effect.use), self._steps.get(effect.use)
        if step_type is None or function is None:
            raise step_failed(
                ErrorClass.USER, "unknown_step", f"This node has no step {effect.use}: a newer node may have it."
            )
        filled = await self._secrets.reveal(key.task_id, key.token, effect.arguments)
        arguments = arguments_of(step_type, filled)
        result = await function(arguments, context)
        outputs: dict[str, Any] = msgspec.to_builtins(result)
        return outputs


class _Context:
    """What one try sees of its task; a `StepContext`."""

    def __init__(
        self,
        effect: StartStep,
        node_id: str,
        driver_of: Callable[[str], Driver],
        artifacts: ArtifactStore,
        clock: Clock,
        files: FileSource | None,
        mask: Callable[[], Mask | None],
    ) -> None:
        self.effect = effect
        self._mask = mask
        self._node_id = node_id
        self._driver_of = driver_of
        self._artifacts = artifacts
        self._clock = clock
        self._files = files
        self._device: GuardedDevice | None = None
        self.kept_file = False
        self.sentences: list[str] = []
        """Added to what is said of a cut-off try."""

    @property
    def step_id(self) -> str:
        return self.effect.key.step_id

    @property
    def run_id(self) -> str:
        return self.effect.run_id

    @property
    def recipe(self) -> str:
        return self.effect.recipe

    @property
    def device(self) -> Device:
        return self._guarded()

    def _guarded(self) -> GuardedDevice:
        if self._device is None:
            serial = self.effect.device_serial
            device = self._driver_of(serial).device(serial, tag=str(self.effect.key))
            self._device = GuardedDevice(
                device, self._clock, self.effect.act_until_s, sensitive=self.effect.sensitive
            )
        return self._device

    @contextmanager
    def using_device(self) -> Iterator[str]:
        device = self._guarded()
        address = device.address
        with device.outside():
            yield address

    @property
    def ids(self) -> dict[str, str]:
        """Ids for log lines."""
        return {
            "run_id": self.effect.run_id,
            "node_id": self._node_id,
            "device_serial": self.effect.device_serial,
            "task_id": self.effect.key.task_id,
            "trace_id": self.effect.trace_id,
            "step_id": self.effect.key.step_id,
        }

    @property
    def mask(self) -> Mask | None:
        """What knows the secrets of the task; None = it was given none."""
        return self._mask()

    def unobserved(self, failure: Failure | None) -> bool:
        """Whether a device command began whose end was not seen."""
        return failure is not None and self._device is not None and self._device.unobserved

    def masked(self, value: Any) -> Any:
        """Return a value of JSON's kinds without the secrets of the task."""
        mask = self._mask()
        return value if mask is None else mask.value(value)

    def masked_failure(self, failure: Failure) -> Failure:
        """Return a failure without the secrets of the task."""
        details = self.masked(failure.details)
        return msgspec.structs.replace(failure, message=self.masked(failure.message), details=details)

    async def keep_artifact(
        self, data: bytes, *, extension: str, media_type: str, name: str | None = None
    ) -> ArtifactRef:
        mask = self._mask()
        if mask is not None and _is_text(media_type):
            data = mask.data(data)
        key = self.effect.key
        self.kept_file = True
        owner = ArtifactOwner(
            content_id=self.effect.content_id,
            run_id=self.effect.run_id,
            task_id=key.task_id,
            token=key.token,
            device_serial=self.effect.device_serial,
            step_id=key.step_id,
            try_number=key.try_number,
        )
        utc_ms = self._clock.now().utc_ms
        return await self._artifacts.keep(
            owner, data, extension=extension, media_type=media_type, utc_ms=utc_ms, name=name
        )

    async def spool_artifact(self, reference: str) -> ArtifactRef:
        return await self._artifacts.spool(self.effect.key.task_id, self.effect.key.token, reference)

    def pinned(self, reference: str) -> FilePin | None:
        return next((pin for pin in self.effect.files if pin.reference == reference), None)

    async def file(self, reference: str) -> Path:
        pin = self.pinned(reference)
        if pin is None:
            known = ", ".join(pin.reference for pin in self.effect.files[:10]) or "none"
            raise step_failed(
                ErrorClass.USER,
                "file_not_pinned",
                f"The run was made without a file {reference[:300]!r} (it has: {known}): put the file with "
                "`doai files put`, then make the run again.",
            )
        if self._files is None:
            raise step_failed(
                ErrorClass.INFRASTRUCTURE,
                "no_file_source",
                f"This node can not fetch {reference[:300]}: no admin_url is set; set it, and the node's secret.",
            )
        return await self._files.get(pin, self.effect.key.task_id, self.effect.key.token)

    def add_to_failure(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def log(self, message: str, /, **fields: object) -> None:
        said = {f"field_{name}" if name in _RECORD_FIELDS else name: value for name, value in fields.items()}
        _log.info("%s", self.masked(message), extra={**self.masked(said), **self.ids})


def _crashed(context: _Context, error: Exception) -> Failure:
    """Log what a step raised that it should not have, and return what is said of it."""
    effect = context.effect
    told = context.masked("".join(traceback.format_exception(error)))
    _log.error("step %s crashed\n%s", effect.use, told, extra=context.ids)
    return _failure(
        ErrorClass.INFRASTRUCTURE,
        "step_crashed",
        f"Step {effect.key.step_id} ({effect.use}) raised {type(error).__name__}: see the node's log.",
    )


def _ended(context: _Context, outputs: dict[str, Any], failure: Failure | None) -> StepEnded:
    return StepEnded(
        key=context.effect.key,
        outputs=context.masked(outputs),
        failure=None if failure is None else context.masked_failure(failure),
        unobserved=context.unobserved(failure),
    )


def _is_text(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type.partition(";")[0].endswith(("json", "xml", "yaml"))


def _failure(error_class: ErrorClass, code: str, message: str) -> Failure:
    return Failure(error_class=error_class, code=code, message=message)
