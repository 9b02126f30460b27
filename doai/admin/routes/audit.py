"""The audit: who changed what, from where, what was so before and after (step 14)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec
from litestar import get
from litestar.params import QueryParameter

from doai.admin import examples
from doai.admin.access import OPERATOR
from doai.admin.routes.parameters import Cursor, Given, Limit
from doai.admin.views import View
from doai.changes.audit import AuditOutcome
from doai.errors import UserError
from doai.store.audit_reader import AuditFilter, AuditView

_ACTION: Final = re.compile(r"[a-z0-9_.]{1,100}")
_NUMBER: Final = re.compile(r"[0-9]{1,16}")


class AuditJson(View, frozen=True, kw_only=True):
    """One row: a command that was executed or refused, or what the system did by itself."""

    n: int
    """Its place; never used again."""
    at_ms: int
    actor: str
    """`user/NAME` of a token, `node/NAME`, or the address of the broker."""
    role: str
    """With which it was asked: admin, operator, viewer or node; system for the broker."""
    token: str
    """Name of the API token; empty = there was none."""
    address: str
    """Network address from which it was asked; empty = not over the network."""
    interface: str
    process: str
    """Address of the process that brought it to the broker."""
    action: str
    subject: str
    outcome: str
    """done, refused or automatic."""
    code: str
    reason: str
    before: Any
    """What was so, as far as it changed; null = there was nothing, or nothing to tell."""
    after: Any
    command_id: str
    idempotency_key: str
    trace_id: str
    position: int
    """Of the event log: what follows from it is there or after it."""


class AuditPage(View, frozen=True, kw_only=True):
    """Newest first."""

    items: list[AuditJson]
    next: str | None


_EXAMPLE: Final = AuditJson(
    n=311,
    at_ms=examples.AT_MS,
    actor="user/ann",
    role="operator",
    token="ann",  # noqa: S106 - the name of a token
    address="10.0.0.23",
    interface="cli",
    process="admin/4f1c2ab90d3e",
    action="device.quarantine",
    subject="device/R58M12ABCDE",
    outcome="done",
    code="",
    reason="",
    before={"service": "in_service"},
    after={"service": "quarantined", "reason": "its cable is changed"},
    command_id="01KAJD8B00COMMAND000000001",
    idempotency_key="auto-01KAJD8B00COMMAND000000002",
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    position=1042,
)


@get(
    "/audit",
    opt={"needs": OPERATOR},
    tags=["audit"],
    summary="Who changed what, newest first",
    responses=examples.answer(
        200, AuditPage, AuditPage(items=[_EXAMPLE], next=None), "A page of the audit.", problems=(422,)
    ),
)
async def list_audit(
    services: Given,
    actor: Annotated[str | None, QueryParameter(max_length=200, description="`user/ann`")] = None,
    action: Annotated[
        str | None,
        QueryParameter(max_length=100, description="`key.revoke`, or `key.` for all that begin so"),
    ] = None,
    subject: Annotated[
        str | None, QueryParameter(max_length=200, description="`device/SERIAL`, `run/ID` ...")
    ] = None,
    outcome: Annotated[AuditOutcome | None, QueryParameter(description="only these")] = None,
    since_ms: Annotated[
        int | None, QueryParameter(ge=0, le=2**53, description="ms since 1970 (UTC); only rows from then on")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> AuditPage:
    """Every command, those that were refused too, and what the system changed by itself."""
    if action is not None and _ACTION.fullmatch(action) is None:
        raise UserError(f"{action[:100]!r} is no action: write one such as key.revoke, or key.", code="bad_action")
    if cursor and _NUMBER.fullmatch(cursor) is None:
        raise UserError("this cursor is none of ours: begin without one", code="bad_cursor")
    wanted = AuditFilter(actor=actor, action=action, subject=subject, outcome=outcome, since_ms=since_ms)
    found = await services.reader.audit.rows(wanted, before_n=int(cursor) if cursor else None, limit=limit + 1)
    more = str(found[limit - 1].n) if len(found) > limit else None
    return AuditPage(items=[_json(view) for view in found[:limit]], next=more)


def _json(view: AuditView) -> AuditJson:
    fields = msgspec.structs.asdict(view.row)
    told = {
        name: None if fields[name] is None else msgspec.json.decode(fields[name]) for name in ("before", "after")
    }
    return AuditJson(n=view.n, **{**fields, **told, "outcome": view.row.outcome.value})
