"""What the commands of a Maestro flow are made of: texts, elements, places, times (step 2). Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from doai.workflow.conditions import ConditionError, matches

LOOKUP: Final = "17s"
"""Maestro's time for what must be there."""
_LOOKUP_OPTIONAL: Final = "7s"
_REGEX: Final = re.compile(r"[\\^$.|?*+()\[\]{}]")
_EXPRESSION: Final = re.compile(r"\$\{([^}]*)\}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_PARAMETER: Final = re.compile(r"\$\{params\.([A-Za-z0-9_]+)\}")
_POINT: Final = re.compile(r"\s*(\d+(?:\.\d+)?%?)\s*,\s*(\d+(?:\.\d+)?%?)\s*")
SELECTOR_KEYS: Final = frozenset({"text", "id", "index", "below", "above", "childOf"})
_HARMLESS: Final = frozenset(
    {"label", "retryTapIfNoChange", "waitUntilVisible", "waitToSettleTimeoutMs", "optional"}
)
"""Options that a step has itself, or that say how Maestro waits."""

Steps = list[dict[str, Any]]


class LeftOutError(Exception):
    """The command has no counterpart; ``str(error)`` says what of it."""


class Context:
    """What a converter needs of its flow."""

    def __init__(self, *, app_id: str, ids: set[str], nested: Callable[[str, Any], Steps]) -> None:
        self.app_id = app_id
        self.nested = nested
        """Converts the commands under a key of this command; raises LeftOutError when one has no counterpart."""
        self.notes: list[str] = []
        """What means something a little different afterwards."""
        self._ids = ids

    def step(
        self, name: str, use: str, with_: Mapping[str, Any] | None = None, about: Any = None
    ) -> dict[str, Any]:
        """Return a step with an id that is not taken; ``about``: the command's arguments (label, optional)."""
        number = 1
        step_id = name
        while step_id in self._ids:
            number += 1
            step_id = f"{name}_{number}"
        self._ids.add(step_id)
        step: dict[str, Any] = {"id": step_id, "use": use}
        if with_:
            step["with"] = dict(with_)
        if isinstance(about, dict):
            if isinstance(about.get("label"), str):
                step["label"] = about["label"]
            if about.get("optional") is True:
                step["optional"] = True
        return step

    def package(self, given: Any = None) -> str:
        """Return the app that is named, or that of the flow."""
        found = given or self.app_id
        if not isinstance(found, str) or not found:
            raise LeftOutError("it names no app, and the flow has no appId")
        return text(found)


def references(value: Any) -> Iterator[str]:
    """Yield the parameters that a step refers to."""
    if isinstance(value, str):
        yield from _PARAMETER.findall(value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def text(value: Any) -> str:
    """Return a text with its variables as parameters; raises LeftOutError for one that is computed."""

    def parameter(match: re.Match[str]) -> str:
        inner = match[1].strip()
        if _VARIABLE.fullmatch(inner) is None:
            raise LeftOutError(f"it computes ${{{inner[:40]}}}, and workflows do not compute texts")
        return "${params." + inner + "}"

    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise LeftOutError("it wants a text")
    if "$${" in str(value):
        raise LeftOutError("a dollar sign before ${ means something else in a workflow")
    return _EXPRESSION.sub(parameter, str(value))


def check_known(arguments: Mapping[str, Any], *names: str, selector: bool = False) -> None:
    allowed = {*names, *_HARMLESS, *(SELECTOR_KEYS if selector else ())}
    extra = sorted(set(map(str, arguments)) - allowed)
    if extra:
        raise LeftOutError(f"{extra[0]} has no counterpart")


def fields_of(arguments: Any, name: str) -> dict[str, Any]:
    """Return arguments as a map: a bare value is that of ``name``."""
    return dict(arguments) if isinstance(arguments, dict) else {name: arguments}


def selector_of(given: Any) -> dict[str, Any]:
    """Return our target for Maestro's selector."""
    fields = fields_of(given, "text")
    found: dict[str, Any] = {}
    if fields.get("text") is not None:
        found |= _text_selector(text(fields["text"]))
    if fields.get("id") is not None:
        name = text(fields["id"])
        if _REGEX.search(name.replace(".", "")) and "${" not in name:
            raise LeftOutError(f"the id {name[:60]!r} is a pattern, and ids are compared whole")
        found["id"] = name
    if not found:
        raise LeftOutError("it names no text and no id")
    if fields.get("index") is not None:
        found["index"] = whole_number(fields["index"], "index")
    for key in ("below", "above"):
        if fields.get(key) is not None:
            found[key] = _plain_text(fields[key], key)
    if fields.get("childOf") is not None:
        parent = fields["childOf"]
        if not isinstance(parent, dict) or set(parent) != {"id"}:
            raise LeftOutError("childOf needs the id of what it is in")
        found["child_of"] = text(parent["id"])
    return found


def _text_selector(wanted: str) -> dict[str, Any]:
    literal = _PARAMETER.sub("", wanted)
    if _REGEX.search(literal) is None:
        return {"text": wanted}
    unescaped = re.sub(r"\\(.)", r"\1", wanted)
    if re.search(r"\\[A-Za-z0-9]", literal) is None and _REGEX.search(re.sub(r"\\.", "", literal)) is None:
        return {"text": unescaped}  # a pattern that only takes its signs for themselves
    if literal != wanted:
        raise LeftOutError("a pattern with a variable in it has no counterpart")
    pattern = f"(?is)^(?:{wanted})$"
    try:
        matches(pattern, "")
    except ConditionError as error:
        raise LeftOutError(f"{wanted[:60]!r} is no regular expression here (RE2): {error}") from None
    return {"text_matches": pattern}


def _plain_text(given: Any, key: str) -> str:
    fields = fields_of(given, "text")
    if set(fields) != {"text"}:
        raise LeftOutError(f"{key} needs the text of an element")
    found = _text_selector(text(fields["text"]))
    if "text" not in found:
        raise LeftOutError(f"{key} can not be a pattern")
    return str(found["text"])


def whole_number(value: Any, what: str) -> int:
    if isinstance(value, bool) or not str(value).strip().isdecimal():
        raise LeftOutError(f"{what} is no whole number")
    return int(str(value))


def milliseconds(value: Any, what: str) -> str:
    return f"{whole_number(value, what)}ms"


def within_of(arguments: Any) -> str:
    return _LOOKUP_OPTIONAL if isinstance(arguments, dict) and arguments.get("optional") is True else LOOKUP


def point_of(given: Any) -> dict[str, Any]:
    match = _POINT.fullmatch(str(given))
    if match is None:
        raise LeftOutError(f"the point {str(given)[:40]!r} is not written as X,Y")
    found: dict[str, Any] = {}
    for name, value in (("x", match[1]), ("y", match[2])):
        found[name] = value if value.endswith("%") else whole_number(value, name)
    return found
