"""A campaign is made from a form, and removed after a second look (steps 1 and 14)."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from doai.admin.access import OPERATOR
from doai.admin.campaign_views import TimesJson, preview_json
from doai.admin.dashboard.acting import reason_of
from doai.admin.dashboard.campaign_form import PLACES, plan_of_form, schedule_of_form
from doai.admin.dashboard.run_form import FieldMistake, choices_of, key_of, parameters_of, run_of_form
from doai.admin.dashboard.visit import PageRequest, Visit, Visiting, back, changing
from doai.admin.problems import CommandRefused
from doai.admin.routes.campaigns import one_campaign
from doai.messages.campaigns import CatchUp, Overlap, PutCampaign, RemoveCampaign

TIMES_SHOWN: Final = 5
"""Of a schedule that nothing has yet."""


@get("/schedules/new", opt={"needs": OPERATOR})
async def new_page(visit: Visiting) -> Response[str]:
    """Choose a workflow, then its parameters, on what it runs and when."""
    return await _form(visit, visit.given("workflow"), {})


@post("/schedules/new", opt={"needs": OPERATOR}, status_code=303)
async def create(request: PageRequest, visit: Visiting) -> Response[str] | Redirect:
    """Make a campaign, or show its next times only; what is wrong is said beside what was typed."""
    fields = await changing(request)
    name, workflow = fields.get("name", "").strip(), fields.get("workflow", "")[:63]
    try:
        if fields.get("look"):
            times = preview_json(schedule_of_form(fields, visit.at_ms), visit.at_ms, TIMES_SHOWN)
            return await _form(visit, workflow, fields, times=times)
        run = run_of_form(workflow, await parameters_of(visit, workflow), fields)
        command = PutCampaign(name=name, plan=plan_of_form(run, fields, visit.at_ms))
        await visit.services.command_of(
            visit.caller, command, f"campaign/{name[:63]}", idempotency_key=key_of(fields)
        )
    except FieldMistake as mistake:
        return await _form(visit, workflow, fields, mistakes={mistake.field: str(mistake)}, status=422)
    except CommandRefused as refused:
        place = PLACES.get(refused.code, "")
        said = "; ".join([*refused.details] or [str(refused)])
        return await _form(visit, workflow, fields, mistakes={place: said}, status=422)
    return back(request, {}, "/schedules", "campaigns_add")


@post("/campaigns/{name:str}/remove", opt={"needs": OPERATOR}, status_code=303)
async def remove(name: FromPath[str], request: PageRequest, visit: Visiting) -> Response[str] | Redirect:
    """Forget a campaign once it was said how many of its runs stay; another of that name is asked about anew."""
    fields = await changing(request)
    campaign = await one_campaign(visit.services, name)
    sure = fields.get("sure", "")
    if sure == campaign.row.campaign_id:
        command = RemoveCampaign(name=name, reason=reason_of(fields))
        await visit.services.command_of(visit.caller, command, f"campaign/{name[:63]}")
        return back(request, {}, "/schedules", "campaigns_remove")
    runs = await visit.services.reader.overview.runs_of_campaigns()
    return await visit.page(
        "confirm.html", deed="campaigns_remove", count=runs.get(name, 0), action=visit.path, lasts=True,
        yes="campaigns_remove_yes", hidden={"sure": campaign.row.campaign_id}, cancel="/schedules", reason=True,
        changed=bool(sure), listed=f"/runs?campaign={quote(name, safe='')}",
        command=f"doai campaigns remove {name}",
    )  # fmt: skip


PAGES: Final = (new_page, create, remove)


async def _form(
    visit: Visit,
    workflow: str,
    given: dict[str, str],
    *,
    mistakes: dict[str, str] | None = None,
    times: TimesJson | None = None,
    status: int = 200,
) -> Response[str]:
    return await visit.page(
        "schedule_new.html",
        status=status,
        mistakes=mistakes or {},
        times=times,
        zone=given.get("zone") or getattr(visit.words.zone, "key", "") or "UTC",
        overlaps=[each.value for each in Overlap],
        catch_ups=[each.value for each in CatchUp],
        **await choices_of(visit, workflow, given),
    )
