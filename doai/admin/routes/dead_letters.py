"""Dead letters: what gave up, and what a person decides about it (steps 1 and 14)."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar import Response, get, post
from litestar.openapi.spec import Example
from litestar.params import Body, FromPath, QueryParameter

from doai.admin import examples
from doai.admin.access import DISCARD, OPERATOR, VIEWER
from doai.admin.routes.parameters import Cursor, Given, Limit, Who, not_found
from doai.admin.views import View
from doai.changes.dead_letters import DeadLetterKind, DeadLetterRow, DeadReason
from doai.errors import ErrorClass
from doai.messages.dead_letters import (
    DeadLettersDiscarded,
    DeadLettersRetried,
    DiscardDeadLetters,
    LetterFilter,
    RetryDeadLetters,
)
from doai.states import DeadLetterState

TEXT_BYTES_MAX: Final = 4096
"""Of a message's bytes as text: what a person looks at; all that is kept is in ``dataHex``."""


class DeadLetterJson(View, frozen=True, kw_only=True):
    """Something that gave up; texts are empty where they do not apply."""

    letter_id: str
    kind: str
    """task, or message: something a node recorded."""
    reason: str
    """failed, unknown; of a message undecodable, unknown_type, forbidden_type, handler_failed."""
    state: str
    """open, retried or discarded."""
    created_at_ms: int
    position: int
    """Of its event in the log."""
    code: str
    error_class: str
    message: str
    """The last error."""
    node_id: str
    device_serial: str
    task_id: str
    run_id: str
    workflow: str
    queue: str
    attempts: int
    """Of a task: attempts that it had."""
    type: str
    """Of a message, where it could be read."""
    incarnation: str
    """Of a message: the life of its node's outbox, and its place there."""
    seq: int
    data_bytes: int
    """Size of a message."""
    settled_at_ms: int | None
    settled_by: str
    settled_why: str
    retried_as: str
    """Id of the task that tries it again."""
    subscription: str
    """Of the bot that gave an event up; empty for what is none."""
    story_url: str
    """What happened before and after."""


class DeadLetterDetailJson(DeadLetterJson, frozen=True, kw_only=True):
    """A dead letter with the bytes of its message."""

    data_hex: str
    """The first 16 KiB."""
    data_text: str
    """The first 4 KiB as text, dots for what is none."""


class DeadLetterPage(View, frozen=True, kw_only=True):
    """Part of the dead letters, newest first."""

    items: list[DeadLetterJson]
    next: str | None
    open: int
    """How many wait for a person in all."""


