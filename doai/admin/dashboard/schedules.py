"""Schedules: campaigns with their next and newest time (step 14)."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response, get

from doai.admin.access import VIEWER
from doai.admin.dashboard.visit import Visiting
from doai.admin.dashboard.wording import Wording
from doai.admin.routes.campaigns import whole_campaign
from doai.schedule import Schedule, words


@get("/schedules", opt={"needs": VIEWER})
async def list_page(visit: Visiting) -> Response[str]:
    """By name."""
    views = await visit.services.reader.campaigns.all()
    return await visit.page(
        "schedules.html",
        said=lambda campaign: when_of(campaign.schedule, visit.words),
        items=[await whole_campaign(visit.services, view) for view in views],
        runs=await visit.services.reader.overview.runs_of_campaigns(),
    )


def when_of(told: dict[str, Any], t: Wording) -> str:
    """Return a schedule as a person says it in this language."""
    schedule = msgspec.convert(told, Schedule)
    said = words(msgspec.structs.replace(schedule, jitter_s=0.0))
    if schedule.every_s is not None:
        said = t("schedules.every", span=t.took(schedule.every_s))
    return t("schedules.later", when=said, span=t.took(schedule.jitter_s)) if schedule.jitter_s else said
