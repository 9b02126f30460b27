"""What the operations have in common: who asks, what they work with, the bounds of a list (steps 1 and 14)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

from litestar import Request
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, QueryParameter, SkipValidation

from doai.admin.access import Caller
from doai.admin.services import Services
from doai.errors import NotFoundError, UserError
from doai.ids import is_id
from doai.limits import EVENTS_PAGE_MAX
from doai.workflow.mistakes import did_you_mean

AnyRequest = Request[Any, Any, State]
Given = NamedDependency[SkipValidation[Services]]
Who = NamedDependency[SkipValidation[Caller]]

Limit = Annotated[int, QueryParameter(ge=1, le=EVENTS_PAGE_MAX, description="items at most")]
Cursor = Annotated[
    str | None, QueryParameter(max_length=600, description="`next` of the page before; opaque, empty at the start")
]
OfRole = Annotated[
    Literal["viewer", "operator", "author", "admin"] | None, QueryParameter(name="role", description="its role")
]
Live = Annotated[bool | None, QueryParameter(description="true = those that hold, false = those taken back")]
Text = Annotated[str, QueryParameter(name="q", max_length=200, description="part of the name, in any case")]
POSITION_MAX: Final = 2**53
"""Positions stay whole numbers in every JSON reader."""
Position = Annotated[int, QueryParameter(ge=0, le=POSITION_MAX, description="a position of the event log")]
Language = Annotated[
    Literal["en", "ko"],
    QueryParameter(name="lang", description="language of the sentences; names and states stay as they are"),
]
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="the same key with the same body does it once and answers the same; kept for a day",
    ),
]
NodeId = Annotated[str, HeaderParameter(name="X-Node-Id", max_length=63)]
NodeSecret = Annotated[str, HeaderParameter(name="X-Node-Auth", max_length=500)]
ItemT = TypeVar("ItemT")


def provide_caller(request: AnyRequest) -> Caller:
    """Return who the guard found."""
    caller: Caller = request.auth
    return caller


def now_ms() -> int:
    """Return the time, ms since 1970 (UTC)."""
    return time.time_ns() // 1_000_000


def id_cursor(cursor: str | None) -> str | None:
    """Return the cursor of a list by id, None at the start; raises UserError for what no page has answered."""
    if cursor and not is_id(cursor):
        raise UserError(f"the cursor {cursor[:40]!r} is none of ours: begin without one", code="bad_cursor")
    return cursor or None


def part(
    items: Sequence[ItemT], key: Callable[[ItemT], str], cursor: str | None, limit: int
) -> tuple[Sequence[ItemT], str | None]:
    """Return the page of a short list, sorted by its key, that follows a cursor, and the next cursor."""
    rest = [item for item in items if cursor is None or key(item) > cursor]
    return rest[:limit], key(rest[limit - 1]) if len(rest) > limit else None


def named(items: Iterable[ItemT], key: Callable[[ItemT], str], text: str) -> list[ItemT]:
    """Return the items of a short list whose name has a text in it; empty = all."""
    wanted = text.strip().lower()
    return [item for item in items if wanted in key(item).lower()]


def not_found(kind: str, name: str, where: str, known: Iterable[str] = ()) -> NotFoundError:
    """Return the error for something that does not exist: the nearest ``known`` name, or where to look."""
    names = set(known)
    there = did_you_mean(name, names) if names else f"GET /api/v1/{where} lists what there is"
    return NotFoundError(f"there is no {kind} {name[:130]!r}: {there}")
