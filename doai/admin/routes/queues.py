"""Queues: how each stands; configure, pause, resume and drain them (steps 1 and 14)."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import Response, get, post, put
from litestar.openapi.spec import Example
from litestar.params import Body, FromPath, QueryParameter

from doai.admin import examples
from doai.admin.access import DISCARD, OPERATOR, VIEWER
from doai.admin.routes.parameters import Cursor, Given, Limit, Text, Who, named, not_found, part
from doai.admin.services import Services
from doai.admin.views import View
from doai.changes.queues import QueueRow
from doai.messages.queues import (
    DiscardQueue,
    DrainQueue,
    PauseQueue,
    PutQueue,
    QueueDiscarded,
    QueueStatus,
    ResumeQueue,
)
from doai.states import QueueState


class QueueJson(View, frozen=True, kw_only=True):
    """A queue; its counts are a second old at most."""

    name: str
    state: str
    """running; paused: nothing is given out, runs wait; draining: what it has is given out, runs are refused."""
    degraded: bool
    """More tasks wait than `degradedAbove`, or not yet a quarter less than that."""
    priority: int
    """Larger goes first."""
    degraded_above: int
    reason: str
    changed_at_ms: int
    changed_by: str
    """Empty while it is as the broker's configuration made it."""
    waiting: int
    delayed: int
    held: int
    """By nodes."""
    rate_per_min: int
    """Tasks given out a minute at most; 0 = as many as can be."""
    discarding: bool
    """What waited is being thrown away."""
    cleaning: bool
    """What ended is being removed, or will be in its turn."""


class QueuePage(View, frozen=True, kw_only=True):
    """All queues, by name."""

    items: list[QueueJson]
    next: str | None


