"""Follows the audit: each command that was executed has one row, in the commit of what it changed (steps 2, 3)."""

from __future__ import annotations

from collections.abc import Sequence

from doai.changes.audit import AuditOutcome
from doai.changes.ops import AppendAudit, Op, RememberCommand
from doai.codec import decode, encode
from doai.messages.commands import Reply
from tests.sim.world import Violation


class Trail:
    """What the audit of one store tells of commands."""

    def __init__(self) -> None:
        self.rows = 0
        self.automatic = 0
        self._commands: set[str] = set()
        """Ids of those that have a row."""
        self._keys: set[str] = set()
        """Idempotency keys of those that were executed."""
        self._remembered: set[bytes] = set()
        """Answers that may be given again."""

    def observe(self, ops: Sequence[Op]) -> None:
        """Follow a batch that has landed."""
        remembered = []
        for op in ops:
            kind = type(op)
            if kind is AppendAudit:
                self._row(op)  # type: ignore[arg-type]
            elif kind is RememberCommand:
                remembered.append(op)
        for op in remembered:
            reply = decode(op.row.reply_body, Reply)  # type: ignore[union-attr]
            if reply.command_id not in self._commands:
                message = f"command {reply.command_id} changed something, its row is not in the same commit"
                raise Violation("audit_missing", message)
            self._remembered.add(_told(reply))

    def _row(self, op: AppendAudit) -> None:
        row = op.row
        self.rows += 1
        if row.outcome is AuditOutcome.AUTOMATIC:
            self.automatic += 1
            return
        if row.outcome is AuditOutcome.DONE and row.idempotency_key:
            if row.idempotency_key in self._keys:
                raise Violation("audit_twice", f"{row.action} of key {row.idempotency_key} has two rows")
            self._keys.add(row.idempotency_key)
        self._commands.add(row.command_id)

    def answered(self, reply: Reply) -> None:
        """An answer leaves the broker: its command has a row, or it is that of an earlier time."""
        if reply.command_id not in self._commands and _told(reply) not in self._remembered:
            raise Violation("audit_missing", f"command {reply.command_id} is answered and has no row")


def _told(reply: Reply) -> bytes:
    return encode((reply.position, reply.result))
