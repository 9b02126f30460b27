"""What a plug-in's process may ask the node to do for a try that it performs (step 8)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from doai.drivers.base import Device
from doai.errors import ErrorClass
from doai.node.steps.base import StepContext, StepFunction, step_failed
from doai.workflow.arguments import arguments_of
from doai.workflow.mistakes import did_you_mean
from doai.workflow.steps import BUILT_IN


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """What one try may ask for."""

    use: str
    context: StepContext
    on_device: bool
    """It declared that it uses the phone; another one may be using it now."""
    steps: Mapping[str, StepFunction]
    """Steps of doai by name."""

    @property
    def device(self) -> Device:
        """The phone; raises StepError when the step may not use it."""
        if not self.on_device:
            raise step_failed(
                ErrorClass.USER,
                "not_on_device",
                f"{self.use} is declared with on_device=False and uses the phone: declare it with on_device=True.",
            )
        return self.context.device


class _Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what a call is given."""


class _Shell(_Call, frozen=True, kw_only=True):
    command: str
    stdin: bytes = b""


class _Nothing(_Call, frozen=True, kw_only=True):
    pass


class _Push(_Call, frozen=True, kw_only=True):
    data: bytes
    remote_path: str
    mode: int = 0o644


class _PushFile(_Call, frozen=True, kw_only=True):
    path: str
    remote_path: str
    mode: int = 0o644


class _Pull(_Call, frozen=True, kw_only=True):
    remote_path: str


class _Step(_Call, frozen=True, kw_only=True):
    use: str
    arguments: dict[str, Any]


class _Artifact(_Call, frozen=True, kw_only=True):
    data: bytes
    extension: Annotated[str, Meta(pattern=r"^[a-z0-9]{1,8}$(?!\n)")]
    media_type: Annotated[str, Meta(max_length=100)]
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$(?!\n)")] | None = None
    upload: bool = True


class _File(_Call, frozen=True, kw_only=True):
    reference: str


async def perform_call(what: str, arguments: Mapping[str, Any], allowed: Allowed) -> Any:
    """Do what a try asks for and return what msgpack can carry; raises StepError."""
    found = _CALLS.get(what)
    if found is None:
        message = f"The node can not do {what[:63]!r} for {allowed.use}; {did_you_mean(what, _CALLS)}."
        raise step_failed(ErrorClass.USER, "unknown_call", message)
    kind, function = found
    try:
        given = msgspec.convert(dict(arguments), kind)
    except msgspec.ValidationError as error:
        raise step_failed(ErrorClass.USER, "bad_plugin_call", f"{allowed.use} asked for {what}: {error}.") from None
    return await function(given, allowed)


async def _shell(given: _Shell, allowed: Allowed) -> list[Any]:
    output = await allowed.device.shell(given.command, stdin=given.stdin)
    return [output.stdout, output.stderr, output.exit_code]


async def _screenshot(given: _Nothing, allowed: Allowed) -> bytes:
    return await allowed.device.screenshot()


async def _push(given: _Push, allowed: Allowed) -> None:
    await allowed.device.push(given.data, given.remote_path, mode=given.mode)


async def _push_file(given: _PushFile, allowed: Allowed) -> None:
    await allowed.device.push_file(given.path, given.remote_path, mode=given.mode)


async def _pull(given: _Pull, allowed: Allowed) -> bytes:
    return await allowed.device.pull(given.remote_path)


async def _step(given: _Step, allowed: Allowed) -> Any:
    step_type, function = BUILT_IN.get(given.use), allowed.steps.get(given.use)
    if step_type is None or function is None:
        hint = did_you_mean(given.use, allowed.steps)
        message = f"{allowed.use} asked for the step {given.use[:63]!r}, which can not be done within one: {hint}."
        raise step_failed(ErrorClass.USER, "unknown_step", message)
    if step_type.on_device:
        _ = allowed.device  # it says when the step may not use it
    try:
        arguments = arguments_of(step_type, given.arguments)
    except msgspec.ValidationError as error:
        message = f"{allowed.use} asked for {given.use} with arguments that it does not take: {error}."
        raise step_failed(ErrorClass.USER, "bad_arguments", message) from None
    return msgspec.to_builtins(await function(arguments, allowed.context))


async def _artifact(given: _Artifact, allowed: Allowed) -> Any:
    kept = await allowed.context.keep_artifact(
        given.data, extension=given.extension, media_type=given.media_type, name=given.name
    )
    if given.upload:
        kept = await allowed.context.spool_artifact(kept.name)
    return {"name": kept.name, "sha256": kept.sha256, "size_bytes": kept.size_bytes, "path": kept.path}


async def _file(given: _File, allowed: Allowed) -> str:
    return str(await allowed.context.file(given.reference))


_CALLS: Final[Mapping[str, tuple[type[_Call], Callable[[Any, Allowed], Awaitable[Any]]]]] = {
    "shell": (_Shell, _shell),
    "screenshot": (_Nothing, _screenshot),
    "push": (_Push, _push),
    "push_file": (_PushFile, _push_file),
    "pull": (_Pull, _pull),
    "step": (_Step, _step),
    "artifact": (_Artifact, _artifact),
    "file": (_File, _file),
}
