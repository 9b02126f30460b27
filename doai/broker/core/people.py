"""People who sign in: users, their roles and their sessions (step 2).

    known --(removed)--> removed --(created again)--> known
    A session ends by itself, by its person, or with its user.

The core sees hashes only: passwords are checked where people type them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from doai.broker.core.decision import Decision
from doai.broker.core.state import State
from doai.changes.people import DropSession, PutSession, PutUser, SessionRow, UserRow
from doai.envelope import Envelope, Message
from doai.errors import ConflictError, NotFoundError, UserError
from doai.ids import is_name
from doai.messages.people import (
    CLOSE_SESSION,
    CREATE_USER,
    OPEN_SESSION,
    REMOVE_USER,
    SET_PASSWORD,
    SET_ROLE,
    CloseSession,
    CreateUser,
    OpenSession,
    RemoveUser,
    SessionClosed,
    SessionOpened,
    SetPassword,
    SetRole,
    UserKept,
)
from doai.workflow.mistakes import did_you_mean

ADMIN: Final = "admin"
ROLES: Final = ("viewer", "operator", "author", "admin")
USERS_MAX: Final = 1000
"""Rows are held in memory; more people than that are not the operators of one fleet."""
SESSIONS_MAX: Final = 20
"""Of one user: the oldest ends when another browser signs in."""
SESSION_MAX_S: Final = 30 * 24 * 3600.0
"""A browser that nobody signed in with for a month is somebody else's by now."""
_HASH: Final = re.compile(r"\$argon2id\$v=19\$[a-zA-Z0-9=,]{1,60}\$[A-Za-z0-9+/]{10,100}\$[A-Za-z0-9+/]{20,200}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class People:
    """Creates and removes users, opens and closes their sessions."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.handlers: dict[str, Callable[[Decision, Envelope, Any], Message]] = {
            CREATE_USER: self.create,
            SET_PASSWORD: self.set_password,
            SET_ROLE: self.set_role,
            REMOVE_USER: self.remove,
            OPEN_SESSION: self.open_session,
            CLOSE_SESSION: self.close_session,
        }
        """Command type -> who executes it."""

    def create(self, decision: Decision, command: Envelope, create: CreateUser) -> UserKept:
        """Let a person sign in."""
        if not is_name(create.name):
            raise UserError(f"{create.name[:80]!r} can not be a name: use 1-63 of a-z 0-9 . _ -", code="bad_name")
        _check_role(create.role)
        _check_hash(create.password_hash)
        users = self._state.users
        known = users.get(create.name)
        if known is not None and known.removed_at_ms is None:
            raise ConflictError(f"there is a user {create.name} already: set another password, or choose a name")
        if known is None and len(users) >= USERS_MAX:
            raise UserError(f"there are {USERS_MAX} users: give the name of a removed one", code="too_many_users")
        now_ms = decision.now.utc_ms
        row = UserRow(
            name=create.name,
            role=create.role,
            password_hash=create.password_hash,
            created_at_ms=now_ms,
            created_by=command.actor or command.source,
            password_at_ms=now_ms,
        )
        self._put(decision, known, row)
        return UserKept(name=row.name)

    def set_password(self, decision: Decision, command: Envelope, change: SetPassword) -> UserKept:
        """Give a user another password, and end the sessions that the old one opened."""
        row = self._live(change.name)
        _check_hash(change.password_hash)
        now_ms = decision.now.utc_ms
        changed = msgspec.structs.replace(row, password_hash=change.password_hash, password_at_ms=now_ms)
        self._put(decision, row, changed)
        return UserKept(name=row.name, sessions_ended=self._end_sessions(decision, row.name))

    def set_role(self, decision: Decision, command: Envelope, change: SetRole) -> UserKept:
        """Give a user another role; the last admin stays one."""
        row = self._live(change.name)
        _check_role(change.role)
        if change.role != ADMIN:
            self._keep_an_admin(row)
        self._put(decision, row, msgspec.structs.replace(row, role=change.role))
        return UserKept(name=row.name)

    def remove(self, decision: Decision, command: Envelope, remove: RemoveUser) -> UserKept:
        """Let a person in no more; the last admin stays."""
        row = self._live(remove.name)
        self._keep_an_admin(row)
        removed = msgspec.structs.replace(row, removed_at_ms=decision.now.utc_ms, password_hash="")
        self._put(decision, row, removed)
        return UserKept(name=row.name, sessions_ended=self._end_sessions(decision, row.name))

    def open_session(self, decision: Decision, command: Envelope, opening: OpenSession) -> SessionOpened:
        """Let the browser of a person in that has shown the password to the admin."""
        row = self._live(opening.user)
        if row.password_hash != opening.password_hash:
            raise ConflictError(f"the password of {row.name} was changed just now: sign in again", code="conflict")
        if _SHA256.fullmatch(opening.token_sha256) is None:
            raise UserError("token_sha256 is no SHA-256: it has 64 hexadecimal digits", code="bad_token")
        if not 0 < opening.expires_in_s <= SESSION_MAX_S:
            raise UserError("a session can not live so long or short: give a time above 0, 30 days at most")
        sessions, now_ms = self._state.sessions, decision.now.utc_ms
        if opening.token_sha256 in sessions:
            raise ConflictError("there is such a session already: make another cookie")
        own = sorted(
            (session for session in sessions.values() if session.user == row.name),
            key=lambda session: (session.created_at_ms, session.token_sha256),
        )
        over = [session for session in own if session.expires_at_ms <= now_ms]
        live = [session for session in own if session.expires_at_ms > now_ms]
        over += live[: max(0, len(live) + 1 - SESSIONS_MAX)]
        for session in over:
            self._drop(decision, session)
        opened = SessionRow(
            token_sha256=opening.token_sha256,
            user=row.name,
            created_at_ms=now_ms,
            expires_at_ms=now_ms + round(opening.expires_in_s * 1000),
            address=opening.address[:100],
        )
        sessions[opened.token_sha256] = opened
        decision.ops.append(PutSession(opened))
        decision.changed(f"user/{row.name}", None, opened)
        return SessionOpened(user=row.name, expires_at_ms=opened.expires_at_ms)

    def close_session(self, decision: Decision, command: Envelope, closing: CloseSession) -> SessionClosed:
        """A person signs out."""
        session = self._state.sessions.get(closing.token_sha256)
        if session is None:
            return SessionClosed(user="")
        self._drop(decision, session)
        decision.changed(f"user/{session.user}", session, None)
        return SessionClosed(user=session.user)

    def _live(self, name: str) -> UserRow:
        row = self._state.users.get(name)
        if row is None or row.removed_at_ms is not None:
            live = [user.name for user in self._state.users.values() if user.removed_at_ms is None]
            raise NotFoundError(f"there is no user {name[:80]!r}: {did_you_mean(name, live)}")
        return row

    def _keep_an_admin(self, row: UserRow) -> None:
        admins = sum(user.role == ADMIN and user.removed_at_ms is None for user in self._state.users.values())
        if row.role == ADMIN and admins == 1:
            raise UserError(f"{row.name} is the last admin: make another one first", code="last_admin")

    def _end_sessions(self, decision: Decision, user: str) -> int:
        own = [session for session in self._state.sessions.values() if session.user == user]
        for session in own:
            self._drop(decision, session)
        return len(own)

    def _put(self, decision: Decision, known: UserRow | None, row: UserRow) -> None:
        self._state.users[row.name] = row
        decision.ops.append(PutUser(row))
        decision.changed(f"user/{row.name}", known, row)

    def _drop(self, decision: Decision, session: SessionRow) -> None:
        del self._state.sessions[session.token_sha256]
        decision.ops.append(DropSession(session.token_sha256))


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise UserError(f"there is no role {role[:40]!r}: {', '.join(ROLES)} are", code="bad_role")


def _check_hash(password_hash: str) -> None:
    if _HASH.fullmatch(password_hash) is None:
        raise UserError("password_hash is no Argon2id hash in the PHC format", code="bad_password_hash")
