"""What bots reported, newest first (step 14)."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import get
from litestar.params import FromPath, QueryParameter

from doai import topics
from doai.admin import examples
from doai.admin.access import VIEWER
from doai.admin.routes.parameters import Given, not_found, now_ms
from doai.admin.views import View
from doai.messages.bot_reports import BotReported, ReportTable


class BotReportJson(View, frozen=True, kw_only=True):
    """One report."""

    position: int
    """Of its event in the log."""
    published_at_ms: int
    kind: str
    title: str
    title_ko: str
    """Empty = there is none, as of the lines."""
    lines: list[str]
    lines_ko: list[str]
    tables: list[ReportTable]


class BotReportPage(View, frozen=True, kw_only=True):
    """Newest first."""

    items: list[BotReportJson]
    next: str | None


_TOLD: Final = ("kind", "title", "title_ko", "lines", "lines_ko", "tables")
_EXAMPLE: Final = BotReportJson(
    position=4711,
    published_at_ms=examples.AT_MS,
    kind="daily",
    title="Phones of 2025-11-20",
    title_ko="2025-11-20 기기 상태",
    lines=["20 phones are watched, 1 is not well now."],
    lines_ko=["기기 20대를 지켜봅니다. 지금 1대에 이상이 있습니다."],
    tables=[ReportTable(title="By rule", columns=["rule", "now", "began"], rows=[["battery_hot", "1", "3"]])],
)


@get(
    "/bots/{name:str}/reports",
    opt={"needs": VIEWER},
    tags=["bots"],
    summary="What a bot reported",
    responses=examples.answer(
        200, BotReportPage, BotReportPage(items=[_EXAMPLE], next=None), "Its newest reports.", problems=(404,)
    ),
)
async def list_reports(
    name: FromPath[str],
    services: Given,
    limit: Annotated[int, QueryParameter(ge=1, le=100, description="so many at most")] = 10,
) -> BotReportPage:
    """Such as the digest of each day that health-bot writes."""
    if await services.reader.bots.one(name, now_ms()) is None:
        raise not_found("bot", name, "bots")
    found = await services.reader.newest_events.of(topics.report_subject(name), limit)
    items = []
    for view in found:
        told = msgspec.msgpack.decode(view.envelope.payload, type=BotReported)
        fields = {name: getattr(told, name) for name in _TOLD}
        items.append(BotReportJson(position=view.position, published_at_ms=view.recorded_at_ms, **fields))
    return BotReportPage(items=items, next=None)
