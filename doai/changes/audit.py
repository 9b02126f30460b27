"""What is kept of who changed what: one row a command, one a change by the system itself (steps 2 and 3)."""

from __future__ import annotations

import enum

import msgspec


class AuditOutcome(enum.Enum):
    """What came of it."""

    DONE = "done"
    REFUSED = "refused"
    AUTOMATIC = "automatic"
    """Nobody asked for it: the system changed something by itself."""


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit; it is never changed. The store numbers the rows in the order of their commits."""

    at_ms: int
    """By the broker's clock."""
    actor: str
    """``user/NAME`` of a token, ``node/NAME``, or the address of the broker for what it did by itself."""
    role: str
    """Of the token or key with which it was asked: admin, operator, viewer, node, bot; system for the broker."""
    token: str
    """Name of the API token; empty = there was none."""
    address: str
    """Network address from which it was asked, as the admin saw it; empty = not over the network."""
    interface: str
    """Through what: cli, http, system ..."""
    process: str
    """Address ``name/instance`` of the process that brought it to the broker."""
    action: str
    """Type of the command, or of the event that tells what the system did."""
    subject: str
    """What it was about, ``kind/id``."""
    outcome: AuditOutcome
    code: str = ""
    """Why it was refused, for programs."""
    reason: str = ""
    """Why it was refused or done, for people."""
    before: str | None = None
    """JSON of what was so before, as far as it changed; None = there was nothing, or nothing to tell."""
    after: str | None = None
    command_id: str = ""
    idempotency_key: str = ""
    trace_id: str = ""
    position: int = 0
    """Of the event log: what follows from it comes after the events up to here, or is among them."""
