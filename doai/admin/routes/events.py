"""The event log: pages, a stream, and stories as a person reads them (step 14)."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, get
from litestar.params import FromPath, HeaderParameter, QueryParameter
from litestar.response import Stream

from doai.admin import examples
from doai.admin.access import VIEWER, while_let_in
from doai.admin.connections import cut_of
from doai.admin.feed import Feed
from doai.admin.pages import EventPage, StoryPage
from doai.admin.routes.parameters import (
    POSITION_MAX,
    Cursor,
    Given,
    Language,
    Limit,
    Position,
    now_ms,
)
from doai.admin.routes.removed import missing
from doai.admin.routes.surroundings import surroundings
from doai.admin.translation import event_json
from doai.admin.views import EventJson
from doai.admin.waiting import device_now, node_now, run_now, told_now
from doai.admin.window import Wanted
from doai.errors import StoreUnavailable, UserError
from doai.store import views
from doai.store.reader import StoreReader
from doai.story.voice import ENGLISH, VOICES, Voice
from doai.topics import campaign_subject, device_subject, matches, node_subject, task_subject

KEEP_ALIVE_S: Final = 15.0
"""A comment after this long without an event, so that proxies and clients see a living stream."""
RETRY_MS: Final = 2000
"""How long a browser waits before it connects again."""

_PATTERN: Final = re.compile(r"(\*|[a-z][a-z0-9_]*)(\.(\*|[a-z][a-z0-9_]*)){0,2}(\.\*\*)?|\*\*")
_POSITION: Final = re.compile(r"[0-9]{1,16}")
Pattern = Annotated[
    str | None,
    QueryParameter(
        name="type", max_length=100, description="a type, or a pattern: `task.*`, `*.failed`, `task.**`"
    ),
]
Subject = Annotated[
    str | None, QueryParameter(max_length=200, description="`task/ID`, `run/ID`, `device/SERIAL` ...")
]

_PAGE = EventPage(items=[examples.EVENT], next=None, after=1042, last_position=1042)
_STORY = StoryPage(now=None, **msgspec.structs.asdict(_PAGE))


@get(
    "/events",
    opt={"needs": VIEWER},
    tags=["events"],
    summary="List events, oldest first",
    responses=examples.answer(200, EventPage, _PAGE, "A page of the log."),
)
async def list_events(
    services: Given,
    after: Position = 0,
    pattern: Pattern = None,
    subject: Subject = None,
    cursor: Cursor = None,
    limit: Limit = 100,
    language: Language = ENGLISH,
) -> EventPage:
    """A page may be short, even empty, although more follow: `next` tells."""
    position = position_of(cursor, after)
    page = await services.reader.events(
        after=position, pattern=checked_pattern(pattern), subject=subject, limit=limit
    )
    voice = VOICES[language]
    return _page(page, page.events, voice, ended=page.next_after >= page.last_position)


@get(
    "/story/{subject_id:str}",
    opt={"needs": VIEWER},
    tags=["events"],
    summary="Tell what happened to a task, a run, a device, or a node",
    responses=examples.answer(200, StoryPage, _STORY, "A page of the story.", problems=(404,)),
)
async def story(
    subject_id: FromPath[str],
    services: Given,
    pattern: Pattern = None,
    cursor: Cursor = None,
    limit: Limit = 500,
    language: Language = ENGLISH,
) -> StoryPage:
    """In order; that of a run has the events of all its tasks. The last page says what is so now."""
    wanted, after = checked_pattern(pattern), position_of(cursor, 0)
    page = await _story_page(services.reader, subject_id, after, limit)
    if page is None:
        raise await missing(services, "task, run, device or node", subject_id, "tasks, /runs, /devices and /nodes")
    events = [event for event in page.events if wanted is None or matches(wanted, event.envelope.type)]
    ended = len(page.events) < limit
    now = await _now(services.reader, subject_id, VOICES[language]) if ended else None
    return StoryPage(now=now, **msgspec.structs.asdict(_page(page, events, VOICES[language], ended=ended)))


async def told_of(reader: StoreReader, subject: str, voice: Voice, limit: int = 60) -> list[EventJson]:
    """Return what happened to a subject last, newest first, as a person reads it."""
    return [event_json(event, voice) for event in await reader.newest_events.of(subject, limit)]


async def _now(reader: StoreReader, subject_id: str, voice: Voice) -> str | None:
    task = await reader.task(subject_id)
    if task is not None:
        around = await surroundings(reader, task.row)
        return told_now(task.row, around, voice) if around is not None else None
    device = await reader.device(subject_id)
    if device is not None:
        return device_now(device, now_ms(), voice)
    run = await reader.run(subject_id)
    if run is not None:
        return run_now(run, voice)
    node = await reader.node(subject_id)
    return node_now(node.row, now_ms(), voice) if node is not None else None


async def _story_page(reader: StoreReader, subject_id: str, after: int, limit: int) -> views.EventPage | None:
    if await reader.task(subject_id) is not None:
        return await reader.events(subject=task_subject(subject_id), after=after, limit=limit)
    if await reader.device(subject_id) is not None:
        return await reader.events(subject=device_subject(subject_id), after=after, limit=limit)
    page = await reader.story_of_run(subject_id, after=after, limit=limit)
    if page.events or after:
        return page
    # A run always has the event of its own creation.
    for subject in (device_subject(subject_id), node_subject(subject_id), campaign_subject(subject_id)):
        page = await reader.events(subject=subject, after=after, limit=limit)
        if page.events:
            return page
    return None


@get(
    "/events/stream",
    opt={"needs": VIEWER},
    tags=["events"],
    summary="Follow events as they are stored (server-sent events)",
    media_type="text/event-stream",
    responses=examples.answer(
        200,
        EventJson,
        examples.EVENT,
        "`data` of each event; its `id` is the position.",
        media_type="text/event-stream",
    ),
)
async def stream_events(
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
    last_event_id: Annotated[
        str | None,
        HeaderParameter(name="Last-Event-ID", description="sent by browsers: go on behind this position"),
    ] = None,
) -> Stream:
    """Nothing is missed or sent twice over any number of connections, if each begins at the last `id`."""
    wanted = checked_pattern(pattern)
    if last_event_id:
        begin = position_of(last_event_id, 0)
    else:
        begin = after if after is not None else await services.reader.last_position()
    blocks = follow(services.feed, begin, wanted, subject)
    return Stream(
        services.feed.sent(while_let_in(request, blocks), cut_of(request)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def follow(
    feed: Feed, after: int, pattern: str | None, subject: str | None, *, keep_alive_s: float = KEEP_ALIVE_S
) -> AsyncGenerator[bytes, None]:
    """Yield a stream's bytes until the feed is closed or the store can not be read."""
    with feed.watching() as turn:
        yield b"retry: %d\n\n" % RETRY_MS
        sent_s = time.monotonic()
        while not feed.is_closed:
            try:
                part = await feed.part(after, Wanted(pattern, subject), turn, wait_s=keep_alive_s)
            except StoreUnavailable:
                # The client connects again and gets a 503 with the reason.
                yield b": the store can not be read now\n\n"
                return
            after = part.after
            if part.block:
                yield part.block
            elif time.monotonic() - sent_s >= keep_alive_s:
                # An id without data moves the client on over what it did not ask for.
                yield b": still here\nid: %d\n\n" % after
            else:
                continue
            sent_s = time.monotonic()


def _page(page: views.EventPage, events: list[views.EventView], voice: Voice, *, ended: bool) -> EventPage:
    return EventPage(
        items=[event_json(event, voice) for event in events],
        next=None if ended else str(page.next_after),
        after=page.next_after,
        last_position=page.last_position,
    )


def checked_pattern(pattern: str | None) -> str | None:
    """Return a pattern of event types; raises UserError for what is none."""
    if pattern is not None and _PATTERN.fullmatch(pattern) is None:
        raise UserError(
            f"type {pattern[:100]!r} is no pattern of event types: write task.started, task.* or task.**",
            code="bad_request",
        )
    return pattern


def position_of(text: str | None, otherwise: int) -> int:
    """Return a position of the event log; raises UserError for what is none."""
    if not text:
        return otherwise
    if _POSITION.fullmatch(text) is None or int(text) > POSITION_MAX:
        raise UserError(f"{text[:40]!r} is no position of the event log: give a number", code="bad_request")
    return int(text)
