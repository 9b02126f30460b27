"""The syntax tree: names through loops, indexes, has() and messages, and what a loop copies."""

import pytest

from doai.workflow.conditions import compile_condition
from doai.workflow.syntax_tree import Usage, read_tree


def usages(source: str) -> list[tuple[str, ...]]:
    return [usage.names for usage in compile_condition(source).usages]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("params.l.exists(params, params == 2)", [("params", "l")]),
        ("params.l.all(x, x == params.l[0]) && x", [("params", "l"), ("x",)]),
        ("params['n'] == params[\"\\x6e\"]", [("params", "n")]),
        ("params[run.id] == 1", [("params",), ("run", "id")]),
        ("params.l[0].a == 1", [("params", "l")]),
        (".params.n == 1", [("params", "n")]),
        ("{'a': params.n, params.k: [run.id]}.a == 1", [("params", "n"), ("params", "k"), ("run", "id")]),
        ("steps.a.list.size() > int(device.sdk)", [("steps", "a", "list"), ("device", "sdk")]),
        ("1.5 < 2.5 && type(1) == int", []),
        ("google.protobuf.Timestamp{seconds: params.n} != null", [("google.protobuf.Timestamp",), ("params", "n")]),
    ],
)
def test_names(source: str, names: list[tuple[str, ...]]) -> None:
    assert usages(source) == names


def test_what_has_asks_for_is_guarded() -> None:
    found = compile_condition("has(steps.a.b) && steps.a.b > 1").usages
    assert found == (Usage(("steps", "a", "b"), guarded=True), Usage(("steps", "a", "b")))


def test_an_expression_without_anything_has_nothing() -> None:
    tree = read_tree(b"", frozenset())
    assert (tree.usages, tree.functions, tree.loops, tree.copies_in_loops) == ((), (), 0, False)


def test_other_kinds_of_fields_are_passed_over_and_unknown_ones_refused() -> None:
    # Field 15 as 32 bits, then as a group, which no message of CEL has.
    assert read_tree(b"\x7d\x00\x00\x00\x00", frozenset()).usages == ()
    with pytest.raises(ValueError, match="no wire type 3"):
        read_tree(b"\x7b", frozenset())
