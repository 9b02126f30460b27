"""What is written as YAML is read back as it was."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from doai.workflow.source import read_source
from doai.workflow.writing import Line, write_recipe

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["on", "0o17", "1:30", "1e3", "~", "- a", "# b", "null", "Yes", "'", "{a", "\u2028", "\x85", "", "- ", "<<"]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    TEXTS | st.integers(-(2**62), 2**62) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4), st.text(max_size=20))
def test_every_value_comes_back(fields: dict[str, Any], comment: str) -> None:
    assert read_source(write_recipe(fields, heading=[comment])).data == fields


def test_comments_stand_among_the_steps() -> None:
    text = write_recipe({"steps": [{"id": "a"}, Line("left out\n- b: c"), {"id": "b"}]})
    assert text == "steps:\n  - {id: a}\n  # left out - b: c\n  - {id: b}\n"
