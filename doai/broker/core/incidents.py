"""Incidents: opened and closed by the rules of doai.incidents, one at a time of a type and subject (step 12).

How long a condition has been so is kept in memory only: after a restart the terms begin anew, the incidents stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from doai import limits, topics
from doai.broker.core.decision import Decision
from doai.broker.core.state import State
from doai.broker.core.statistics import Statistics
from doai.broker.core.symptom import Symptom
from doai.broker.core.symptoms import Ends, symptoms
from doai.changes.incidents import IncidentRow
from doai.changes.ops import PutIncident
from doai.clock import Now
from doai.envelope import Envelope
from doai.errors import NotFoundError
from doai.incidents import RULES, IncidentType, Rule
from doai.messages.incidents import AcknowledgeIncident, Incident, IncidentChanged, ResolveIncident
from doai.states import INCIDENT_TABLE, IncidentState, IncidentTrigger, move

Key = tuple[IncidentType, str]
NOTE_CHARS_MAX: Final = 2000
LOOKS_APART_S: Final = 1.0
"""A look goes through all open tasks: whoever tells much must not make it cost a core."""
_OF_ALERT: Final = {
    "cloned_outbox": IncidentType.CLONED_OUTBOX,
    "rolled_back": IncidentType.STORE_ROLLED_BACK,
}
"""Codes of alerts that are incidents."""


class Incidents:
    """Looks at intervals, and answers people."""

    def __init__(self, state: State, statistics: Statistics, now: Now) -> None:
        self._state = state
        self._ends = Ends(statistics)
        self._since_s: dict[Key, float] = {}
        """Since when conditions are so bad that they would be incidents; or, of open ones, so good that not."""
        self._quiet_until_s: dict[Key, float] = {}
        """Resolved by a person: not opened again before."""
        self._looked_s, self._due_s = now.mono_s, now.mono_s + limits.INCIDENT_LOOK_S

    def due_s(self) -> float:
        """Return when it is looked again."""
        return self._due_s

    def look_soon(self, decision: Decision) -> None:
        """Something that lasts is told to be another: it is looked at once, once a second at most."""
        now_s = decision.now.mono_s
        self._due_s = min(self._due_s, max(now_s, self._looked_s + LOOKS_APART_S))
        self._state.sweep_by(self._due_s)

    def sweep(self, decision: Decision) -> None:
        """Look at everything that lasts, and close what has not happened for long."""
        now_s = decision.now.mono_s
        if now_s < self._due_s:
            return
        self._looked_s, self._due_s = now_s, now_s + limits.INCIDENT_LOOK_S
        bad: dict[Key, Symptom] = {}
        for symptom in symptoms(self._state, self._ends, decision.now):
            key = symptom.type, symptom.subject
            rule = RULES[symptom.type]
            if symptom.measure >= (rule.closes_at if key in self._state.incidents else rule.opens_at):
                bad[key] = symptom
        for key in [key for key in self._since_s if (key in bad) == (key in self._state.incidents)]:
            del self._since_s[key]
        for key in [key for key, until_s in self._quiet_until_s.items() if until_s <= now_s]:
            del self._quiet_until_s[key]
        for key, symptom in bad.items():
            self._is_so(decision, key, symptom)
        for key in [key for key in self._state.incidents if key not in bad]:
            self._is_not_so(decision, key)

    def alerted(self, decision: Decision, code: str, subject: str, message: str) -> None:
        """An alert was written; some tell of an incident."""
        incident_type = _OF_ALERT.get(code)
        if incident_type is None:
            return
        self.counted(decision, incident_type, subject, 1, lambda _: message)

    def counted(
        self, decision: Decision, incident_type: IncidentType, subject: str, times: int, told: Callable[[int], str]
    ) -> None:
        """It happened so many times more; ``told`` makes the sentence of how many times it did in all."""
        key = incident_type, subject
        self._since_s.pop(key, None)
        row = self._state.incidents.get(key)
        if row is None:
            self._opens(decision, key, told(times), times)
        else:
            affected = row.affected + times
            self._put(decision, key, row, message=told(affected), affected=affected)

    # --- commands -----------------------------------------------------------------------------------------

    def acknowledge(self, decision: Decision, envelope: Envelope, command: AcknowledgeIncident) -> Incident:
        """Somebody looks after it."""
        key, row = self._of(command.incident_id)
        after = msgspec.structs.replace(
            row,
            state=move(INCIDENT_TABLE, row.state, IncidentTrigger.ACKNOWLEDGE, f"incident {row.incident_id}"),
            acknowledged_at_ms=decision.now.utc_ms,
            acknowledged_by=envelope.actor or "",
            note=_noted(row.note, envelope.actor or "", command.note),
        )
        self._state.incidents[key] = after
        decision.changed(f"incident/{row.incident_id}", _audited(row), _audited(after))
        self._say(decision, topics.INCIDENT_ACKNOWLEDGED, after, envelope.actor or "", command.note)
        return _answer(after)

    def resolve(self, decision: Decision, envelope: Envelope, command: ResolveIncident) -> Incident:
        """A person says that it is over; if it is not, it is a new one after a while."""
        key, row = self._of(command.incident_id)
        if not RULES[row.type].is_counted:
            self._quiet_until_s[key] = decision.now.mono_s + limits.INCIDENT_REOPENS_S
        after = self._resolves(decision, key, envelope.actor or "", command.note)
        decision.changed(f"incident/{row.incident_id}", _audited(row), _audited(after))
        return _answer(after)

    # --- inside -------------------------------------------------------------------------------------------

    def _of(self, incident_id: str) -> tuple[Key, IncidentRow]:
        for key, row in self._state.incidents.items():
            if row.incident_id == incident_id:
                return key, row
        raise NotFoundError(
            f"no incident {incident_id[:64]!r} is open: `doai incidents` lists those that are",
            code="incident_not_found",
        )

    def _is_so(self, decision: Decision, key: Key, symptom: Symptom) -> None:
        row, now_s, rule = self._state.incidents.get(key), decision.now.mono_s, RULES[symptom.type]
        if row is not None:
            if symptom.message != row.message or symptom.affected > row.affected:
                affected = max(row.affected, symptom.affected)
                self._put(decision, key, row, message=symptom.message, affected=affected)
            return
        since_s = self._since_s.setdefault(key, now_s)
        if now_s - since_s >= rule.opens_after_s and key not in self._quiet_until_s:
            del self._since_s[key]
            self._opens(decision, key, symptom.message, symptom.affected)

    def _is_not_so(self, decision: Decision, key: Key) -> None:
        now_s = decision.now.mono_s
        if now_s - self._since_s.setdefault(key, now_s) >= _rule(key).closes_after_s:
            self._resolves(decision, key, self._state.settings.source, "")

    def _opens(self, decision: Decision, key: Key, message: str, affected: int) -> None:
        now_ms = decision.now.utc_ms
        row = IncidentRow(
            incident_id=decision.new_id(),
            type=key[0],
            subject=key[1],
            severity=_rule(key).severity,
            state=IncidentState.OPEN,
            message=message,
            affected=affected,
            opened_at_ms=now_ms,
            seen_at_ms=now_ms,
        )
        self._state.incidents[key] = row
        self._say(decision, topics.INCIDENT_OPENED, row, "", "")
        decision.log("warning", f"incident {row.type.value}: {message}")

    def _resolves(self, decision: Decision, key: Key, by: str, note: str) -> IncidentRow:
        row = self._state.incidents.pop(key)
        self._since_s.pop(key, None)
        after = msgspec.structs.replace(
            row,
            state=move(INCIDENT_TABLE, row.state, IncidentTrigger.RESOLVE, f"incident {row.incident_id}"),
            resolved_at_ms=decision.now.utc_ms,
            resolved_by=by,
            note=_noted(row.note, by, note),
        )
        actor = "" if by == self._state.settings.source else by
        self._say(decision, topics.INCIDENT_RESOLVED, after, actor, note)
        decision.log("info", f"incident {after.type.value} of {after.subject} is over")
        return after

    def _put(self, decision: Decision, key: Key, row: IncidentRow, *, message: str, affected: int) -> None:
        after = msgspec.structs.replace(
            row, message=message, affected=affected, seen_at_ms=max(row.seen_at_ms, decision.now.utc_ms)
        )
        self._state.incidents[key] = after
        decision.ops.append(PutIncident(after))

    def _say(self, decision: Decision, event_type: str, row: IncidentRow, actor: str, note: str) -> None:
        decision.ops.append(PutIncident(row))
        changed = IncidentChanged(
            incident_id=row.incident_id,
            incident_type=row.type.value,
            about=row.subject,
            severity=row.severity.value,
            message=row.message,
            affected=row.affected,
            actor=actor,
            note=note[:NOTE_CHARS_MAX],
        )
        decision.event(event_type, row.subject, changed, actor=actor or None)


def _rule(key: Key) -> Rule:
    return RULES[key[0]]


def _noted(before: str, by: str, note: str) -> str:
    line = " ".join(note.split())[:NOTE_CHARS_MAX]
    return "\n".join(part for part in (before, f"{by}: {line}" if line else "") if part)[-2 * NOTE_CHARS_MAX :]


def _audited(row: IncidentRow) -> dict[str, object]:
    """What a person changed of it."""
    return {"state": row.state.value, "acknowledged_by": row.acknowledged_by, "note": row.note}


def _answer(row: IncidentRow) -> Incident:
    return Incident(incident_id=row.incident_id, state=row.state, type=row.type.value, subject=row.subject)