class QueueWish(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a queue is to be; what is null stays as it is."""

    priority: int | None = None
    degraded_above: int | None = None
    rate_per_min: int | None = None
    """0 = as many as can be."""


class QueueReason(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why, for those who look at it."""

    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""


class DiscardWish(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why, and the confirmation of the first answer."""

    confirm: Annotated[str, msgspec.Meta(max_length=100)] = ""
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""


_DISCARD: Final = QueueDiscarded(
    name="default",
    tasks=40,
    digest="9f86d081884c7d65",
    done=False,
    confirm="4bf92f3577b34da6a3ce929d0e0e4736",
    confirm_within_s=300.0,
)
QUEUE: Final = QueueJson(
    name="default",
    state="paused",
    degraded=False,
    priority=0,
    degraded_above=200,
    reason="the shelf is rewired",
    changed_at_ms=examples.AT_MS,
    changed_by="user/ann",
    waiting=40,
    delayed=1,
    held=3,
    rate_per_min=0,
    discarding=False,
    cleaning=False,
)
_STATUS: Final = QueueStatus(name="default", state=QueueState.PAUSED, priority=0, waiting=40, delayed=1, held=3)
_REASON = Annotated[QueueReason | None, Body(examples=[Example(value={"reason": "the shelf is rewired"})])]


@get(
    "/queues",
    opt={"needs": VIEWER},
    tags=["queues"],
    summary="List queues",
    responses=examples.answer(200, QueuePage, QueuePage(items=[QUEUE], next=None), "All queues, by name."),
)
async def list_queues(
    services: Given,
    wanted: Annotated[QueueState | None, QueryParameter(name="state")] = None,
    text: Text = "",
    cursor: Cursor = None,
    limit: Limit = 100,
) -> QueuePage:
    """With how many tasks of each wait, are delayed, are held by nodes; all given filters hold."""
    found = named(await services.reader.queues.all(), lambda row: row.name, text)
    found = [row for row in found if wanted in (None, row.state)]
    rows, following = part(found, lambda row: row.name, cursor, limit)
    return QueuePage(items=[queue_json(row, services) for row in rows], next=following)


@get(
    "/queues/{name:str}",
    opt={"needs": VIEWER},
    tags=["queues"],
    summary="Show a queue",
    responses=examples.answer(200, QueueJson, QUEUE, "The queue.", problems=(404,)),
)
async def show_queue(name: FromPath[str], services: Given) -> QueueJson:
    """What it did over time: GET /statistics?queue=NAME."""
    rows = await services.reader.queues.all()
    for row in rows:
        if row.name == name:
            return queue_json(row, services)
    raise not_found("queue", name, "queues", [row.name for row in rows])


@put(
    "/queues/{name:str}",
    opt={"needs": OPERATOR},
    tags=["queues"],
    summary="Make a queue, or configure one",
    responses=examples.answer(200, QueueStatus, _STATUS, "It is so.", problems=(422,)),
)
async def put_queue(
    name: FromPath[str],
    services: Given,
    caller: Who,
    data: Annotated[QueueWish, Body(examples=[Example(value={"priority": 10, "ratePerMin": 600})])],
) -> Response[QueueStatus]:
    """The order of what waits follows its priority at once."""
    command = PutQueue(name=name, **msgspec.structs.asdict(data))
    done = await services.command_of(caller, command, f"queue/{name[:63]}")
    return Response(done.result, headers=done.headers)


@post(
    "/queues/{name:str}/pause",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["queues"],
    summary="Give out no task of a queue",
    responses=examples.answer(200, QueueStatus, _STATUS, "None is given out any more.", problems=(404,)),
)
async def pause_queue(
    name: FromPath[str], services: Given, caller: Who, data: _REASON = None
) -> Response[QueueStatus]:
    """What nodes hold (two tasks a device at most) goes on; new runs come in and wait."""
    return await _change(services, caller, PauseQueue(name=name, reason=data.reason if data else ""))


@post(
    "/queues/{name:str}/resume",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["queues"],
    summary="Give out tasks of a queue and take runs, as before",
    responses=examples.answer(200, QueueStatus, _STATUS, "It is running.", problems=(404,)),
)
async def resume_queue(
    name: FromPath[str], services: Given, caller: Who, data: _REASON = None
) -> Response[QueueStatus]:
    """Of a queue that runs nothing changes."""
    return await _change(services, caller, ResumeQueue(name=name, reason=data.reason if data else ""))


@post(
    "/queues/{name:str}/drain",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["queues"],
    summary="End what a queue has, take no new runs",
    responses=examples.answer(200, QueueStatus, _STATUS, "New runs are refused.", problems=(404,)),
)
async def drain_queue(
    name: FromPath[str], services: Given, caller: Who, data: _REASON = None
) -> Response[QueueStatus]:
    """Nothing is thrown away: what waits is given out."""
    return await _change(services, caller, DrainQueue(name=name, reason=data.reason if data else ""))


@post(
    "/queues/{name:str}/discard",
    status_code=200,
    opt={"needs": DISCARD},
    tags=["queues"],
    summary="Throw away what waits in a queue, in two steps",
    responses=examples.answer(200, QueueDiscarded, _DISCARD, "What it came to.", problems=(404, 409)),
)
async def discard_queue(
    name: FromPath[str],
    services: Given,
    caller: Who,
    data: Annotated[DiscardWish | None, Body(examples=[Example(value={"reason": "made by mistake"})])] = None,
) -> Response[QueueDiscarded]:
    """First without `confirm`: what would be; then with the one of the answer. 409 when other tasks wait then."""
    wish = data or DiscardWish()
    command = DiscardQueue(name=name, confirm=wish.confirm, reason=wish.reason)
    done = await services.command_of(caller, command, f"queue/{name[:63]}")
    return Response(done.result, headers=done.headers)


async def _change(
    services: Given, caller: Who, command: PauseQueue | ResumeQueue | DrainQueue
) -> Response[QueueStatus]:
    done = await services.command_of(caller, command, f"queue/{command.name[:63]}")
    return Response(done.result, headers=done.headers)


def queue_json(row: QueueRow, services: Services) -> QueueJson:
    """Return a queue as the API shows it."""
    cleaning = any(found.queue == row.name for found in services.janitor.cleaning)
    fields = msgspec.structs.asdict(row) | {"state": row.state.value}
    del fields["discard_reason"]
    return QueueJson(discarding=bool(fields.pop("discard_to")), cleaning=cleaning, **fields)
