"""Recipes are read once a process, not once a world: reading is pure, and half of the time otherwise (step 2)."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from unittest import mock

from doai.broker.core import library, recipes
from doai.errors import NotFoundError
from doai.node.core import recipes as node_recipes
from doai.workflow import rules
from doai.workflow.calls import calls
from doai.workflow.flow_steps import called_by
from doai.workflow.model import Workflow, from_stored, parse_workflow
from doai.workflow.step_type import StepType
from doai.workflow.steps import BUILT_IN

_parse: Final = functools.lru_cache(maxsize=64)(parse_workflow)
_from_stored: Final = functools.lru_cache(maxsize=64)(from_stored)
_recipe_from_stored: Final = functools.lru_cache(maxsize=64)(rules.Recipe.from_stored.__func__)  # type: ignore[attr-defined]


_linked_well: Final[set[tuple[str, str]]] = set()
"""Texts, and the versions that they called, in which nothing was wrong."""


def _parse_linked(source: str, step_types: Mapping[str, StepType], *, find: Any = None) -> Workflow:
    if step_types is not BUILT_IN:
        return parse_workflow(source, step_types, find=find)
    workflow = _parse(source)
    if find is None or not calls(workflow):
        return workflow
    look_up = find(workflow)
    called = [reference for step in workflow.steps if (reference := called_by(step)) is not None]
    try:
        key = (source, " ".join(look_up(reference).title for reference in called))
    except NotFoundError:
        return parse_workflow(source, find=find)
    if key not in _linked_well:
        parse_workflow(source, find=find)
        _linked_well.add(key)
    return workflow


def _recipe(body: bytes, step_types: Mapping[str, StepType]) -> Any:
    if step_types is not BUILT_IN:
        return rules.Recipe(from_stored(body, step_types), step_types)
    return _recipe_from_stored(rules.Recipe, body)


@contextmanager
def recipes_read_once() -> Iterator[None]:
    """Within it a text that was read before is not read again; mistakes are."""
    with (
        mock.patch.object(library, "parse_workflow", _parse_linked),
        mock.patch.object(recipes, "from_stored", _from_stored),
        mock.patch.object(node_recipes, "from_stored", _from_stored),
        mock.patch.object(rules.Recipe, "from_stored", staticmethod(_recipe)),
    ):
        yield
