"""Who may speak: CURVE keys of peers and tokens of the API (step 2)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from doai.broker.core.decision import Decision
from doai.broker.core.enrolments import Enrolments
from doai.broker.core.peers import Peers
from doai.broker.core.people import ROLES
from doai.broker.core.state import State
from doai.changes.ops import PutKey, PutToken
from doai.changes.rows import KeyRow, TokenRow
from doai.envelope import Envelope
from doai.errors import ConflictError, NotFoundError, UserError
from doai.ids import is_name, peer_name_mistake
from doai.messages.commands import AddKey, AddToken, KeyAdded, RevokeKey, RevokeToken, TokenAdded
from doai.messages.link import Role
from doai.workflow.mistakes import did_you_mean

ADMIN: Final = "admin"
_PUBLIC_KEY: Final = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SCOPE: Final = re.compile(r"[a-z][a-z-]{0,30}")
SCOPES_MAX: Final = 40
"""As many as the API has parts."""
TOKEN_MAX_S: Final = 10 * 366 * 24 * 3600.0


class Access:
    """Adds and revokes keys and tokens; a revoked name may be given a new key."""

    def __init__(self, state: State, peers: Peers) -> None:
        self._state = state
        self._peers = peers
        self.enrolments = Enrolments(state)

    def add_key(self, decision: Decision, command: Envelope, add: AddKey) -> KeyAdded:
        """Let the holder of a key speak under a name."""
        if mistake := peer_name_mistake(add.name):
            raise UserError(mistake, code="bad_name")
        if add.role not in [role.value for role in Role]:
            raise UserError(
                f"there is no role {add.role[:40]!r}: node, bot and admin are the roles", code="bad_role"
            )
        if _PUBLIC_KEY.fullmatch(add.public_key) is None:
            raise UserError(
                "a public key is 40 characters of Z85: copy the whole line of the .pub file", code="bad_key"
            )
        if add.secret_sha256 and _SHA256.fullmatch(add.secret_sha256) is None:
            raise UserError("secret_sha256 is no SHA-256: it has 64 hexadecimal digits", code="bad_secret")
        for row in self._state.keys.values():
            taken = add.public_key in (row.public_key, row.next_public_key)
            if row.revoked_at_ms is None and taken and row.name != add.name:
                raise ConflictError(f"this key is that of {row.name}: make a key of its own for {add.name}")
        known = self._state.keys.get(add.name)
        if known is not None and known.revoked_at_ms is None:
            same = (known.role, known.public_key) == (add.role, add.public_key)
            if not same:
                raise ConflictError(f"{add.name} has another key: revoke that one first")
            if known.secret_sha256 == add.secret_sha256:
                return KeyAdded(name=add.name)
        row = KeyRow(
            name=add.name,
            role=add.role,
            public_key=add.public_key,
            secret_sha256=add.secret_sha256,
            created_at_ms=decision.now.utc_ms,
            created_by=command.actor or command.source,
        )
        self._put_key(decision, row)
        decision.changed(f"key/{add.name}", known, row)
        decision.keys_changed(self._state.live_keys())
        return KeyAdded(name=add.name)

    def revoke_key(self, decision: Decision, command: Envelope, revoke: RevokeKey) -> KeyAdded:
        """Accept the key of a name no more, nor the token it may still join with."""
        row = self._state.keys.get(revoke.name)
        if row is None or row.revoked_at_ms is not None:
            if self.enrolments.revoke(decision, revoke.name):
                self.enrolments.tell_revoked(decision, command, revoke.name)
                return KeyAdded(name=revoke.name)
            live = [name for name, key in self._state.keys.items() if key.revoked_at_ms is None]
            raise NotFoundError(f"there is no key of {revoke.name[:80]!r}: {did_you_mean(revoke.name, live)}")
        if row.role == Role.ADMIN.value and self._live_keys(Role.ADMIN) == 1:
            raise UserError(f"{row.name} has the last admin key: add another one first", code="last_key")
        revoked = msgspec.structs.replace(
            row, revoked_at_ms=decision.now.utc_ms, next_public_key="", next_secret_sha256=""
        )
        self._put_key(decision, revoked)
        decision.changed(f"key/{row.name}", row, revoked)
        if row.role == Role.NODE.value:
            self.enrolments.revoke(decision, row.name)
            self.enrolments.tell_revoked(decision, command, row.name)
        self._peers.revoke(decision, row.name)
        decision.keys_changed(self._state.live_keys(), row.name)
        return KeyAdded(name=row.name)

    def _live_keys(self, role: Role) -> int:
        return sum(row.role == role.value and row.revoked_at_ms is None for row in self._state.keys.values())

    def _put_key(self, decision: Decision, row: KeyRow) -> None:
        self._state.keys[row.name] = row
        decision.ops.append(PutKey(row))

    def register_own(self, decision: Decision, name: str, role: Role, public_key: str) -> None:
        """Let in the key that the broker's own folder holds, as it is now; whoever can read it owns the store."""
        known = self._state.keys.get(name)
        if known is not None and known.public_key == public_key and known.revoked_at_ms is None:
            return
        row = KeyRow(
            name=name,
            role=role.value,
            public_key=public_key,
            secret_sha256="",
            created_at_ms=decision.now.utc_ms,
            created_by=self._state.settings.source,
        )
        self._put_key(decision, row)
        decision.automatic("key.registered", f"key/{name}", known, row, "the broker's own folder holds this key")
        decision.keys_changed(self._state.live_keys())

    def add_token(self, decision: Decision, command: Envelope, add: AddToken) -> TokenAdded:
        """Allow a bearer of an API token."""
        if not is_name(add.name):
            raise UserError(f"{add.name[:80]!r} can not be a name: use 1-63 of a-z 0-9 . _ -", code="bad_name")
        if _SHA256.fullmatch(add.token_sha256) is None:
            raise UserError("token_sha256 is no SHA-256: it has 64 hexadecimal digits", code="bad_token")
        if add.role not in ROLES:
            raise UserError(f"there is no role {add.role[:40]!r}: {', '.join(ROLES)} are", code="bad_role")
        scopes = _scopes(add)
        expires_at_ms = _expires_at_ms(add, decision.now.utc_ms)
        known = self._state.tokens.get(add.name)
        if known is not None and _is_live(known, decision.now.utc_ms):
            if (known.token_sha256, known.role) != (add.token_sha256, add.role):
                raise ConflictError(f"there is another token {add.name}: revoke that one first")
            return TokenAdded(name=add.name)
        row = TokenRow(
            name=add.name,
            token_sha256=add.token_sha256,
            role=add.role,
            created_at_ms=decision.now.utc_ms,
            created_by=command.actor or command.source,
            expires_at_ms=expires_at_ms,
            scopes=scopes,
        )
        self._state.tokens[row.name] = row
        decision.ops.append(PutToken(row))
        decision.changed(f"token/{row.name}", known, row)
        return TokenAdded(name=add.name)

    def revoke_token(self, decision: Decision, command: Envelope, revoke: RevokeToken) -> TokenAdded:
        """Accept a token no more; the last admin token stays."""
        live = {name: row for name, row in self._state.tokens.items() if row.revoked_at_ms is None}
        row = live.get(revoke.name)
        if row is None:
            raise NotFoundError(f"there is no token {revoke.name[:80]!r}: {did_you_mean(revoke.name, live)}")
        opens_all = [name for name, other in live.items() if _opens_all(other)]
        if opens_all == [row.name]:
            raise UserError(f"{row.name} is the last admin token: add another one first", code="last_token")
        revoked = msgspec.structs.replace(row, revoked_at_ms=decision.now.utc_ms)
        self._state.tokens[row.name] = revoked
        decision.ops.append(PutToken(revoked))
        decision.changed(f"token/{row.name}", row, revoked)
        return TokenAdded(name=row.name)


def _scopes(add: AddToken) -> str:
    if len(add.scopes) > SCOPES_MAX or any(_SCOPE.fullmatch(scope) is None for scope in add.scopes):
        raise UserError("scopes are names of parts of the API, such as runs and devices", code="bad_scope")
    return " ".join(dict.fromkeys(add.scopes))


def _expires_at_ms(add: AddToken, now_ms: int) -> int | None:
    if add.expires_in_s is None:
        return None
    if not 0 < add.expires_in_s <= TOKEN_MAX_S:
        raise UserError("a token can not live so long or short: give a time above 0, 10 years at most")
    return now_ms + round(add.expires_in_s * 1000)


def _is_live(row: TokenRow, now_ms: int) -> bool:
    return row.revoked_at_ms is None and (row.expires_at_ms is None or row.expires_at_ms > now_ms)


def _opens_all(row: TokenRow) -> bool:
    """Whether it lets somebody in for good, who can make other tokens."""
    return row.role == ADMIN and not row.scopes and row.expires_at_ms is None
