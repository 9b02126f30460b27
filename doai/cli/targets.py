"""Reads `--on` and `--param` of `doai run`: on what, and with which values (step 1)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from doai.errors import UserError
from doai.ids import is_serial
from doai.messages.commands import Selector, TargetKind, Targets

TARGETS_HELP: Final = (
    "all; serials (A,B); any:N (N devices that match); tag:NAME; group:NAME; model:NAME; node:NAME; 'sdk:>=28'. "
    "Conditions may be given several times and all hold"
)
_TRUE: Final = frozenset({"true", "yes", "1"})
_FALSE: Final = frozenset({"false", "no", "0"})


def parse_targets(words: Sequence[str]) -> Targets:
    """Return the targets that the values of `--on` name; raises UserError with one sentence."""
    serials: list[str] = []
    tags: list[str] = []
    groups: list[str] = []
    models: list[str] = []
    nodes: list[str] = []
    comparisons: list[str] = []
    count: int | None = None
    everything = False
    lists = {"tag": tags, "group": groups, "model": models, "node": nodes, "sdk": comparisons}
    for word in words:
        kind, colon, value = word.partition(":")
        if word == "all":
            everything = True
            continue
        if kind == "any" and colon:
            count = _count(value)
        elif kind in lists and colon:
            if not value:
                raise UserError(f"--on {word} names nothing after the colon")
            lists[kind].append(value)
        else:
            serials += _serials(word)
    selector = Selector(tags=tags, groups=groups, models=models, nodes=nodes, sdk=",".join(comparisons) or None)
    if serials and (count is not None or selector != Selector()):
        raise UserError("--on takes serials or conditions, not both: leave one out")
    if everything and (serials or count is not None):
        raise UserError("--on all is every device: leave out either it or the serials or number")
    if serials:
        return Targets(kind=TargetKind.DEVICES, serials=list(dict.fromkeys(serials)))
    if count is not None:
        return Targets(kind=TargetKind.ANY, selector=selector, count=count)
    return Targets(kind=TargetKind.ALL, selector=selector)


def _count(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise UserError(f"--on any:{value} needs a number of devices, such as any:3")
    return int(value)


def _serials(word: str) -> list[str]:
    serials = [part.strip() for part in word.split(",") if part.strip()]
    for serial in serials:
        if not is_serial(serial):
            raise UserError(f"--on {serial!r} is no serial; use {TARGETS_HELP}")
    if not serials:
        # Such as `--on "$PHONE"` of a variable that is not set: never taken for all devices.
        raise UserError(f"--on {word!r} names no device; use {TARGETS_HELP}")
    return serials


def parse_params(words: Sequence[str], declared: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the values that `--param k=v` give, as the types that the workflow declares.

    ``declared`` maps names to the recipe's `params`. Unknown names are passed on as text: the broker names
    all mistakes at once. Raises UserError when a word is no ``k=v`` or a value is not of its type.
    """
    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise UserError(f"--param {word!r} must be name=value")
        if name in values:
            raise UserError(f"--param {name} is given twice")
        values[name] = _value(name, text, declared.get(name, {}))
    return values


def _value(name: str, text: str, parameter: Mapping[str, Any]) -> Any:
    kind = parameter.get("type", "string")
    if text == "null" and parameter.get("nullable"):
        return None
    try:
        if kind == "integer":
            return int(text)
        if kind == "number":
            return float(text)
        if kind == "boolean":
            return _boolean(text)
        if kind == "list":
            return _list(text)
    except ValueError:
        raise UserError(f"--param {name} must be of type {kind}, it can not be {text!r}") from None
    return text


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise ValueError(text)


def _list(text: str) -> list[Any]:
    if not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    found = json.loads(text)
    if not isinstance(found, list):
        raise ValueError(text)
    return found
