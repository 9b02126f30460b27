"""Recipes are read once a process, not once a world: reading is pure, and half of the time otherwise (step 2)."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from unittest import mock

import msgspec

from doai.broker.core import library, recipes
from doai.errors import NotFoundError
from doai.messages.plugins import StepSchema
from doai.node.core import recipes as node_recipes
from doai.workflow import rules, step_schema
from doai.workflow.calls import calls
from doai.workflow.flow_steps import called_by
from doai.workflow.model import Workflow, from_stored, parse_workflow
from doai.workflow.step_schema import step_type_of
from doai.workflow.step_type import StepType
from doai.workflow.steps import BUILT_IN

_OwnTypes = tuple[StepType, ...]
"""Step types of plug-ins: what there is besides those of doai."""


@functools.lru_cache(maxsize=512)
def _parse(source: str, own: _OwnTypes) -> Workflow:
    return parse_workflow(source, _all_types(own))


@functools.lru_cache(maxsize=512)
def _recipe(body: bytes, own: _OwnTypes) -> rules.Recipe:
    step_types = _all_types(own)
    return rules.Recipe(from_stored(body, step_types), step_types)


_from_stored: Final = functools.lru_cache(maxsize=64)(from_stored)
_types_made: Final[dict[bytes, StepType]] = {}
"""By schema and plug-in, as they are."""
_linked_well: Final[set[tuple[str, _OwnTypes, str]]] = set()
"""Texts, and the versions that they called, in which nothing was wrong."""


def _own_types(step_types: Mapping[str, StepType]) -> _OwnTypes:
    if step_types is BUILT_IN:
        return ()
    return tuple(step_type for name, step_type in step_types.items() if name not in BUILT_IN)


def _all_types(own: _OwnTypes) -> Mapping[str, StepType]:
    return {**BUILT_IN, **{step_type.name: step_type for step_type in own}} if own else BUILT_IN


def _parse_linked(source: str, step_types: Mapping[str, StepType], *, find: Any = None) -> Workflow:
    own = _own_types(step_types)
    workflow = _parse(source, own)
    if find is None or not calls(workflow):
        return workflow
    look_up = find(workflow)
    called = [reference for step in workflow.steps if (reference := called_by(step)) is not None]
    try:
        key = (source, own, " ".join(look_up(reference).title for reference in called))
    except NotFoundError:
        return parse_workflow(source, step_types, find=find)
    if key not in _linked_well:
        parse_workflow(source, step_types, find=find)
        _linked_well.add(key)
    return workflow


def _recipe_from_stored(body: bytes, step_types: Mapping[str, StepType]) -> rules.Recipe:
    return _recipe(body, _own_types(step_types))


def _step_type_of(schema: StepSchema, provider: str) -> StepType:
    key = msgspec.msgpack.encode((schema, provider))
    step_type = _types_made.get(key)
    if step_type is None:
        step_type = _types_made[key] = step_type_of(schema, provider)
    return step_type


@contextmanager
def recipes_read_once() -> Iterator[None]:
    """Within it a text that was read before is not read again; mistakes are."""
    with (
        mock.patch.object(library, "parse_workflow", _parse_linked),
        mock.patch.object(recipes, "from_stored", _from_stored),
        mock.patch.object(node_recipes, "from_stored", _from_stored),
        mock.patch.object(rules.Recipe, "from_stored", staticmethod(_recipe_from_stored)),
        mock.patch.object(step_schema, "step_type_of", _step_type_of),
    ):
        yield
