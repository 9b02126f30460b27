"""The recipe of a run on bots: one step that any process of its kind does, and no node (step 2)."""

from __future__ import annotations

from typing import Final

import msgspec

from doai import topics
from doai.broker.core.bounds import bounds_of
from doai.broker.core.pins import Pin
from doai.broker.core.recipes import LINKED, Recipe
from doai.changes.rows import WorkflowRow
from doai.changes.runs import Bounds
from doai.codec import raw
from doai.errors import UserError
from doai.limits import ATTEMPTS, BOT_TASK_TIMEOUT_S, PARAMS_BYTES_MAX
from doai.messages.commands import CreateRun
from doai.states import WorkflowState
from doai.workflow.language import Retry, Step, Workflow
from doai.workflow.model import content_hash, to_stored

VERSION: Final = 0
"""Those that people store are numbered from 1 on."""


def bot_recipe(create: CreateRun, now_ms: int, actor: str) -> Recipe:
    """Return the recipe of a kind; raises UserError for what can not be of a run on bots."""
    kind, title = create.targets.bot, f"{create.targets.bot}@{VERSION}"
    if not topics.is_kind(kind):
        raise UserError(
            f"{kind[:80]!r} is no kind of tasks of bots: name one such as report.build", code="bad_kind"
        )
    if create.workflow not in ("", kind, title):
        raise UserError(
            f"a run on bots is of a kind ({kind}) and of no workflow: leave {create.workflow[:80]} out",
            code="bad_kind",
        )
    if create.targets.count < 1:
        raise UserError(f"{create.targets.count} tasks are none: ask for at least 1", code="no_targets")
    if bounds_of(create) != Bounds() or create.step_timeouts_s:
        raise UserError(
            "a run on bots has no canary, bounds and timeouts of steps: leave them out", code="bad_bounds"
        )
    workflow = Workflow(
        name=kind,
        timeout=f"{BOT_TASK_TIMEOUT_S:.0f}s",
        retry=Retry(attempts=ATTEMPTS),
        steps=[Step(id="work", use="wait", with_={"for": "1s"}, label="done by a bot", idempotent=True)],
    )
    body = to_stored(workflow)
    row = WorkflowRow(
        name=f"{kind}{LINKED}{VERSION}",
        version=1,
        content_hash=content_hash(body),
        body=body,
        created_at_ms=now_ms,
        created_by=actor,
        state=WorkflowState.DRAFT,
    )
    return Recipe(row, workflow)


def bot_pin(recipe: Recipe, create: CreateRun) -> Pin:
    """Return what the run pins: the parameters as they are, since only the bot knows what it takes."""
    pin = recipe.pins.of(msgspec.structs.replace(create, params={}))
    body = msgspec.json.encode(create.params)
    if len(body) > PARAMS_BYTES_MAX:
        raise UserError(f"parameters have at most {PARAMS_BYTES_MAX} bytes, not {len(body)}", code="too_large")
    return msgspec.structs.replace(pin, params=raw(create.params), params_body=body)
