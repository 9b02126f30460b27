"""Tries of steps, put together from the events that tell of their begin and end (step 14). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from doai import topics
from doai.admin.translation import failure_json
from doai.admin.views import StepJson
from doai.codec import BodyDecoder
from doai.ids import Token
from doai.messages.catalogue import EVENTS
from doai.messages.events import StepCompleted, StepFailed, StepStarted, TaskStarted
from doai.store.views import EventView

_TYPES: Final = (topics.TASK_STARTED, topics.STEP_STARTED, topics.STEP_COMPLETED, topics.STEP_FAILED)
STEP_EVENTS: Final = frozenset(_TYPES)
"""What tells of steps and of the attempts that they belong to."""
_DECODERS: Final[dict[str, BodyDecoder]] = {name: BodyDecoder(EVENTS[name]) for name in _TYPES}

_TryKey = tuple[str, Token, str, int]


def step_tries(events: Iterable[EventView]) -> list[StepJson]:
    """Return one item a try, in the order of their begin; a step in a loop has one each time it was done."""
    attempts: dict[tuple[str, Token], int] = {}
    tries: list[StepJson] = []
    open_tries: dict[_TryKey, int] = {}
    for view in events:
        told = _DECODERS[view.envelope.type](view.envelope.payload)
        if isinstance(told, TaskStarted):
            attempts[told.task_id, told.token] = told.attempt
            continue
        key = (told.task_id, told.token, told.step_id, told.try_number)
        attempt = attempts.get(key[:2])
        if isinstance(told, StepStarted):
            open_tries[key] = len(tries)
            tries.append(_begun(told, attempt, view.envelope.occurred_at_ms))
            continue
        place = open_tries.pop(key, None)
        if place is None:  # one that was skipped never began
            place = len(tries)
            tries.append(_unbegun(told, attempt))
        tries[place] = _ended(tries[place], told, view.envelope.occurred_at_ms)
    return tries


def _begun(told: StepStarted, attempt: int | None, at_ms: int) -> StepJson:
    step = _unbegun(told, attempt)
    return msgspec.structs.replace(step, use=told.use, label=told.label, started_at_ms=at_ms)


def _unbegun(told: StepStarted | StepCompleted | StepFailed, attempt: int | None) -> StepJson:
    return StepJson(
        task_id=told.task_id,
        device_serial=told.device_serial,
        attempt=attempt,
        token=str(told.token),
        step_id=told.step_id,
        use=None,
        label="",
        try_number=told.try_number,
        state="started",
        retried=False,
        optional=False,
        started_at_ms=None,
        ended_at_ms=None,
        duration_ms=None,
        failure=None,
        outputs={},
    )


def _ended(step: StepJson, told: StepCompleted | StepFailed, at_ms: int) -> StepJson:
    step = msgspec.structs.replace(step, ended_at_ms=at_ms, duration_ms=told.duration_ms)
    if isinstance(told, StepCompleted):
        state = "skipped" if told.skipped else "passed"
        return msgspec.structs.replace(step, state=state, outputs=told.outputs)
    return msgspec.structs.replace(
        step, state="failed", failure=failure_json(told.failure), retried=told.retried, optional=told.optional
    )
