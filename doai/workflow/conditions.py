"""Conditions: CEL expressions, checked when a recipe is stored and evaluated when a step is due (steps 2 and 8).

The language is cel.dev; the library compiles and evaluates, what it leaves open (which names an expression
uses below the first dot) is read from the expression's words here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import cel
import msgspec

NESTING_MAX: Final = 32
"""Brackets within brackets; the library's parser recurses for each."""
MACROS_MAX: Final = 2
"""`all`, `exists`, `map` ... in one expression: each is a loop, and loops multiply."""

_WORD: Final = re.compile(
    r"""\s+|//[^\n]*"""
    r"""|(?P<text>[rRbB]{0,2}(?:'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"))"""
    r"""|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"""
    r"""|(?P<number>(?:0x[0-9a-fA-F]+|[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)u?)"""
    r"""|(?P<sign>[^\s])""",
    re.DOTALL,
)
_LITERALS: Final = frozenset({"true", "false", "null", "in"})
_TYPES: Final = frozenset(
    {
        "int",
        "uint",
        "double",
        "bool",
        "string",
        "bytes",
        "list",
        "map",
        "null_type",
        "type",
        "timestamp",
        "duration",
    }
)
_MACROS: Final = frozenset({"all", "exists", "exists_one", "filter", "map"})


class ConditionError(Exception):
    """An expression is no CEL, or can not be evaluated; ``str(error)`` says why."""


class Usage(msgspec.Struct, frozen=True):
    """A name that an expression uses, with the fields after it: ``steps.shot.width`` -> (steps, shot, width)."""

    names: tuple[str, ...]
    guarded: bool = False
    """Inside ``has(...)``, which asks whether it is there."""


class Condition:
    """A compiled expression."""

    def __init__(self, source: str, program: cel.Program, usages: tuple[Usage, ...]) -> None:
        self.source = source
        self.usages = usages
        self._program = program

    @property
    def functions(self) -> tuple[str, ...]:
        """Names of the functions it calls, without operators."""
        return tuple(name for name in self._program.functions() if name.isidentifier() and name[0] != "_")

    def evaluate(self, names: Mapping[str, Any]) -> bool:
        """Return whether it holds; raises ConditionError when it can not be said, never anything else."""
        value = self.value(names)
        if not isinstance(value, bool):
            raise ConditionError(f"it gives {_kind(value)}, not true or false; compare it with something")
        return value

    def value(self, names: Mapping[str, Any]) -> Any:
        """Return what the expression gives; raises ConditionError."""
        try:
            return self._program.execute(dict(names))
        except KeyError as error:
            raise MissingNameError(f"there is no {error.args[0] if error.args else 'such'!r} now") from error
        except TypeError as error:
            raise TypesError(
                "its parts have types that do not go together; convert with int(), string() ..."
            ) from error
        except (ValueError, RuntimeError, ArithmeticError, LookupError) as error:
            raise ConditionError(_first_line(error)) from error


class MissingNameError(ConditionError):
    """A field that the expression uses is not there, e.g. because its step was skipped."""


class TypesError(ConditionError):
    """Operands do not go together."""


def compile_condition(source: str) -> Condition:
    """Compile a CEL expression; raises ConditionError with what is wrong and what to do."""
    words = _words(source)
    _check_size(words)
    try:
        program = cel.compile(source)
    except (ValueError, RuntimeError) as error:
        raise ConditionError(f"it is no CEL expression: {_syntax(error)}") from error
    return Condition(source, program, _usages(words))


_MATCHES: Final = "text.matches(pattern)"


def matches(pattern: str, text: str) -> bool:
    """Whether the regular expression is found in the text; raises ConditionError when it is none.

    CEL's expressions (RE2) take linear time whatever the pattern, so that a recipe can not hang who reads it;
    ``$`` is the end of the text and nothing else.
    """
    try:
        return compile_condition(_MATCHES).evaluate({"text": text, "pattern": pattern})
    except ConditionError as error:
        # The library's last line is the reason, those before point at the place with a ^.
        lines = [line for line in str(error.__cause__).splitlines() if line.startswith("error: ")]
        reason = lines[-1].removeprefix("error: ").partition(". ")[0] if lines else str(error)
        raise ConditionError(reason) from error


class _Word(msgspec.Struct, frozen=True):
    kind: str
    text: str


def _words(source: str) -> list[_Word]:
    return [_Word(match.lastgroup, match[0]) for match in _WORD.finditer(source) if match.lastgroup is not None]


def _check_size(words: list[_Word]) -> None:
    depth = 0
    run = 0
    macros = 0
    for index, word in enumerate(words):
        if word.kind == "sign":
            depth += (word.text in "([{") - (word.text in ")]}")
        # Unary operators nest too: `!!!!x`.
        run = run + 1 if word.text in "!-" else 0
        macros += word.text in _MACROS and index > 0 and words[index - 1].text == "."
        if depth > NESTING_MAX or run > NESTING_MAX:
            raise ConditionError(f"it is nested more than {NESTING_MAX} deep; write it simpler")
    if macros > MACROS_MAX:
        raise ConditionError(f"it has more than {MACROS_MAX} of all, exists, filter and map; write it simpler")


def _usages(words: list[_Word]) -> tuple[Usage, ...]:
    bound = {
        words[index + 2].text
        for index in range(1, len(words) - 2)
        if words[index].text in _MACROS and words[index - 1].text == "." and words[index + 1].text == "("
    }
    found = []
    for index, word in enumerate(words):
        before = words[index - 1].text if index else ""
        after = words[index + 1].text if index + 1 < len(words) else ""
        if word.kind != "name" or before == "." or word.text in _LITERALS | bound:
            continue
        if after == "(" or (word.text in _TYPES and after != "."):
            continue
        if after == ":" and before in "{,":
            # Key of a map or field of a message, not a name.
            continue
        guarded = before == "(" and index > 1 and words[index - 2].text == "has"
        found.append(Usage(_chain(words, index), guarded))
    return tuple(dict.fromkeys(found))


def _chain(words: list[_Word], start: int) -> tuple[str, ...]:
    names = [words[start].text]
    at = start + 1
    while at + 1 < len(words):
        following = words[at + 2].text if at + 2 < len(words) else ""
        if words[at].text == "." and words[at + 1].kind == "name" and following != "(":
            names.append(words[at + 1].text)
            at += 2
        elif words[at].text == "[" and words[at + 1].kind == "text" and following == "]":
            names.append(words[at + 1].text.lstrip("rRbB").strip("'\""))
            at += 3
        else:
            break
    return tuple(names)


def _syntax(error: Exception) -> str:
    text = _first_line(error)
    _, found, after = text.partition("Syntax error: ")
    detail = after if found else text
    return detail.partition(" expecting ")[0][:160] + "; see cel.dev for the language"


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")[:200]


def _kind(value: Any) -> str:
    names: dict[type, str] = {str: "text", int: "an integer", float: "a number", list: "a list", dict: "a map"}
    return "null" if value is None else names.get(type(value), "another value")
