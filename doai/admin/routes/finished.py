"""What has ended in a queue: remove it, or try what failed again (steps 1 and 14)."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import Response, post
from litestar.openapi.spec import Example
from litestar.params import Body, FromPath

from doai.admin import examples
from doai.admin.access import ADMIN, OPERATOR
from doai.admin.routes.parameters import Given, Who
from doai.admin.views import View
from doai.envelope import Message
from doai.messages.finished import CleanQueue, FailedRetried, QueueCleaned, RetryFailed
from doai.states import Outcome
from doai.store.retention_reader import Cleaning


class CleanWish(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which ended runs, why, and the confirmation of the first answer."""

    ended_before_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    """At least five minutes ago."""
    outcomes: list[Outcome] = []
    """Of runs; none = any."""
    confirm: Annotated[str, msgspec.Meta(max_length=100)] = ""
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""


class RetryFailedWish(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to go on; both as the answer before said."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    up_to: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0


_CLEANED: Final = QueueCleaned(
    name="default",
    ended_before_ms=examples.AT_MS,
    runs=40,
    tasks=800,
    done=False,
    confirm="4bf92f3577b34da6a3ce929d0e0e4736",
    confirm_within_s=300.0,
)
_RETRIED: Final = FailedRetried(
    name="default", retried=12, run_ids=["01KAJD8B00R0N0000000000002"], after=90_417, up_to=90_580
)
_CLEAN: Final = Example(value={"endedBeforeMs": examples.AT_MS, "outcomes": ["passed"]})


@post(
    "/queues/{name:str}/clean",
    status_code=200,
    opt={"needs": ADMIN},
    tags=["queues"],
    summary="Remove what has ended in a queue, in two steps",
    responses=examples.answer(200, QueueCleaned, _CLEANED, "What it comes to.", problems=(404, 409, 422)),
)
async def clean_queue(
    name: FromPath[str],
    services: Given,
    caller: Who,
    data: Annotated[CleanWish, Body(examples=[_CLEAN])],
) -> Response[QueueCleaned]:
    """Runs as a whole, in slices beside the load; never one with an open dead letter. 409 when others are meant.

    First without `confirm`: what would go; then with the one of the answer, and all else as before.
    """
    janitor = services.janitor
    cleaning = Cleaning(queue=name, ended_before_ms=data.ended_before_ms, outcomes=data.outcomes)
    if data.confirm:
        janitor.check_room()
    found = await janitor.reader.cleanable(cleaning)
    wish = CleanQueue(
        name=name,
        ended_before_ms=data.ended_before_ms,
        outcomes=data.outcomes,
        runs=found.runs,
        tasks=found.tasks,
        digest=found.digest,
        confirm=data.confirm,
        reason=data.reason,
    )
    done = await services.command_of(caller, wish, f"queue/{name[:63]}")

    async def command(payload: Message) -> object:
        return await services.command_of(caller, payload, "retention")

    if data.confirm:
        janitor.begin_cleaning(command, cleaning)
    return Response(done.result, headers=done.headers)


@post(
    "/queues/{name:str}/retry-failed",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["queues"],
    summary="Try what gave up in a queue again, as new tasks",
    responses=examples.answer(200, FailedRetried, _RETRIED, "What is tried again.", problems=(404,)),
)
async def retry_failed(
    name: FromPath[str],
    services: Given,
    caller: Who,
    data: Annotated[RetryFailedWish | None, Body(examples=[Example(value={})])] = None,
) -> Response[FailedRetried]:
    """A slice of its open dead letters. While `left` is not 0, ask again with `after` and `upTo` of the answer."""
    wish = data or RetryFailedWish()
    command = RetryFailed(name=name, after=wish.after, up_to=wish.up_to)
    done = await services.command_of(caller, command, f"queue/{name[:63]}")
    return Response(done.result, headers=done.headers)
