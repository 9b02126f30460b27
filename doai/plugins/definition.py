"""What the author of a step writes: a function, typed, under a name (step 8)."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any, Final, TypeVar, get_type_hints

import msgspec

from doai.errors import ErrorClass, Failure, StepError, UserError
from doai.limits import STEP_TIMEOUT_S
from doai.messages.plugins import STEP_TIMEOUT_MAX_S, StepSchema
from doai.plugins.context import Context
from doai.plugins.manifest import Manifest
from doai.workflow.duration import DurationError, parse_duration
from doai.workflow.mistakes import did_you_mean
from doai.workflow.step_schema import schema_of, step_type_of
from doai.workflow.step_type import NoOutputs, StepType

Function = Callable[[Any, Context], Awaitable[Any]]
_F = TypeVar("_F", bound=Callable[..., Awaitable[Any]])
_MARK: Final = "__doai_step__"


class PluginStepError(UserError):
    """A step is written in a way that it can not be used."""

    code = "bad_plugin_step"


class StepDefinition(msgspec.Struct, frozen=True):
    """A function that performs a step, and what is known of it without performing it."""

    type: StepType
    function: Function
    schema: StepSchema

    @property
    def name(self) -> str:
        return self.type.name


def step(
    name: str,
    *,
    idempotent: bool = False,
    on_device: bool = True,
    timeout: str | float = STEP_TIMEOUT_S,
    takes_pictures: bool = False,
) -> Callable[[_F], _F]:
    """Make a function the step ``PLUGIN.NAME``: ``async def f(arguments: A, ctx: Context) -> B``.

    A and B are msgspec Structs (B may be None): they are the step's schema. ``idempotent``: doing it twice is as
    good as once, so that it may be repeated when its end was not seen. ``on_device``: it uses the phone, and no
    other step of the task does meanwhile. ``timeout``: of a step that says none, seconds or a text such as ``2m``.
    ``takes_pictures``: of the screen, so that it is forbidden while a step runs that is sensitive.
    """

    def mark(function: _F) -> _F:
        definition = _defined(
            function, name, idempotent=idempotent, on_device=on_device, timeout=timeout, pictures=takes_pictures
        )
        setattr(function, _MARK, definition)
        return function

    return mark


def fail(code: str, message: str, *, error_class: ErrorClass = ErrorClass.APP, **details: Any) -> StepError:
    """Return the error that a step raises: a stable snake_case code, and one sentence: what, where, what to do."""
    return StepError(Failure(error_class=error_class, code=code, message=message, details=details))


def steps_in(manifest: Manifest, modules: dict[str, ModuleType]) -> dict[str, StepDefinition]:
    """Return the steps that the manifest names, from its imported modules; raises PluginStepError."""
    found: dict[str, StepDefinition] = {}
    for entry in manifest.steps:
        module = modules[entry.module]
        defined = {item.name: item for item in map(_definition, vars(module).values()) if item is not None}
        if entry.name not in defined:
            hint = did_you_mean(entry.name, defined) if defined else f'write @step("{entry.name}") above a function'
            raise PluginStepError(f"the module {entry.module} has no step {entry.name}: {hint}")
        found[entry.name] = defined[entry.name]
    return found


def _definition(value: object) -> StepDefinition | None:
    found = getattr(value, _MARK, None) if inspect.isfunction(value) else None
    return found if isinstance(found, StepDefinition) else None


def _defined(
    function: Any, name: str, *, idempotent: bool, on_device: bool, timeout: str | float, pictures: bool
) -> StepDefinition:
    if not inspect.iscoroutinefunction(function):
        raise PluginStepError(f"the step {name} is no async function: write async def {function.__name__}(...)")
    parameters = list(inspect.signature(function).parameters)
    if len(parameters) != 2:
        raise PluginStepError(
            f"the step {name} takes two parameters, its arguments and the context, not {parameters}"
        )
    try:
        hints = get_type_hints(function)
    except Exception as error:
        raise PluginStepError(f"the types of the step {name} can not be found: {error}") from error
    arguments: Any = hints.get(parameters[0])
    outputs: Any = hints.get("return", type(None))
    if not _is_struct(arguments):
        raise PluginStepError(f"the step {name} needs a type for {parameters[0]}: a msgspec Struct")
    if outputs is not type(None) and not _is_struct(outputs):
        raise PluginStepError(f"the step {name} returns {outputs}: it must be a msgspec Struct, or None")
    try:
        timeout_s = float(timeout) if isinstance(timeout, int | float) else parse_duration(timeout)
    except DurationError as error:
        raise PluginStepError(f"timeout of the step {name}: {error}") from None
    if not 0 < timeout_s <= STEP_TIMEOUT_MAX_S:
        raise PluginStepError(f"timeout of the step {name} is {timeout_s:g} s: give seconds above 0, a day at most")
    step_type = StepType(
        name=name,
        arguments=arguments,
        outputs=NoOutputs if outputs is type(None) else outputs,
        on_device=on_device,
        idempotent=idempotent,
        timeout_s=timeout_s,
        takes_pictures=pictures,
    )
    schema = schema_of(step_type)
    step_type_of(schema, "")  # what the broker does with it, so that its author hears of a mistake first
    return StepDefinition(step_type, function, schema)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