class WhichLetters(LetterFilter, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which open dead letters: all that is given holds. A condition that is not known must not be ignored."""


class RetryWish(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which tasks are tried again."""

    which: WhichLetters | None = None
    everything: bool = False
    """Must be said where nothing is asked for."""


class DiscardWish(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which are done with, why, and the confirmation of the first answer."""

    which: WhichLetters | None = None
    everything: bool = False
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""
    confirm: Annotated[str, msgspec.Meta(max_length=64)] = ""


_LETTER_ID: Final = "01KAJD8B00DEAD000000000001"
_FIELDS: Final[dict[str, Any]] = {
    "letter_id": _LETTER_ID,
    "kind": "task",
    "reason": "failed",
    "state": "open",
    "created_at_ms": examples.AT_MS,
    "position": 1043,
    "code": "not_visible",
    "error_class": "app",
    "message": examples.FAILURE.message,
    "node_id": "node-1",
    "device_serial": "R58M12ABCDE",
    "task_id": examples.TASK_ID,
    "run_id": examples.RUN_ID,
    "workflow": "playback-check@3",
    "queue": "default",
    "attempts": 3,
    "type": "",
    "incarnation": "",
    "seq": 0,
    "data_bytes": 0,
    "settled_at_ms": None,
    "settled_by": "",
    "settled_why": "",
    "retried_as": "",
    "subscription": "",
    "story_url": f"/api/v1/story/{examples.TASK_ID}",
}
_PAGE: Final = DeadLetterPage(items=[DeadLetterJson(**_FIELDS)], next=None, open=1)
_DETAIL: Final = DeadLetterDetailJson(**_FIELDS, data_hex="", data_text="")
_RETRIED: Final = DeadLettersRetried(retried=1, run_ids=["01KAJD8B00R0N0000000000002"])
_DISCARDED: Final = DeadLettersDiscarded(discarded=0, left=1, confirm="9f86d081884c7d65")
_WISH: Final = Example(value={"which": {"workflow": "playback-check", "errorClass": "device"}})
_RETRY_BODY = Annotated[RetryWish, Body(examples=[_WISH])]
_DISCARD_BODY = Annotated[DiscardWish, Body(examples=[_WISH])]
Text = Annotated[str, QueryParameter(max_length=200)]


@get(
    "/dead-letters",
    opt={"needs": VIEWER},
    tags=["dead letters"],
    summary="List dead letters, newest first",
    responses=examples.answer(200, DeadLetterPage, _PAGE, "A page of dead letters."),
)
async def list_dead_letters(
    services: Given,
    wanted: Annotated[DeadLetterState, QueryParameter(name="state")] = DeadLetterState.OPEN,
    kind: Annotated[DeadLetterKind | None, QueryParameter()] = None,
    reason: Annotated[DeadReason | None, QueryParameter()] = None,
    error_class: Annotated[ErrorClass | None, QueryParameter(name="errorClass")] = None,
    code: Text = "",
    run_id: Annotated[str, QueryParameter(name="run", max_length=64)] = "",
    workflow: Text = "",
    queue: Text = "",
    device: Text = "",
    node: Text = "",
    bot: Annotated[str, QueryParameter(max_length=200, description="its name, or `name/subscription`")] = "",
    cursor: Cursor = None,
    limit: Limit = 100,
) -> DeadLetterPage:
    """All given filters hold; those that wait for a person unless another state is asked for."""
    which = LetterFilter(
        kind=kind.value if kind else "",
        reason=reason.value if reason else "",
        error_class=error_class.value if error_class else "",
        code=code,
        run_id=run_id,
        workflow=workflow,
        queue=queue,
        device=device,
        node=node,
        bot=bot,
    )
    letters = services.reader.dead_letters
    page = await letters.page(which, state=wanted, cursor=cursor, limit=limit)
    items = [DeadLetterJson(**_fields(row)) for row in page.items]
    return DeadLetterPage(items=items, next=page.next_cursor, open=await letters.count_open())


@get(
    "/dead-letters/{letter_id:str}",
    opt={"needs": VIEWER},
    tags=["dead letters"],
    summary="Show a dead letter",
    responses=examples.answer(200, DeadLetterDetailJson, _DETAIL, "The dead letter.", problems=(404,)),
)
async def show_dead_letter(letter_id: FromPath[str], services: Given) -> DeadLetterDetailJson:
    """By its own id, or the id of its task."""
    row = await services.reader.dead_letters.find(letter_id)
    if row is None:
        raise not_found("dead letter", letter_id, "dead-letters")
    data = row.data[:TEXT_BYTES_MAX].decode("latin-1")
    text = "".join(character if character.isascii() and character.isprintable() else "." for character in data)
    return DeadLetterDetailJson(data_hex=row.data.hex(), data_text=text, **_fields(row))


@post(
    "/dead-letters/retry",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["dead letters"],
    summary="Try tasks that gave up again, as new tasks",
    responses=examples.answer(200, DeadLettersRetried, _RETRIED, "What is tried again.", problems=(404, 409, 422)),
)
async def retry_dead_letters(services: Given, caller: Who, data: _RETRY_BODY) -> Response[DeadLettersRetried]:
    """Those of one run in one new run. Ask again while `left` is not 0."""
    command = RetryDeadLetters(which=_which(data.which), everything=data.everything)
    done = await services.command_of(caller, command, "dead-letters")
    return Response(done.result, headers=done.headers)


@post(
    "/dead-letters/discard",
    status_code=200,
    opt={"needs": DISCARD},
    tags=["dead letters"],
    summary="Be done with dead letters",
    responses=examples.answer(
        200, DeadLettersDiscarded, _DISCARDED, "What is discarded, or what confirms it.", problems=(404, 409, 422)
    ),
)
async def discard_dead_letters(services: Given, caller: Who, data: _DISCARD_BODY) -> Response[DeadLettersDiscarded]:
    """Asked without `confirm` it changes nothing; asked again with the answer's, those letters are discarded."""
    command = DiscardDeadLetters(
        which=_which(data.which), everything=data.everything, reason=data.reason, confirm=data.confirm
    )
    done = await services.command_of(caller, command, "dead-letters")
    return Response(done.result, headers=done.headers)


def _which(which: WhichLetters | None) -> LetterFilter:
    return LetterFilter() if which is None else LetterFilter(**msgspec.structs.asdict(which))


def _fields(row: DeadLetterRow) -> dict[str, Any]:
    fields = msgspec.structs.asdict(row)
    del fields["data"]
    fields |= {name: fields[name].value for name in ("kind", "reason", "state")}
    return fields | {"story_url": f"/api/v1/story/{row.task_id or row.node_id}"}
