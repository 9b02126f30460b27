"""The syntax tree of a CEL expression: the names it uses, the functions it calls, how it loops (step 2).

The library gives the tree as serialized ``cel.expr.ParsedExpr`` (github.com/google/cel-spec, proto/cel/expr/
syntax.proto: the numbers of the fields below are from there; the wire format is protobuf.dev/programming-guides/
encoding). It is read here, so that no protobuf runtime is needed for a hundred bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

# google.protobuf.Any around cel.expr.ParsedExpr.
_ANY_VALUE: Final = 2
_PARSED_EXPR: Final = 2
# cel.expr.Expr: one of these.
_CONSTANT, _IDENT, _SELECT, _CALL, _LIST, _STRUCT, _COMPREHENSION = 3, 4, 5, 6, 7, 8, 9
_IDENT_NAME: Final = 1
_SELECT_OPERAND, _SELECT_FIELD, _SELECT_TEST_ONLY = 1, 2, 3
_CALL_TARGET, _CALL_FUNCTION, _CALL_ARGUMENTS = 1, 2, 3
_LIST_ELEMENTS: Final = 1
_STRUCT_NAME, _STRUCT_ENTRIES = 1, 2
_ENTRY_KEY, _ENTRY_VALUE = 3, 4
_LOOP_VARIABLES: Final = (1, 3, 8)
"""iter_var, accu_var, iter_var2."""
_LOOP_RANGE: Final = 2
_LOOP_PARTS: Final = (4, 5, 6, 7)
"""accu_init, loop_condition, loop_step, result."""
_NUMBERS: Final = (3, 4, 5)
"""int64, uint64, double of a Constant."""
_STRING: Final = 6

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_GROWING: Final = frozenset({"string", "bytes"})
"""Functions that copy what they are given; `+` does too."""


class Usage(msgspec.Struct, frozen=True):
    """A name that an expression uses, with the fields after it: ``steps.shot.width`` -> (steps, shot, width)."""

    names: tuple[str, ...]
    guarded: bool = False
    """Inside ``has(...)``, which asks whether it is there."""


class SyntaxTree(msgspec.Struct, frozen=True):
    """What is to be known of an expression before it is evaluated."""

    usages: tuple[Usage, ...]
    """In the order of the text; without types such as `int` and without the variables of its own loops."""
    functions: tuple[str, ...]
    """Functions it calls, without operators."""
    loops: int
    """How many of all, exists, exists_one, filter and map it has."""
    copies_in_loops: bool
    """Whether a loop adds or copies texts or lists, whose size multiplies with the rounds."""


def read_tree(serialized: bytes, types: frozenset[str]) -> SyntaxTree:
    """Read a serialized parsed expression; ``types`` are names of the language and no usages."""
    reader = _Reader(types)
    parsed = _Node(_Node(serialized).bytes(_ANY_VALUE))
    reader.visit(parsed.node(_PARSED_EXPR), frozenset(), False)
    return SyntaxTree(
        usages=tuple(dict.fromkeys(reader.usages)),
        functions=tuple(dict.fromkeys(reader.functions)),
        loops=reader.loops,
        copies_in_loops=reader.copies_in_loops,
    )


class _Node:
    """One protobuf message: its fields by number."""

    def __init__(self, data: bytes) -> None:
        self._fields: dict[int, list[bytes]] = {}
        for number, value in _fields(data):
            self._fields.setdefault(number, []).append(value)

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def bytes(self, number: int) -> bytes:
        return self._fields.get(number, [b""])[-1]

    def text(self, number: int) -> str:
        return self.bytes(number).decode()

    def node(self, number: int) -> _Node:
        return _Node(self.bytes(number))

    def nodes(self, number: int) -> list[_Node]:
        return [_Node(data) for data in self._fields.get(number, ())]


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of every field; of numbers the bytes as they are, for none is needed."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            _, end = _varint(data, at)
        elif kind == _BYTES:
            length, at = _varint(data, at)
            end = at + length
        elif kind in (_FIXED64, _FIXED32):
            end = at + (8 if kind == _FIXED64 else 4)
        else:
            raise ValueError(f"protobuf has no wire type {kind}")
        yield key >> 3, data[at:end]
        at = end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


class _Reader:
    """One walk over the tree, whose depth the library's parser has bounded."""

    def __init__(self, types: frozenset[str]) -> None:
        self._types = types
        self.usages: list[Usage] = []
        self.functions: list[str] = []
        self.loops = 0
        self.copies_in_loops = False

    def visit(self, expr: _Node, bound: frozenset[str], in_loop: bool) -> None:
        names = _chain(expr)
        if names is not None:
            if names[0] not in bound and not (names[0] in self._types and len(names) == 1):
                guarded = _SELECT in expr and _SELECT_TEST_ONLY in expr.node(_SELECT)
                self.usages.append(Usage(names, guarded))
        elif _SELECT in expr:
            self.visit(expr.node(_SELECT).node(_SELECT_OPERAND), bound, in_loop)
        elif _CALL in expr:
            self._call(expr.node(_CALL), bound, in_loop)
        elif _LIST in expr:
            for element in expr.node(_LIST).nodes(_LIST_ELEMENTS):
                self.visit(element, bound, in_loop)
        elif _STRUCT in expr:
            self._struct(expr.node(_STRUCT), bound, in_loop)
        elif _COMPREHENSION in expr:
            self._loop(expr.node(_COMPREHENSION), bound)

    def _call(self, call: _Node, bound: frozenset[str], in_loop: bool) -> None:
        function = call.text(_CALL_FUNCTION)
        arguments = call.nodes(_CALL_ARGUMENTS)
        if function.isidentifier() and not function.startswith("_"):
            self.functions.append(function)
        if in_loop and (function in _GROWING or (function == "_+_" and not _adds_a_number(arguments))):
            self.copies_in_loops = True
        target = call.nodes(_CALL_TARGET)
        for part in (*target, *arguments):
            self.visit(part, bound, in_loop)

    def _struct(self, struct: _Node, bound: frozenset[str], in_loop: bool) -> None:
        if _STRUCT_NAME in struct:
            # A message: its name is one that nobody gave.
            self.usages.append(Usage((struct.text(_STRUCT_NAME),)))
        for entry in struct.nodes(_STRUCT_ENTRIES):
            for part in (*entry.nodes(_ENTRY_KEY), *entry.nodes(_ENTRY_VALUE)):
                self.visit(part, bound, in_loop)

    def _loop(self, loop: _Node, bound: frozenset[str]) -> None:
        self.loops += 1
        # What a loop runs over is bounded as long as it is not put together there.
        self.visit(loop.node(_LOOP_RANGE), bound, True)
        inner = bound | {loop.text(number) for number in _LOOP_VARIABLES}
        for number in _LOOP_PARTS:
            self.visit(loop.node(number), inner, True)


def _chain(expr: _Node) -> tuple[str, ...] | None:
    """Return the path of names that an expression is, else None."""
    if _IDENT in expr:
        return (expr.node(_IDENT).text(_IDENT_NAME).removeprefix("."),)
    if _SELECT in expr:
        select = expr.node(_SELECT)
        before = _chain(select.node(_SELECT_OPERAND))
        return None if before is None else (*before, select.text(_SELECT_FIELD))
    if _CALL in expr and (call := expr.node(_CALL)).text(_CALL_FUNCTION) == "_[_]":
        operand, index = call.nodes(_CALL_ARGUMENTS)
        before = _chain(operand)
        if before is not None and _CONSTANT in index and _STRING in (constant := index.node(_CONSTANT)):
            return (*before, constant.text(_STRING))
    return None


def _adds_a_number(arguments: list[_Node]) -> bool:
    """Whether an addition can not make anything longer: a number is written out, or it is the loop's own."""
    for argument in arguments:
        if _CONSTANT in argument and any(number in argument.node(_CONSTANT) for number in _NUMBERS):
            return True
        if _IDENT in argument and argument.node(_IDENT).text(_IDENT_NAME).startswith("@"):
            return True
    return False
