"""Two steps for what can not be undone: the first answers what would happen, the second does it (step 2).

A confirmation is bound to who asked, to the action and to the very set of things that it was shown for; it is used
once and forgotten after minutes, by a broker that starts again at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

from doai.broker.core.decision import Decision
from doai.broker.core.terms import actor_of
from doai.envelope import Envelope
from doai.errors import ConflictError

KEPT_S: Final = 300.0
PENDING_MAX: Final = 1000
"""Confirmations that nobody has used: the oldest is forgotten for a new one."""
_DIGEST_CHARACTERS: Final = 16


class Selection(msgspec.Struct, frozen=True):
    """The things that an action is about: how many, and which."""

    count: int
    digest: str
    """Of their ids, in any order."""


class _Pending(msgspec.Struct, frozen=True):
    actor: str
    action: str
    subject: str
    selection: Selection
    expires_s: float


class Confirmations:
    """Gives out confirmations and takes them back."""

    def __init__(self) -> None:
        self._pending: dict[str, _Pending] = {}

    def ask(self, decision: Decision, command: Envelope, subject: str, selection: Selection) -> str:
        """Return the confirmation with which the same actor may do the same to the same things."""
        now_s = decision.now.mono_s
        for token in [token for token, found in self._pending.items() if found.expires_s <= now_s]:
            del self._pending[token]
        while len(self._pending) >= PENDING_MAX:
            del self._pending[next(iter(self._pending))]
        token = decision.ids.new_trace_id()
        self._pending[token] = _Pending(actor_of(command), command.type, subject, selection, now_s + KEPT_S)
        return token

    def use(self, decision: Decision, command: Envelope, subject: str, selection: Selection, token: str) -> None:
        """Use a confirmation up; raises ConflictError when it is not for this, now and by this actor."""
        found = self._pending.get(token)
        if found is None or found.expires_s <= decision.now.mono_s:
            raise ConflictError(
                "this confirmation is not known any more: it is for one use within "
                f"{KEPT_S / 60:.0f} minutes; ask again without it",
                code="confirmation_unknown",
            )
        if (found.actor, found.action, found.subject) != (actor_of(command), command.type, subject):
            raise ConflictError(
                f"this confirmation was given to {found.actor} for {found.action} of {found.subject}: ask for one "
                "of your own",
                code="confirmation_of_another",
            )
        del self._pending[token]
        if found.selection != selection:
            raise ConflictError(
                f"what it was asked for has changed: {found.selection.count} things then, {selection.count} now, "
                "and not the same; look at them again, and ask again",
                code="confirmation_outdated",
            )


def select(ids: Iterable[str]) -> Selection:
    """Return what these ids are as a set."""
    ordered = sorted(ids)
    digest = hashlib.sha256("\n".join(ordered).encode()).hexdigest()
    return Selection(len(ordered), digest[:_DIGEST_CHARACTERS])
