"""Incidents: what an operator must know of, acknowledged and resolved (step 14)."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import Response, get, post
from litestar.openapi.spec import Example
from litestar.params import Body, FromPath, QueryParameter

from doai.admin import examples
from doai.admin.access import OPERATOR, VIEWER
from doai.admin.routes.parameters import Cursor, Given, Limit, Who
from doai.admin.views import View
from doai.changes.incidents import IncidentRow
from doai.incidents import RULES, IncidentType, Severity
from doai.messages.incidents import AcknowledgeIncident, Incident, ResolveIncident
from doai.states import IncidentState

_GRAVEST_FIRST: Final = {severity: -place for place, severity in enumerate(Severity)}


class IncidentJson(View, frozen=True, kw_only=True):
    """A condition that an operator must know of."""

    incident_id: str
    type: str
    subject: str
    """What it is about: ``node/NAME``, ``device/SERIAL``, ``queue/NAME``, ``broker/main``."""
    severity: str
    """low, medium, high or critical."""
    state: str
    """open, acknowledged or resolved."""
    message: str
    """As it was measured at last."""
    affected: int
    """The most at any time: tasks that wait, devices of a node; of what happens instead of lasting, how often."""
    opened_at_ms: int
    seen_at_ms: int
    acknowledged_at_ms: int | None
    acknowledged_by: str
    resolved_at_ms: int | None
    resolved_by: str
    """A person, or the broker because it is over."""
    note: str
    """What people wrote about it, a line each."""
    means: str
    to_do: str


class IncidentPage(View, frozen=True, kw_only=True):
    """The gravest first of those that are open; the newest first with those that are over."""

    items: list[IncidentJson]
    next: str | None


class IncidentNote(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be written beside it."""

    note: Annotated[str, msgspec.Meta(max_length=2000)] = ""


_ROW: Final = IncidentRow(
    incident_id=examples.RUN_ID,
    type=IncidentType.NODE_DOWN,
    subject="node/shelf-1",
    severity=Severity.CRITICAL,
    state=IncidentState.OPEN,
    message="node shelf-1 with 97 devices is offline: not heard for 30 s",
    affected=97,
    opened_at_ms=examples.AT_MS,
    seen_at_ms=examples.AT_MS,
)


def incident_json(row: IncidentRow) -> IncidentJson:
    """Return an incident as the API shows it."""
    rule = RULES[row.type]
    fields = msgspec.structs.asdict(row) | {
        "type": row.type.value,
        "severity": row.severity.value,
        "state": row.state.value,
    }
    return IncidentJson(means=rule.means, to_do=rule.to_do, **fields)


_NOTE_BODY = Annotated[IncidentNote | None, Body(examples=[Example(value={"note": "its power supply is changed"})])]
_TAKEN: Final = Incident(
    incident_id=_ROW.incident_id, type=_ROW.type.value, subject=_ROW.subject, state=IncidentState.ACKNOWLEDGED
)


@get(
    "/incidents",
    opt={"needs": VIEWER},
    tags=["incidents"],
    summary="What an operator must know of",
    responses=examples.answer(
        200, IncidentPage, IncidentPage(items=[incident_json(_ROW)], next=None), "A page of incidents."
    ),
)
async def list_incidents(
    services: Given,
    cursor: Cursor = None,
    limit: Limit = 100,
    resolved: Annotated[bool, QueryParameter(description="also those that are over")] = False,
    incident_type: Annotated[IncidentType | None, QueryParameter(name="type")] = None,
    subject: Annotated[str | None, QueryParameter(max_length=200, description="e.g. node/shelf-1")] = None,
) -> IncidentPage:
    """Those that are open fit a page; the history is told newest first."""
    page = await services.reader.incidents.page(
        resolved=resolved, incident_type=incident_type, subject=subject, cursor=cursor, limit=limit
    )
    rows = page.items
    if not resolved:
        rows = sorted(rows, key=lambda row: (_GRAVEST_FIRST[row.severity], row.opened_at_ms))
    return IncidentPage(items=[incident_json(row) for row in rows], next=page.next_cursor)


@post(
    "/incidents/{incident_id:str}/acknowledge",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["incidents"],
    summary="Say that somebody looks after it",
    responses=examples.answer(200, Incident, _TAKEN, "How it stands now.", problems=(404,)),
)
async def acknowledge_incident(
    incident_id: FromPath[str], services: Given, caller: Who, data: _NOTE_BODY = None
) -> Response[Incident]:
    """It stays in the list until it is over. Again: somebody else looks after it."""
    command = AcknowledgeIncident(incident_id=incident_id, note=data.note if data else "")
    done = await services.command_of(caller, command, f"incident/{incident_id[:64]}")
    return Response(done.result, headers=done.headers)


@post(
    "/incidents/{incident_id:str}/resolve",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["incidents"],
    summary="Say that it is over",
    responses=examples.answer(
        200,
        Incident,
        msgspec.structs.replace(_TAKEN, state=IncidentState.RESOLVED),
        "How it stands now.",
        problems=(404,),
    ),
)
async def resolve_incident(
    incident_id: FromPath[str], services: Given, caller: Who, data: _NOTE_BODY = None
) -> Response[Incident]:
    """Where it is still so after ten minutes, a new one opens."""
    command = ResolveIncident(incident_id=incident_id, note=data.note if data else "")
    done = await services.command_of(caller, command, f"incident/{incident_id[:64]}")
    return Response(done.result, headers=done.headers)
