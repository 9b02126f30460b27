"""Conditions: CEL expressions, checked when a recipe is stored and evaluated when a step is due (steps 2 and 8).

The language is cel.dev. The library parses, finds types that do not go together and evaluates; here are the bounds
that keep a recipe from hanging or filling its node, and the sentences for people.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from cel_expr_python import cel

from doai.workflow.language import EXPRESSION_CHARS_MAX
from doai.workflow.mistakes import did_you_mean, shown
from doai.workflow.syntax_tree import SyntaxTree, Usage, read_tree

__all__ = (
    "Condition",
    "ConditionError",
    "MissingNameError",
    "TypesError",
    "Usage",
    "compile_condition",
    "matches",
)

FUNCTIONS: Final = frozenset(
    (
        *("all", "exists", "exists_one", "filter", "map", "has", "size"),
        *("contains", "startsWith", "endsWith", "matches"),
        *("int", "uint", "double", "string", "bool", "bytes", "type", "duration", "timestamp"),
    )
)
"""What a condition may call: the standard functions of CEL that need nothing from outside."""
LOOPS_MAX: Final = 2
"""`all`, `exists`, `map` ... in one expression: each is a loop, and loops multiply. The library ends an evaluation
after 10,000 rounds of all of them."""
LOOP_ITEMS_MAX: Final = 1000
"""Items of a list or map that a condition reads. `map` and `filter` copy what they have at every round: 20 ms and
20 MiB for 1,000 items, 3.5 s and 1.3 GiB for 9,000."""

_TYPES: Final = frozenset(
    {"int", "uint", "double", "bool", "string", "bytes", "list", "map", "dyn", "null_type", "type"}
)
_INTEGER_END: Final = 2**63
_ENVIRONMENTS_MAX: Final = 32
"""One for each set of names that expressions use together, 0.1 MiB each."""


class ConditionError(Exception):
    """An expression is no CEL, or can not be evaluated; ``str(error)`` says why."""


class MissingNameError(ConditionError):
    """A field that the expression uses is not there, e.g. because its step was skipped."""


class TypesError(ConditionError):
    """Operands do not go together."""


class PatternError(ConditionError):
    """What stands for a regular expression is none; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"its regular expression is wrong: {reason}; correct it")
        self.reason = reason


class Condition:
    """A compiled expression."""

    def __init__(self, source: str, program: cel.Expression, usages: tuple[Usage, ...]) -> None:
        self.source = source
        self.usages = usages
        self._program = program

    def evaluate(self, names: Mapping[str, Any]) -> bool:
        """Return whether it holds; raises ConditionError when it can not be said, never anything else."""
        value = self.value(names)
        if not isinstance(value, bool):
            raise ConditionError(f"it gives {_kind(value)}, not true or false; compare it with something")
        return value

    def value(self, names: Mapping[str, Any]) -> Any:
        """Return what the expression gives; raises ConditionError."""
        data = _used(self.usages, names)
        try:
            result = self._program.eval(data=data)
        except (RuntimeError, ValueError, TypeError, ArithmeticError) as error:
            raise _evaluation_error(str(error)) from error
        value = result.plain_value()
        if result.type() == cel.Type.ERROR:
            raise _evaluation_error(str(value))
        return value


def compile_condition(source: str) -> Condition:
    """Compile a CEL expression; raises ConditionError with what is wrong, where, and what to do."""
    if len(source) > EXPRESSION_CHARS_MAX:
        raise ConditionError(
            f"it has {len(source)} characters and may have {EXPRESSION_CHARS_MAX}; write it simpler"
        )
    try:
        # The parsed form is what runs: it compares 2 with 2.5, which the checker would refuse.
        program = _environment(frozenset()).compile(source, disable_check=True)
    except (RuntimeError, TypeError) as error:
        raise _syntax_error(str(error), source) from error
    tree = read_tree(program.serialize(), _TYPES)
    _check_bounds(tree)
    _check_types(source, tree)
    return Condition(source, program, tree.usages)


def matches(pattern: str, text: str) -> bool:
    """Whether the regular expression is found in the text; raises ConditionError when it is none.

    CEL's expressions (RE2) take linear time whatever the pattern, so that a recipe can not hang who reads it;
    ``$`` is the end of the text and nothing else. A text with a null character is refused, too.
    """
    try:
        return _matching().evaluate({"text": text, "pattern": pattern})
    except PatternError as error:
        raise ConditionError(error.reason) from error


@functools.cache
def _matching() -> Condition:
    return compile_condition("text.matches(pattern)")


