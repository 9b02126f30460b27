"""Mistakes of a recipe or of a run's parameters: where, what, what to do; all of them at once (step 2)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from doai.errors import UserError
from doai.reasons import reason as because

MISTAKES_MAX: Final = 50
"""More are counted and not listed: a person mends the first ones and looks again."""

Path = tuple[str | int, ...]
"""Keys and indexes from the root of a recipe to a value, ``("steps", 2, "with", "url")``."""


class Position(msgspec.Struct, frozen=True):
    """A place in the text of a recipe; both counted from 1."""

    line: int
    column: int


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to mend."""

    line: int
    """Counted from 1; 0 when there is no text (a stored recipe, the parameters of a run)."""
    column: int
    path: str
    """``steps[2].with.url``; empty for the whole."""
    message: str
    """One sentence: what is wrong and what to do."""

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}: " if self.line else ""
        return f"{place}{self.path}: {self.message}" if self.path else f"{place}{self.message}"


class MistakesError(UserError):
    """Something a person wrote has mistakes; ``mistakes`` has them all, in the order of the text."""

    def __init__(self, subject: str, mistakes: Iterable[Mistake]) -> None:
        self.mistakes: tuple[Mistake, ...] = tuple(mistakes)
        first = str(self.mistakes[0]) if self.mistakes else "no reason was given"
        count = len(self.mistakes)
        super().__init__(f"{subject}: {first}" + (f" (and {count - 1} more)" if count > 1 else ""))

    @property
    def details(self) -> list[str]:
        """One sentence a mistake, with its place."""
        return [str(mistake) for mistake in self.mistakes]


class WorkflowError(MistakesError):
    """The recipe can not be stored or executed."""

    code = "bad_workflow"


class ParameterError(MistakesError):
    """The parameters or overrides of a run do not fit its workflow."""

    code = "bad_parameters"


class MistakeList:
    """Collects mistakes while a recipe is read; knows where in the text each path is."""

    def __init__(
        self,
        values: Mapping[Path, Position] | None = None,
        keys: Mapping[Path, Position] | None = None,
    ) -> None:
        self._values = values or {}
        self._keys = keys or {}
        self._found: list[Mistake] = []
        self._more = 0
        self._paths: set[Path] = set()

    def __len__(self) -> int:
        return len(self._found) + self._more

    @property
    def found(self) -> tuple[Mistake, ...]:
        """What was noted, in that order; more than `MISTAKES_MAX` are only counted."""
        return tuple(self._found)

    def add(self, path: Path, message: str, *, at_key: bool = False) -> None:
        """Note a mistake of the value at the path, or of its key."""
        self._paths.add(path)
        position = self._position(path, at_key)
        mistake = Mistake(line=position.line, column=position.column, path=path_text(path), message=message)
        if len(self._found) >= MISTAKES_MAX:
            self._more += 1
        elif mistake not in self._found:
            self._found.append(mistake)

    def within(self, path: Path) -> bool:
        """Whether something at or below the path is mistaken, so that what follows from it says nothing new."""
        return any(found[: len(path)] == path for found in self._paths)

    def raise_if_any(self, error: type[MistakesError], subject: str) -> None:
        """Raise the error with everything found, in the order of the text, or return when there is nothing."""
        if not self._found:
            return
        found = sorted(self._found, key=lambda mistake: (mistake.line, mistake.column))
        if self._more:
            found.append(Mistake(line=0, column=0, path="", message=f"{self._more} more mistakes are not listed"))
        raise error(subject, found)

    def _position(self, path: Path, at_key: bool) -> Position:
        if at_key and path in self._keys:
            return self._keys[path]
        for length in range(len(path), -1, -1):
            if path[:length] in self._values:
                return self._values[path[:length]]
        return Position(0, 0)


def path_text(path: Path) -> str:
    """Return ``steps[2].with.url`` for a path; a long key is cut."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part[:63]}" if text else part[:63]
    return text


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return what to do about an unknown name: the nearest known one, or all of them when they are few."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name[:100], names, n=1, cutoff=0.6)
    if near:
        return because("near", name=repr(near[0]))
    if not names:
        return "there is none to choose from"
    if len(names) <= 24:
        return because("known", names=", ".join(names))
    return because("to_choose_from", count=len(names))


def shown(value: object) -> str:
    """Return a value for a sentence, short enough to be read."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
