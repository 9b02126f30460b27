"""What a handler's first parameter is: its annotation, or the type that the catalogue has for it (step 14)."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from doai.bots.core.work import Cause, Ended, Work
from doai.bots.errors import BotError, GiveUp
from doai.limits import OUTPUTS_BYTES_MAX
from doai.messages.catalogue import EVENTS
from doai.messages.link import HostSample
from doai.messages.samples import DEVICE_HEALTH, DeviceHealth

Function = Callable[..., Awaitable[Any]]
SAMPLES: Final[Mapping[str, type[msgspec.Struct]]] = {"node.host": HostSample, DEVICE_HEALTH: DeviceHealth}
"""Topic of a sample -> its type."""


class Fields(dict[str, Any]):
    """A payload whose type is not known here: a mapping whose keys can also be read as attributes.

    Keys are camelCase as on the wire; ``battery_temp_c`` reads ``batteryTempC``.
    """

    def __getattr__(self, name: str) -> Any:
        for key in (name, _camel(name)):
            if key in self:
                return self[key]
        raise AttributeError(f"there is no field {name}; it has {', '.join(sorted(self)) or 'none'}")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


class Payload:
    """Reads what one handler is given."""

    def __init__(self, wanted: Any, known: Mapping[str, type[msgspec.Struct]]) -> None:
        """``wanted``: the annotated type; None = what ``known`` has by type, else `Fields`."""
        self._wanted = wanted
        self._known = known
        self._decoders: dict[str, msgspec.msgpack.Decoder[Any]] = {}

    def read(self, name: str, data: msgspec.Raw) -> Any:
        """Return the payload of an event, sample or task; GiveUp when it is not what the handler wants."""
        decoder = self._decoders.get(name)
        if decoder is None:
            wanted = self._wanted if self._wanted is not None else self._known.get(name)
            decoder = msgspec.msgpack.Decoder(dict[str, Any] if wanted is None else wanted)
            self._decoders[name] = decoder
        try:
            found = decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if self._wanted is None and name in self._known:
                # Some events have two forms, or came from a newer broker.
                return Fields(msgspec.msgpack.decode(data, type=dict[str, Any]))
            raise GiveUp(f"the payload of {name} is not what the handler takes: {error}") from None
        return Fields(found) if isinstance(found, dict) else found


def check_function(function: Function, handler: str, parameters: int) -> Any:
    """Return the annotation of the first of ``parameters``; None = there is none. Raises BotError."""
    if not inspect.iscoroutinefunction(function):
        raise BotError(f"the handler {handler} must be a coroutine function: write `async def {handler}(...)`")
    found = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and parameter.default is parameter.empty
    ]
    if len(found) != parameters:
        takes = "(ctx)" if parameters == 1 else "(payload, ctx)"
        raise BotError(f"the handler {handler} must take {takes}, it takes {len(found)} parameters")
    if parameters == 1:
        return None
    return _type_of(found[0].name, function, handler)


def _type_of(name: str, function: Function, handler: str) -> Any:
    if name not in function.__annotations__:
        return None
    # Only this one: those of others may be imported for type checkers alone.
    alone = types.SimpleNamespace(__annotations__={name: function.__annotations__[name]})
    try:
        wanted = typing.get_type_hints(alone, globalns=function.__globals__)[name]
    except Exception as error:
        raise BotError(
            f"the annotation of {name} of {handler} can not be read ({error}): name a type of its module"
        ) from None
    if wanted is Any or wanted is Fields:
        return None
    _schema(wanted, f"the first parameter of the handler {handler}")
    return wanted


def check_events(handler: str, patterns: tuple[str, ...], wanted: Any, event_types: list[str]) -> None:
    """Raise BotError when a type of doai that is annotated belongs to none of the events that match."""
    if wanted not in EVENTS.values() or any(EVENTS[name] is wanted for name in event_types):
        return
    mine = sorted({EVENTS[name].__name__ for name in event_types})
    raise BotError(
        f"the handler {handler} takes {wanted.__name__}, which none of {', '.join(patterns)} has: "
        f"write {' or '.join(mine) or 'a type of your own'}"
    )


def schema_of(wanted: type[msgspec.Struct], what: str) -> dict[str, Any]:
    """Return the JSON Schema of a type, without references at its top; raises BotError."""
    found = _schema(wanted, what)
    definitions = found.get("$defs", {})
    top = found.get("$ref", "").removeprefix("#/$defs/")
    if top not in definitions:
        return found
    others = {name: value for name, value in definitions.items() if name != top}
    return {**definitions[top], **({"$defs": others} if others else {})}


def _schema(wanted: Any, what: str) -> dict[str, Any]:
    try:
        return msgspec.json.schema(wanted)
    except TypeError as error:
        raise BotError(f"{what} has a type with which no data can be read: {error}") from None


def outputs_of(result: Any) -> msgspec.Raw:
    """Return what the handler of a task returned as outputs; GiveUp for what is no Struct and no mapping."""
    if result is None:
        result = {}
    if not isinstance(result, Mapping | msgspec.Struct):
        raise GiveUp(f"a task's handler returns a Struct or a mapping, not {type(result).__name__}")
    try:
        data = msgspec.msgpack.encode(msgspec.to_builtins(result))
    except (TypeError, ValueError) as error:
        raise GiveUp(f"what the handler returned can not be sent: {error}") from None
    if len(data) > OUTPUTS_BYTES_MAX:
        raise GiveUp(f"the outputs have {len(data)} bytes, {OUTPUTS_BYTES_MAX} are the most: keep them elsewhere")
    return msgspec.Raw(data)


def given_up(error: GiveUp, work: Work) -> Ended:
    """Return how a call ended whose handler gave up: what it was given as outputs belongs to a task alone."""
    problem, outputs = str(error) or "it gave up", None
    if work.cause is Cause.TASK and error.outputs is not None:
        try:
            outputs = outputs_of(error.outputs)
        except GiveUp as wrong:
            problem = f"{problem}; {wrong}"
    return Ended(problem=problem, permanent=True, outputs=outputs)