@functools.lru_cache(maxsize=_ENVIRONMENTS_MAX)
def _environment(names: frozenset[str]) -> cel.Env:
    return cel.NewEnv(variables=dict.fromkeys(names, cel.Type.DYN))


def _check_bounds(tree: SyntaxTree) -> None:
    for name in tree.functions:
        if name not in FUNCTIONS:
            raise ConditionError(f"there is no function {shown(name)}; {did_you_mean(name, FUNCTIONS)}")
    if tree.loops > LOOPS_MAX:
        raise ConditionError(f"it has more than {LOOPS_MAX} of all, exists, filter and map; write it simpler")
    if tree.copies_in_loops:
        raise ConditionError(
            "in all, exists, filter and map it may add numbers that are written out and nothing else, and not call"
            " string() and bytes(); do so outside of them"
        )


_PLACE: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_OVERLOAD: Final = re.compile(r"found no matching overload for '(.+)' applied to '(.+)'")
_UNDECLARED: Final = re.compile(r"undeclared reference to '(.*)' \(in container ''\)")
_NUMBERS_COMPARED: Final = re.compile(
    r"found no matching overload for '_(?:[<>]=?|[=!]=)_' applied to '\(NUM, NUM\)'"
)
_NUMBER_TYPE: Final = re.compile(r"\b(?:int|uint|double)\b")


def _check_types(source: str, tree: SyntaxTree) -> None:
    names = frozenset(usage.names[0] for usage in tree.usages) - _TYPES
    try:
        _environment(names).compile(source)
    except RuntimeError as error:
        found = _PLACE.findall(str(error))
        for line, column, message in found:
            if _NUMBERS_COMPARED.fullmatch(_NUMBER_TYPE.sub("NUM", message)):
                continue
            place = _place(int(line), int(column), source)
            if (overload := _OVERLOAD.fullmatch(message)) is not None:
                raise _mismatch(overload[1], overload[2], place) from error
            if (unknown := _UNDECLARED.fullmatch(message)) is not None:
                # Every name is declared and every function exists: with other arguments, or not as a method.
                raise ConditionError(f"{unknown[1]!r} can not be used like this{place}; see cel.dev") from error
            raise ConditionError(f"{message[:160]}{place}; correct it") from error
        if not found:
            raise _syntax_error(str(error), source) from error


_UNEXPECTED: Final = re.compile(
    r"Syntax error: (?:(?:mismatched|extraneous) input|token recognition error at:|no viable alternative at input)"
    r" '?(.*?)'?(?: expecting .*)?"
)
_INSTEAD: Final = {"and": "&&", "or": "||", "not": "!", "=": "=="}
_TOO_DEEP: Final = ("recursion limit", "recursion depth")


def _syntax_error(text: str, source: str) -> ConditionError:
    if any(words in text for words in _TOO_DEEP):
        return ConditionError("it is nested more than 32 deep; write it simpler")
    found = _PLACE.search(text)
    if found is None:
        # Half a character in the text, or a name that the library keeps for itself.
        return ConditionError("it is no CEL expression: it has a character or name that CEL has not; see cel.dev")
    message = found[3]
    place = _place(int(found[1]), int(found[2]), source)
    if message.startswith("reserved identifier: "):
        word = message.removeprefix("reserved identifier: ")
        return ConditionError(f"{word!r} is a word of the language{place}; write outputs.{word} for an output")
    unexpected = _UNEXPECTED.fullmatch(message)
    if unexpected is None:
        reason = message.removeprefix("Syntax error: ")[:160]
    elif unexpected[1] == "<EOF>":
        reason = "it ends too early"
    else:
        word = unexpected[1].strip()
        reason = f"{shown(word)} is not expected"
        # `not` is read as a name, and what stands behind it is what is too much.
        word = "not" if re.match(r"\s*not\b", source) else word
        if word in _INSTEAD:
            return ConditionError(f"it is no CEL expression: {reason}{place}; write {_INSTEAD[word]} instead")
    return ConditionError(f"it is no CEL expression: {reason}{place}; see cel.dev for the language")


def _place(line: int, column: int, source: str) -> str:
    if line < 1:
        return ""
    return f" at line {line}, character {column}" if "\n" in source else f" at character {column}"


_KINDS: Final = {
    "int": "an integer",
    "int64": "an integer",
    "uint": "an unsigned integer",
    "uint64": "an unsigned integer",
    "double": "a number with a point",
    "string": "text",
    "bool": "true or false",
    "null_type": "null",
    "list": "a list",
    "map": "fields",
}
_NO_OVERLOAD: Final = re.compile(r"No matching overloads found : (?:\((\w+)\)\.)?([^()]+)(?:\((.*)\))?")


