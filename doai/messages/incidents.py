"""Payloads of incidents: the commands by which people answer them, and the events that tell of them (steps 1-3)."""

from __future__ import annotations

from typing import Final

from doai.envelope import Message
from doai.states import IncidentState

ACKNOWLEDGE_INCIDENT: Final = "incident.acknowledge"
RESOLVE_INCIDENT: Final = "incident.resolve"


class AcknowledgeIncident(Message, frozen=True, kw_only=True):
    """Say that somebody looks after it. Answer: Incident."""

    incident_id: str
    note: str = ""


class ResolveIncident(Message, frozen=True, kw_only=True):
    """Say that it is over; when it is not, a new one opens after ten minutes. Answer: Incident."""

    incident_id: str
    note: str = ""


class Incident(Message, frozen=True, kw_only=True):
    """Answer to both: how it stands now."""

    incident_id: str
    type: str
    subject: str
    state: IncidentState


class IncidentChanged(Message, frozen=True, kw_only=True):
    """An incident was opened, acknowledged or resolved."""

    incident_id: str
    incident_type: str
    about: str
    """Subject: ``node/n1``, ``device/R58M12ABCDE``, ``queue/default``."""
    severity: str
    message: str
    affected: int
    actor: str = ""
    """The person who did it; empty = the broker itself."""
    note: str = ""
