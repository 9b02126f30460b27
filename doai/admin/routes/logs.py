"""Log lines of every process, newest first (step 14)."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import msgspec
from litestar import get
from litestar.params import QueryParameter

from doai.admin import examples
from doai.admin.access import OPERATOR
from doai.admin.routes.parameters import Cursor, Given, Limit
from doai.admin.views import View
from doai.errors import UserError
from doai.store.line_store import Line, LineFilter

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
LevelName = Literal["debug", "info", "warning", "error"]
_NUMBER: Final = re.compile(r"[0-9]{1,16}")


class LogLineJson(View, frozen=True, kw_only=True):
    """One line of the log of one process."""

    n: int
    """Its place among all lines, by their arrival at the admin."""
    received_at_ms: int
    at_ms: int
    """By the clock of the process's host."""
    level: str
    """debug, info, warning or error."""
    program: str
    """broker, node, bot or admin."""
    source: str
    """Address of the process on the mesh."""
    logger: str
    message: str
    fields: dict[str, str]
    """Ids of what it is about: run_id, node_id, device_serial, task_id, trace_id, and what else was said."""
    exception: str
    """Where it was raised; empty = there was none."""


class LogPage(View, frozen=True, kw_only=True):
    """Newest first."""

    items: list[LogLineJson]
    next: str | None
    """Cursor of older lines; a page looks through 200,000 lines at most, so it may be there beside few items."""
    newest: int
    """Number of the newest line there is: with ``after`` it asks for what has come since."""


_EXAMPLE: Final = LogLineJson(
    n=88_412,
    received_at_ms=examples.AT_MS + 300,
    at_ms=examples.AT_MS,
    level="warning",
    program="node",
    source="node-1/01KAJD8B00NODE000000000001",
    logger="doai.node.upload",
    message="the admin does not answer: uploads pause",
    fields={"node_id": "node-1"},
    exception="",
)


def level_name(level: int) -> str:
    """Return the name of the highest level that a line reaches."""
    return next((name for name, least in reversed(LEVELS.items()) if level >= least), "debug")


@get(
    "/logs",
    opt={"needs": OPERATOR},
    tags=["logs"],
    summary="List what all processes logged, newest first",
    responses=examples.answer(
        200,
        LogPage,
        LogPage(items=[_EXAMPLE], next=None, newest=88_412),
        "A page of lines.",
        problems=(503,),
    ),
)
async def list_logs(
    services: Given,
    level: Annotated[LevelName | None, QueryParameter(description="least severe lines that are shown")] = None,
    program: Annotated[str, QueryParameter(max_length=40, description="broker, node, bot or admin")] = "",
    source: Annotated[str, QueryParameter(max_length=200, description="a process, or its name: `node-1`")] = "",
    run_id: Annotated[str, QueryParameter(max_length=64)] = "",
    task_id: Annotated[str, QueryParameter(max_length=64)] = "",
    device_serial: Annotated[str, QueryParameter(max_length=127)] = "",
    text: Annotated[str, QueryParameter(max_length=200, description="in the message, in whatever case")] = "",
    since_ms: Annotated[int | None, QueryParameter(ge=0, le=2**53, description="arrived then or later")] = None,
    until_ms: Annotated[int | None, QueryParameter(ge=0, le=2**53, description="arrived then or earlier")] = None,
    after: Annotated[
        int | None, QueryParameter(ge=0, le=2**53, description="only lines with a higher number")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> LogPage:
    """All that is given holds. Lines stay for some days (keep_log_days of the admin)."""
    if cursor and _NUMBER.fullmatch(cursor) is None:
        raise UserError("this cursor is none of ours: begin without one", code="bad_cursor")
    wanted = LineFilter(
        level_min=LEVELS[level] if level else 0,
        program=program,
        source=source,
        run_id=run_id,
        task_id=task_id,
        device_serial=device_serial,
        text=text,
        since_ms=since_ms,
        until_ms=until_ms,
    )
    page = await services.logs.page(wanted, before=int(cursor) if cursor else None, after=after, limit=limit)
    return LogPage(
        items=[_json(line) for line in page.lines],
        next=None if page.older is None else str(page.older),
        newest=page.newest,
    )


def _json(line: Line) -> LogLineJson:
    told = msgspec.structs.asdict(line) | {"level": level_name(line.level), "fields": dict(line.fields)}
    return LogLineJson(**told)