def _mismatch(function: str, types: str, place: str = "") -> TypesError:
    parts = [part.partition("(")[0] for part in types.strip("()").split(", ")]
    kinds = [_KINDS.get(part, part) for part in parts if part and part != "dyn"]
    # `_>_` is the operator >.
    name = function.strip("_")
    sentence = f"{name} does not go with {' and '.join(kinds)}" if kinds else _MIXED
    remedy = "ask whether it is null first" if "null" in kinds else "convert with int(), double(), string() ..."
    return TypesError(f"{sentence}{place}; {remedy}")


_MIXED: Final = "its parts have types that do not go together"


def _no_overload(match: re.Match[str]) -> ConditionError:
    return _mismatch(match[2], ", ".join(part for part in (match[1], match[3]) if part))


_EVALUATION: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], ConditionError]], ...]] = (
    (re.compile(r'Key not found in map : "?(.*?)"?'), lambda m: MissingNameError(f"there is no {m[1]!r} now")),
    (re.compile(r'No value with name "(.*)" found.*'), lambda m: MissingNameError(f"there is no {m[1]!r} now")),
    (_NO_OVERLOAD, _no_overload),
    (
        re.compile(r"Applying SELECT to non-message type"),
        lambda _: TypesError("it asks for a field of something that has no fields; compare the thing itself"),
    ),
    (
        re.compile(r"Index error: index=(-?\d+) size=(\d+)"),
        lambda m: ConditionError(f"there is no item {m[1]} in a list of {m[2]}; ask for its size() first"),
    ),
    (re.compile(r"(?:divide|modulus) by zero"), lambda _: ConditionError("it divides by zero; ask for that first")),
    (
        re.compile(r"Iteration budget exceeded.*"),
        lambda _: ConditionError("its loops take more than 10,000 rounds; give shorter lists or nest no loops"),
    ),
    (
        re.compile(r"invalid regular expression: (.*?): (.*)", re.DOTALL),
        lambda m: PatternError(f"{m[1]} in {shown(m[2])}"),
    ),
    (re.compile(r"invalid regular expression: (.*)", re.DOTALL), lambda m: PatternError(m[1][:160])),
)
"""Words of the library, without the code before them, and the errors that they are."""
_CODE: Final = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")


def _evaluation_error(text: str) -> ConditionError:
    message = _CODE.sub("", text)
    for pattern, error in _EVALUATION:
        if (match := pattern.fullmatch(message)) is not None:
            return error(match)
    return ConditionError(
        f"it can not be evaluated: {message.splitlines()[0][:160] if message else 'no reason given'}"
    )


def _used(usages: tuple[Usage, ...], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the expression uses of the names, as the library takes it; the rest costs nothing."""
    data: dict[str, Any] = {}
    whole = {usage.names[0] for usage in usages if len(usage.names) == 1}
    for usage in usages:
        root = usage.names[0]
        if root not in names:
            continue
        value = names[root]
        if root in whole or not isinstance(value, Mapping):
            if root not in data:
                data[root] = _plain(value, root)
            continue
        kept = data.setdefault(root, {})
        name = usage.names[1]
        if name in value and name not in kept:
            kept[name] = _plain(value[name], f"{root}.{name}")
    return data


def _plain(value: Any, name: str) -> Any:
    """Return the value in the library's types; raises ConditionError, which never shows the value."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        if not -_INTEGER_END <= value < _INTEGER_END:
            raise ConditionError(f"{name} has a number beyond 64 bits; compare something else")
        return value
    if isinstance(value, str):
        return _text(value, name)
    if isinstance(value, Mapping | list | tuple):
        if len(value) > LOOP_ITEMS_MAX:
            raise ConditionError(
                f"{name} has {len(value)} items and a condition reads {LOOP_ITEMS_MAX} at most; compare another"
            )
        if not isinstance(value, Mapping):
            return [_plain(child, name) for child in value]
        if all(isinstance(key, str) for key in value):
            return {_text(key, name): _plain(child, name) for key, child in value.items()}
    raise ConditionError(f"{name} is or has something that conditions can not read; compare something else")


_UNREADABLE: Final = re.compile("[\0\ud800-\udfff]")
"""The library cuts a text at its first null character, and has no halves of characters."""


def _text(value: str, name: str) -> str:
    if _UNREADABLE.search(value):
        raise ConditionError(f"{name} has a null or half a character in its text; compare something else")
    return value


def _kind(value: Any) -> str:
    names: dict[type, str] = {str: "text", int: "an integer", float: "a number", list: "a list", dict: "a map"}
    return "null" if value is None else names.get(type(value), "another value")
