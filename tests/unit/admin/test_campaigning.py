"""A campaign from a form: what its fields mean, where a mistake is said, and its removal after a second look."""

from __future__ import annotations

import types
from typing import Any

import pytest
from litestar.response import Redirect

from doai.admin.dashboard import campaigning
from doai.admin.dashboard.campaign_form import plan_of_form
from doai.admin.dashboard.run_form import FieldMistake
from doai.admin.problems import CommandRefused
from doai.errors import Fault, NotFoundError
from doai.messages.campaigns import CampaignPlan, CatchUp, Overlap, PutCampaign, RemoveCampaign
from doai.messages.commands import CreateRun, Problem, TargetKind, Targets
from doai.schedule import Schedule
from doai.states import WorkflowState
from doai.workflow.model import parse_workflow, to_stored
from tests.unit.admin.pressing import Site, press

NOW_MS = 1_700_000_000_000
RUN = CreateRun(workflow="look", targets=Targets(kind=TargetKind.ALL))
RECIPE = """\
workflow: look
params: {times: {type: integer, default: 1}}
steps: [{id: picture, use: screen.capture}]
"""
TYPED = {"name": "nightly", "workflow": "look", "cron": "0 3 * * *", "zone": "Asia/Seoul", "param.times": "2"}


def site(answer: Any = lambda _: None, campaigns: Any = None) -> Site:
    """A reader that knows one workflow, and nothing else."""
    row = types.SimpleNamespace(name="look", state=WorkflowState.ACTIVE, body=to_stored(parse_workflow(RECIPE)))

    async def workflows() -> list[Any]:
        return [row]

    async def workflow(name: str) -> Any:
        return row if name == "look" else None

    async def facets() -> Any:
        return types.SimpleNamespace(nodes={}, groups=[])

    async def queues() -> list[Any]:
        return [types.SimpleNamespace(name="default")]

    async def runs() -> dict[str, int]:
        return {"nightly": 41}

    return Site(
        answer,
        workflows=workflows,
        workflow=workflow,
        fleet=types.SimpleNamespace(facets=facets),
        queues=types.SimpleNamespace(all=queues),
        overview=types.SimpleNamespace(runs_of_campaigns=runs),
        campaigns=campaigns,
    )


def known(campaign_id: str) -> Any:
    view = types.SimpleNamespace(row=types.SimpleNamespace(name="nightly", campaign_id=campaign_id), going_on=[])

    async def one(name: str) -> Any:
        return view if name == "nightly" else None

    async def every() -> list[Any]:
        return [view]

    return types.SimpleNamespace(one=one, all=every)


def test_what_was_typed_is_the_campaign() -> None:
    here = site()
    done = press(campaigning.create, here, TYPED | {"once": "1"})
    assert isinstance(done, Redirect)
    assert done.url == "/schedules?done=campaigns_add"
    run = CreateRun(workflow="look", targets=Targets(kind=TargetKind.ALL), params={"times": 2})
    plan = CampaignPlan(run=run, schedule=Schedule(cron="0 3 * * *", zone="Asia/Seoul"))
    assert here.asked == [(PutCampaign(name="nightly", plan=plan), "form-1")]


