"""What is worth telling, made from events: one notice each (step 14)."""

from __future__ import annotations

import enum

import msgspec

from doai import topics
from doai.bots.notify.channels import About
from doai.incidents import Severity
from doai.messages.campaigns import CampaignMoved
from doai.messages.dead_letters import DeadLetterCreated
from doai.messages.events import RunCompleted
from doai.messages.incidents import IncidentChanged
from doai.notifications import OWN_KINDS
from doai.states import Outcome

UNDELIVERED = "undelivered"
"""Code of the dead letter of a message that was given up."""


class Phase(enum.Enum):
    """What became of the thing."""

    OPENED = "opened"
    CLOSED = "closed"
    HAPPENED = "happened"


class Notice(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One thing to tell."""

    about: About
    phase: Phase
    severity: Severity
    thing: str
    """What it is about, the same for everything that is told of one thing: ``incident/NODE_DOWN/node/n1``."""
    subject: str
    """As the log names it: ``node/n1``, ``run/0190...``."""
    kind: str
    """Type of the incident, code of the dead letter, outcome of a run."""
    text: str
    """Sentence of whoever said it; of a campaign its name, of a run its workflow."""
    at_ms: int
    id: str = ""
    """Of the incident, the dead letter or the run."""
    actor: str = ""
    """The person who did it."""
    returns: int = 0
    """So often a closed incident was back within the time that it takes to be told over."""
    counts: dict[str, int] = {}
    """Tasks of a run by outcome."""


def notice_of(event_type: str, subject: str, event: object, at_ms: int) -> Notice | None:
    """Return the notice of an event; None = there is nothing to tell."""
    if isinstance(event, IncidentChanged):
        return _incident(event_type, event, at_ms)
    if isinstance(event, DeadLetterCreated):
        return Notice(
            about=About.DEAD_LETTERS,
            phase=Phase.HAPPENED,
            severity=Severity.MEDIUM,
            thing=f"dead/{event.letter_id}",
            subject=subject,
            kind=event.code,
            text=event.message,
            at_ms=at_ms,
            id=event.letter_id,
        )
    if isinstance(event, CampaignMoved):
        return Notice(
            about=About.CAMPAIGNS,
            phase=Phase.HAPPENED,
            severity=Severity.LOW,
            thing=f"campaign/{event.name}",
            subject=subject,
            kind="ended",
            text=event.reason,
            at_ms=at_ms,
            id=event.name,
            actor=event.actor,
        )
    if isinstance(event, RunCompleted) and not event.workflow.startswith(OWN_KINDS):
        return Notice(
            about=About.RUNS,
            phase=Phase.HAPPENED,
            severity=Severity.LOW if event.outcome is Outcome.PASSED else Severity.MEDIUM,
            thing=f"run/{event.run_id}",
            subject=subject,
            kind=event.outcome.value,
            text=event.workflow,
            at_ms=at_ms,
            id=event.run_id,
            counts=event.counts,
        )
    return None


def _incident(event_type: str, event: IncidentChanged, at_ms: int) -> Notice:
    try:
        severity = Severity(event.severity)
    except ValueError:
        severity = Severity.HIGH  # of a newer broker: rather told than missed
    return Notice(
        about=About.INCIDENTS,
        phase=Phase.CLOSED if event_type == topics.INCIDENT_RESOLVED else Phase.OPENED,
        severity=severity,
        thing=f"incident/{event.incident_type}/{event.about}",
        subject=event.about,
        kind=event.incident_type,
        text=event.message,
        at_ms=at_ms,
        id=event.incident_id,
        actor=event.actor,
    )
