"""The audit: who changed what, newest first (step 14)."""

from __future__ import annotations

from typing import Final

from litestar import Response, get

from doai.admin.access import OPERATOR
from doai.admin.dashboard.visit import Visiting
from doai.changes.audit import AuditOutcome
from doai.store.audit_reader import AuditFilter

SHOWN: Final = 100


@get("/audit", opt={"needs": OPERATOR})
async def list_page(visit: Visiting) -> Response[str]:
    """All given filters hold."""
    outcome = visit.given("outcome")
    wanted = AuditFilter(
        actor=visit.given("actor") or None,
        action=visit.given("action") or None,
        subject=visit.given("subject") or None,
        outcome=AuditOutcome(outcome) if outcome in {each.value for each in AuditOutcome} else None,
    )
    after = visit.given("after")
    before_n = int(after) if after.isdecimal() and len(after) < 16 else None
    found = await visit.services.reader.audit.rows(wanted, before_n=before_n, limit=SHOWN + 1)
    return await visit.page(
        "audit.html",
        items=found[:SHOWN],
        following=str(found[SHOWN - 1].n) if len(found) > SHOWN else None,
        outcomes=[each.value for each in AuditOutcome],
    )
