"""Recipes are read once a process, not once a world: reading is pure, and half of the time otherwise (step 2)."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest import mock

from doai.broker.core import library, recipes
from doai.workflow import rules
from doai.workflow.calls import calls
from doai.workflow.model import Workflow, from_stored, parse_workflow

_parse: Final = functools.lru_cache(maxsize=64)(parse_workflow)
_from_stored: Final = functools.lru_cache(maxsize=64)(from_stored)
_recipe_from_stored: Final = functools.lru_cache(maxsize=64)(rules.Recipe.from_stored.__func__)  # type: ignore[attr-defined]


def _parse_linked(source: str, *, find: Any = None) -> Workflow:
    workflow = _parse(source)
    return parse_workflow(source, find=find) if calls(workflow) else workflow


def _recipe(body: bytes) -> Any:
    return _recipe_from_stored(rules.Recipe, body)


@contextmanager
def recipes_read_once() -> Iterator[None]:
    """Within it a text that was read before is not read again; mistakes are."""
    with (
        mock.patch.object(library, "parse_workflow", _parse_linked),
        mock.patch.object(recipes, "from_stored", _from_stored),
        mock.patch.object(rules.Recipe, "from_stored", staticmethod(_recipe)),
    ):
        yield
