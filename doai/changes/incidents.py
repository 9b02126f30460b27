"""Incidents as they are stored (steps 12 and 14)."""

from __future__ import annotations

import msgspec

from doai.incidents import IncidentType, Severity
from doai.states import IncidentState


class IncidentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One incident. Of one type and subject at most one is not resolved."""

    incident_id: str
    type: IncidentType
    subject: str
    """What it is about, as subjects of events: ``node/n1``, ``device/R58M12ABCDE``, ``queue/default``."""
    severity: Severity
    state: IncidentState
    message: str
    """As it was measured at last, one sentence."""
    affected: int
    """The most at any time: tasks that wait, devices of a node; of what happens instead of lasting, how often."""
    opened_at_ms: int
    seen_at_ms: int
    """When it was last so."""
    acknowledged_at_ms: int | None = None
    acknowledged_by: str = ""
    resolved_at_ms: int | None = None
    resolved_by: str = ""
    """A person, or the broker because it is over."""
    note: str = ""
    """What people wrote about it, newest last, a line each."""