def test_all_fields_of_a_plan_are_read() -> None:
    fields = {
        "when": "every", "every": "1h30m", "cron": "0 3 * * *", "zone": "Asia/Seoul", "jitter": "10m",
        "begin": "2026-12-24T18:00", "until": "2026-12-25T18:00", "overlap": "queue", "catch_up": "all",
        "catch_up_max": "3", "runs_max": "7", "project": " shelf-1 ",
    }  # fmt: skip
    begin_ms = 1_798_102_800_000
    assert plan_of_form(RUN, fields, NOW_MS) == CampaignPlan(
        run=RUN,
        schedule=Schedule(
            every_s=5400.0,
            zone="Asia/Seoul",
            jitter_s=600.0,
            starts_at_ms=begin_ms,
            ends_at_ms=begin_ms + 86_400_000,
        ),
        project="shelf-1",
        overlap=Overlap.QUEUE,
        catch_up=CatchUp.ALL,
        catch_up_max=3,
        runs_max=7,
    )


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"cron": "0 25 * * *"}, "when", "wrong hour"),
        ({"cron": ""}, "when", "'0 3 * * *'"),
        ({"when": "every"}, "when", "15m"),
        ({"when": "every", "every": "soon"}, "when", "'soon' is no duration"),
        ({"when": "every", "every": "5s"}, "when", "a minute to a year"),
        ({"zone": "Asia/Seul"}, "zone", "'Asia/Seoul'"),
        ({"jitter": "a bit"}, "jitter", "'a bit' is no duration"),
        ({"begin": "morning"}, "begin", "2026-12-24T18:00"),
        ({"until": "2020-01-01T00:00"}, "when", "never comes before its end"),
        ({"until": "9999-12-31T23:59"}, "until", "2200"),
        ({"overlap": "sometimes"}, "overlap", "skip, queue, replace"),
        ({"catch_up": "all", "catch_up_max": "x"}, "catch_up_max", "'x' is no number"),
        ({"runs_max": "0"}, "runs_max", "'0' is no number"),
        ({"runs_max": "²"}, "runs_max", "'²' is no number"),
    ],
)
def test_a_mistake_is_of_the_field_that_has_it(typed: dict[str, str], field: str, said: str) -> None:
    with pytest.raises(FieldMistake) as raised:
        plan_of_form(RUN, {"cron": "0 3 * * *"} | typed, NOW_MS)
    assert (raised.value.field, said in str(raised.value)) == (field, True), raised.value


def test_what_is_wrong_is_said_beside_it_and_what_was_typed_stays() -> None:
    here = site()
    said = press(campaigning.create, here, TYPED | {"param.times": "many", "project": "shelf-1"})
    assert (said.status_code, here.commands) == (422, [])
    field = said.content.index('name="param.times" value="many"')
    assert 0 < said.content.index("many&#39; is no integer") - field < 200
    assert 'value="shelf-1"' in said.content


@pytest.mark.parametrize(("code", "beside"), [("campaign_exists", 'name="name" value="nightly"'), ("x", None)])
def test_what_the_broker_refuses_is_said_where_it_belongs(code: str, beside: str | None) -> None:
    def refuse(_: Any) -> None:
        raise CommandRefused(Problem(code=code, message="it is refused", fault=Fault.USER))

    said = press(campaigning.create, site(refuse), TYPED)
    assert said.status_code == 422
    place = said.content.index("it is refused")
    assert said.content.count("it is refused") == 1
    assert (beside is None) == ('class="banner bad" role="alert">it is refused' in said.content)
    if beside is not None:
        assert 0 < place - said.content.index(beside) < 200


def test_the_next_times_are_shown_and_nothing_is_made() -> None:
    here = site()
    said = press(campaigning.create, here, TYPED | {"look": "yes"})
    assert (said.status_code, here.commands) == (200, [])
    assert "2023-11-16T03:00:00+09:00" in said.content
    assert said.content.count("T03:00:00+09:00") == campaigning.TIMES_SHOWN


def test_a_campaign_is_removed_after_a_second_look_and_another_of_its_name_is_not() -> None:
    here = site(campaigns=known("C1"))
    named = {"name": "nightly"}
    asks = press(campaigning.remove, here, {}, named).content
    assert (here.commands, "41 runs stay" in asks, "doai campaigns remove nightly" in asks) == ([], True, True)
    assert 'name="sure" value="C1"' in asks
    other = press(campaigning.remove, site(campaigns=known("C2")), {"sure": "C1"}, named).content
    assert "The list has changed meanwhile" in other
    done = press(campaigning.remove, here, {"sure": "C1", "reason": "old"}, named)
    assert isinstance(done, Redirect)
    assert here.commands == [RemoveCampaign(name="nightly", reason="old")]
    with pytest.raises(NotFoundError, match="'nightl'"):
        press(campaigning.remove, here, {"sure": "C1"}, {"name": "nightl"})
