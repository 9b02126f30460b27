"""The stream of pages: events from a position on, and a beat each second that proves that it lives (step 14)."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, get
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from doai.admin import examples
from doai.admin.access import VIEWER, require_token, while_let_in
from doai.admin.connections import cut_of
from doai.admin.feed import Feed
from doai.admin.routes.events import Pattern, Subject, checked_pattern, position_of
from doai.admin.routes.parameters import POSITION_MAX, Given
from doai.admin.views import EventJson, View
from doai.admin.window import Wanted
from doai.errors import StoreUnavailable

BEAT_S: Final = 1.0
"""A page that hears nothing for two seconds says that it is stale."""
EARLY_S: Final = 0.25
"""A beat may come so much before its time, with events: it saves a write a second for each viewer."""
RETRY_MS: Final = 1000

_encode: Final = msgspec.json.Encoder().encode


class Beat(View, frozen=True, kw_only=True):
    """The stream lives."""

    at_ms: int
    position: int
    """Newest of the event log: a page that shows an older one draws itself anew."""
    broker: str
    """Why nothing new can come: the broker is away; empty = it is there."""


@get(
    "/api/stream",
    guards=[require_token],
    opt={"needs": VIEWER},
    tags=["events"],
    summary="Follow events with a beat each second (server-sent events)",
    media_type="text/event-stream",
    responses=examples.answer(
        200,
        EventJson,
        examples.EVENT,
        "`data` of each event, its `id` is the position; and an event `beat` each second.",
        media_type="text/event-stream",
    ),
)
async def stream(
    services: Given,
    request: Request[Any, Any, Any],
    after: Annotated[
        int | None,
        QueryParameter(
            ge=0, le=POSITION_MAX, description="begin behind this position; not given = with what comes now"
        ),
    ] = None,
    pattern: Pattern = None,
    subject: Subject = None,
    events: Annotated[bool, QueryParameter(description="false = beats only")] = True,
    last_event_id: Annotated[
        str | None,
        HeaderParameter(name="Last-Event-ID", description="sent by browsers: go on behind this position"),
    ] = None,
) -> Stream:
    """Nothing is missed or sent twice over any number of connections, if each begins at the last `id`."""
    newest = await services.reader.last_position()
    begin = position_of(last_event_id, 0) if last_event_id else newest if after is None else after
    why = services.mesh
    blocks = follow_with_beats(
        services.feed,
        begin,
        newest,
        checked_pattern(pattern),
        subject,
        lambda: why.why_not_live or "",
        events=events,
    )
    return Stream(
        services.feed.sent(while_let_in(request, blocks), cut_of(request)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def follow_with_beats(
    feed: Feed,
    after: int,
    newest: int,
    pattern: str | None,
    subject: str | None,
    broker: Callable[[], str],
    *,
    events: bool,
    beat_s: float = BEAT_S,
) -> AsyncGenerator[bytes, None]:
    """Yield a stream's bytes until the feed is closed or the store can not be read."""
    wanted = Wanted(pattern, subject)
    with feed.watching(events=events) as turn:
        yield b"retry: %d\n\n" % RETRY_MS
        yield _beat(newest, broker())
        beaten_s = time.monotonic()
        while not feed.is_closed:
            due_s = max(0.0, beaten_s + beat_s - time.monotonic())
            block = b""
            try:
                if events:
                    block, after, newest = await feed.part(after, wanted, turn, wait_s=due_s)
                else:
                    newest = after = await feed.newest(newest, wait_s=due_s)
            except StoreUnavailable:
                # The client connects again and gets a 503 with the reason.
                yield b": the store can not be read now\n\n"
                return
            # A beat that is due before the next events come goes with these.
            if time.monotonic() - beaten_s >= (beat_s - EARLY_S if block else beat_s):
                beaten_s = time.monotonic()
                block += b"id: %d\n%b" % (after, _beat(newest, broker()))
            if block:
                yield block


def _beat(position: int, broker: str) -> bytes:
    return b"event: beat\ndata: %b\n\n" % _encode(
        Beat(at_ms=time.time_ns() // 1_000_000, position=position, broker=broker)
    )
