"""What differs between two recipes, as a person thinks of them: parameters and steps by name (step 14). Pure.

Both are stored recipes, as maps. Steps are compared by their id within their section, so one that was moved is told
as moved and not as another; what was written in by default is compared too, for that is what runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

_SECTIONS: Final = ("steps", "on_failure", "always")
_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~", "moved": ">"}
_TEXT_MAX: Final = 200
"""A longer value is cut where it is read; the change itself has the whole."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference."""

    kind: str
    """added, removed, changed or moved."""
    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        sign = _SIGNS[self.kind]
        if self.kind == "moved":
            return f"{sign} {self.path}: from place {self.before} to {self.after}"
        if self.kind == "changed":
            return f"{sign} {self.path}: {_shown(self.before)} -> {_shown(self.after)}"
        return f"{sign} {self.path}: {_shown(self.after if self.kind == 'added' else self.before)}"


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Return what differs, in the order of a recipe: settings, parameters, steps, outputs."""
    rest = [name for name in sorted({*old, *new}) if name not in (*_SECTIONS, "params", "outputs")]
    found = [change for name in rest for change in _compare(name, _at(old, name), _at(new, name))]
    found += _compare("params", old.get("params") or {}, new.get("params") or {})
    for section in _SECTIONS:
        found += _steps(section, old.get(section) or [], new.get(section) or [])
    return found + list(_compare("outputs", old.get("outputs") or {}, new.get("outputs") or {}))


_ABSENT: Final = object()


def _at(fields: Mapping[str, Any], name: str) -> Any:
    return fields.get(name, _ABSENT)


def _compare(path: str, old: Any, new: Any) -> Iterator[Change]:
    """Compare two values; maps field by field."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from _compare(f"{path}.{name}", _at(old, name), _at(new, name))
    elif _are_steps(old) and _are_steps(new):
        yield from _steps(path, old, new)
    elif old is _ABSENT:
        yield Change(kind="added", path=path, before=None, after=new)
    elif new is _ABSENT:
        yield Change(kind="removed", path=path, before=old, after=None)
    elif not _same(old, new):
        yield Change(kind="changed", path=path, before=old, after=new)


def _are_steps(value: Any) -> bool:
    """Steps inside a step, such as those of a loop."""
    return isinstance(value, list) and all(isinstance(item, Mapping) and "id" in item for item in value)


def _same(old: Any, new: Any) -> bool:
    # 1, 1.0 and true are one to Python and three to a recipe.
    return bool(msgspec.json.encode(old, order="sorted") == msgspec.json.encode(new, order="sorted"))


def _steps(section: str, old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[Change]:
    before = {str(step["id"]): step for step in old}
    after = {str(step["id"]): step for step in new}
    found = [
        Change(kind="removed", path=f"{section}.{name}", before=dict(step), after=None)
        for name, step in before.items()
        if name not in after
    ]
    moved = _moved([name for name in before if name in after], [name for name in after if name in before])
    places = {name: place for place, name in enumerate(before, 1)}
    for place, (name, step) in enumerate(after.items(), 1):
        path = f"{section}.{name}"
        if name not in before:
            found.append(Change(kind="added", path=path, before=None, after=dict(step)))
            continue
        if name in moved:
            found.append(Change(kind="moved", path=path, before=places[name], after=place))
        found += _compare(path, before[name], step)
    return found


def _moved(old: Sequence[str], new: Sequence[str]) -> set[str]:
    """Return the fewest names that must be moved to make one order of the other: all but a longest common run."""
    place = {name: index for index, name in enumerate(old)}
    # Longest increasing subsequence of old places in the new order; a recipe has few enough steps for O(n^2).
    best: list[list[str]] = []
    for index, name in enumerate(new):
        longest: list[str] = []
        for earlier in range(index):
            if place[new[earlier]] < place[name] and len(best[earlier]) > len(longest):
                longest = best[earlier]
        best.append([*longest, name])
    stays: list[str] = max(best, key=len) if best else []
    return set(new) - set(stays)


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 1] + "…"
