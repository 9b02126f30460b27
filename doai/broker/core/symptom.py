"""One condition as it is measured, for the rules of doai.incidents (step 12)."""

from __future__ import annotations

import msgspec

from doai.incidents import IncidentType


class Symptom(msgspec.Struct, frozen=True, kw_only=True):
    """A condition as it is now."""

    type: IncidentType
    subject: str
    measure: float
    affected: int
    message: str
