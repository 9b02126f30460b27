"""Secrets as the broker knows them: names and ciphertext; only the admin has the key (step 2)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from doai import topics
from doai.broker.core.decision import Decision
from doai.broker.core.state import State
from doai.changes.ops import DropSecret, PutSecret
from doai.changes.rows import SecretRow
from doai.envelope import Envelope
from doai.errors import NotFoundError, UserError
from doai.messages.enrolment import RemoveSecret, SecretKept, StoreSecret
from doai.messages.events import SecretRemoved, SecretStored
from doai.workflow.mistakes import did_you_mean

SECRETS_MAX: Final = 1000
"""All of them are in the broker's memory."""
CIPHERTEXT_BYTES_MAX: Final = 64 * 1024
"""A certificate with its key is 10 KiB; a file that is larger is no secret but data."""
_NAME: Final = re.compile(r"(doai\.)?[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")
"""As a recipe can name it; ``doai.`` begins what is the program's own, which no recipe can name."""


class Secrets:
    """Keeps what the admin encrypted."""

    def __init__(self, state: State) -> None:
        self._state = state

    def store(self, decision: Decision, command: Envelope, store: StoreSecret) -> SecretKept:
        """Keep a secret, in place of the one before."""
        if _NAME.fullmatch(store.name) is None:
            raise UserError(
                f"{store.name[:80]!r} can not name a secret: use 1-63 letters, digits, _ and - (not first)",
                code="bad_name",
            )
        if not 1 <= len(store.ciphertext) <= CIPHERTEXT_BYTES_MAX:
            raise UserError(
                f"a secret has at most {CIPHERTEXT_BYTES_MAX // 1024} KiB as it is encrypted", code="too_large"
            )
        known = self._state.secrets.get(store.name)
        if known is None and len(self._state.secrets) >= SECRETS_MAX:
            raise UserError(f"there are {SECRETS_MAX} secrets: remove one first", code="too_many_secrets")
        actor, now_ms = command.actor or command.source, decision.now.utc_ms
        row = SecretRow(
            name=store.name,
            ciphertext=store.ciphertext,
            created_at_ms=now_ms if known is None else known.created_at_ms,
            created_by=actor if known is None else known.created_by,
            changed_at_ms=now_ms,
            changed_by=actor,
        )
        decision.changed(f"secret/{row.name}", known, row)
        self._state.secrets[row.name] = row
        decision.ops.append(PutSecret(row))
        self._tell(decision, command, topics.SECRET_STORED, SecretStored(name=row.name, actor=actor))
        return SecretKept(name=row.name)

    def remove(self, decision: Decision, command: Envelope, remove: RemoveSecret) -> SecretKept:
        """Forget a secret; a task that is under way and has it keeps it to its end."""
        known = self._state.secrets.pop(remove.name, None)
        if known is None:
            raise unknown_secret(remove.name, self._state.secrets)
        decision.ops.append(DropSecret(remove.name))
        decision.changed(f"secret/{remove.name}", known, None)
        actor = command.actor or command.source
        self._tell(decision, command, topics.SECRET_REMOVED, SecretRemoved(name=remove.name, actor=actor))
        return SecretKept(name=remove.name)

    def _tell(
        self, decision: Decision, command: Envelope, event_type: str, payload: SecretStored | SecretRemoved
    ) -> None:
        decision.event(
            event_type,
            f"secret/{payload.name}",
            payload,
            trace_id=command.trace_id,
            causation_id=command.event_id,
            actor=command.actor,
        )


def unknown_secret(name: str, known: Iterable[str]) -> NotFoundError:
    """Return the error for a secret that has no value."""
    nameable = [other for other in known if "." not in other]
    return NotFoundError(
        f"there is no secret {name[:80]!r}: {did_you_mean(name, nameable)}", code="secret_not_found"
    )
