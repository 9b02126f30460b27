"""Reads who changed what, newest first (step 14)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from doai.changes.audit import AuditOutcome, AuditRow
from doai.store import audit_columns
from doai.store.read_connections import ReadConnections


class AuditView(msgspec.Struct, frozen=True, kw_only=True):
    """A row and its number, which is its place in the order of commits."""

    n: int
    row: AuditRow


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows; None = any."""

    actor: str | None = None
    action: str | None = None
    """A whole action such as ``key.revoke``, or the beginning of several: ``key.``."""
    subject: str | None = None
    outcome: AuditOutcome | None = None
    since_ms: int | None = None


class AuditReader:
    """Answers questions about the audit over the connections of a StoreReader."""

    def __init__(self, connections: ReadConnections, sql: Mapping[str, str]) -> None:
        self._connections = connections
        self._sql = sql

    async def rows(self, wanted: AuditFilter, *, before_n: int | None, limit: int) -> list[AuditView]:
        """Return up to ``limit`` rows that are older than row ``before_n``, newest first."""
        found = self._conditions(wanted, before_n)
        conditions = [condition for condition, _ in found]
        bindings = [value for _, value in found]
        if wanted.outcome is not None:
            # Literally, because a partial index has those that were refused.
            conditions.append(f"outcome = '{wanted.outcome.value}'")
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        question = f"{self._sql['audit']} {where} ORDER BY n DESC LIMIT ?", [*bindings, limit]
        [answer] = await self._connections.ask(question)
        return [AuditView(n=c[0], row=audit_columns.audit_row(c[1:])) for c in answer]

    @staticmethod
    def _conditions(wanted: AuditFilter, before_n: int | None) -> list[tuple[str, int | str]]:
        # One index is walked, that of the strongest filter; the plus keeps SQLite from choosing another.
        of_subject, of_actor = wanted.subject is not None, wanted.actor is not None
        found: list[tuple[str, int | str]] = []
        if wanted.subject is not None:
            found.append(("subject = ?", wanted.subject))
        if wanted.actor is not None:
            found.append(("+actor = ?" if of_subject else "actor = ?", wanted.actor))
        if wanted.action is not None:
            is_whole = not wanted.action.endswith(".")
            column = "+action" if of_subject or of_actor or not is_whole else "action"
            found.append(
                (f"{column} = ?" if is_whole else f"{column} GLOB ?", wanted.action + "*" * (not is_whole))
            )
        if wanted.since_ms is not None:
            # Its first row by the index of time, so that what is older is not walked.
            found.append(("n >= (SELECT coalesce(min(n), 0) FROM audit WHERE at_ms >= ?)", wanted.since_ms))
            found.append(("at_ms >= ?", wanted.since_ms))
        if before_n is not None:
            found.append(("n < ?", before_n))
        return found
