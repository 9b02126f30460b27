"""The editor of workflows stores whatever the broker takes, and shows where a refused one is wrong."""

from __future__ import annotations

import types
from typing import Any

from litestar.response import Redirect

from doai.admin.dashboard import editing
from doai.admin.problems import CommandRefused
from doai.errors import Fault
from doai.messages.commands import Problem, StoreWorkflow, WorkflowStored
from doai.messages.plugins import PluginOffer, StepSchema
from doai.workflow.mistakes import WorkflowError
from tests.unit.admin.pressing import Site, press

RECIPE = "workflow: reset\nsteps:\n  - {id: r, use: acme.reset}\n"
NOTHING = {"type": "object", "properties": {}}
OFFER = PluginOffer(name="acme", steps=[StepSchema(name="acme.reset", arguments=NOTHING, outputs=NOTHING)])


async def nodes() -> list[Any]:
    return [types.SimpleNamespace(row=types.SimpleNamespace(plugins=[OFFER]))]


def test_a_workflow_with_a_step_of_a_plugin_is_stored() -> None:
    site = Site(lambda _: WorkflowStored(name="reset", version=1, content_hash="h", new=True), nodes=nodes)
    answer = press(editing.store, site, {"source": RECIPE.replace("\n", "\r\n")})
    assert isinstance(answer, Redirect)
    assert answer.url.startswith("/workflows/reset?")
    assert site.commands == [StoreWorkflow(source=RECIPE)]


def test_what_the_broker_refuses_is_shown_with_its_places() -> None:
    def refuse(_: object) -> None:
        raise CommandRefused(Problem(code=WorkflowError.code, message="2 mistakes", fault=Fault.USER))

    answer = press(editing.store, Site(refuse, nodes=nodes), {"source": RECIPE + "  - {id: x, use: acme.gone}\n"})
    assert answer.status_code == 422
    assert "acme.gone" in answer.content
    assert "acme.reset&#39; is not" not in answer.content, "the step of the plug-in is no mistake"
