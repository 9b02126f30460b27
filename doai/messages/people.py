"""Payloads of the commands about people who sign in, and of their answers (step 2)."""

from __future__ import annotations

from doai.envelope import Message

CREATE_USER = "user.create"
SET_PASSWORD = "user.set_password"  # noqa: S105 - the name of a command
SET_ROLE = "user.set_role"
REMOVE_USER = "user.remove"
OPEN_SESSION = "session.open"
CLOSE_SESSION = "session.close"


class CreateUser(Message, frozen=True, kw_only=True):
    """Let a person sign in. Answer: UserKept; a removed name may be given anew."""

    name: str
    role: str
    """viewer, operator, author or admin."""
    password_hash: str
    """Argon2id in the PHC format; the password itself is never sent here."""


class SetPassword(Message, frozen=True, kw_only=True):
    """Give a user another password; all of the user's sessions end. Answer: UserKept."""

    name: str
    password_hash: str


class SetRole(Message, frozen=True, kw_only=True):
    """Give a user another role; it counts for sessions that are open, too. Answer: UserKept."""

    name: str
    role: str


class RemoveUser(Message, frozen=True, kw_only=True):
    """A person may sign in no more, and all of the user's sessions end. Answer: UserKept."""

    name: str


class UserKept(Message, frozen=True, kw_only=True):
    """Answer to the commands about users."""

    name: str
    sessions_ended: int = 0


class OpenSession(Message, frozen=True, kw_only=True):
    """A person has proven who it is to the admin. Answer: SessionOpened."""

    user: str
    token_sha256: str
    """Of the cookie, which only the browser has (hexadecimal)."""
    expires_in_s: float
    address: str = ""
    password_hash: str = ""
    """The one that was checked: the session is refused when the password was changed meanwhile."""


class SessionOpened(Message, frozen=True, kw_only=True):
    """Answer to OpenSession."""

    user: str
    expires_at_ms: int


class CloseSession(Message, frozen=True, kw_only=True):
    """A person signs out. Answer: SessionClosed; closing twice is no mistake."""

    token_sha256: str


class SessionClosed(Message, frozen=True, kw_only=True):
    """Answer to CloseSession."""

    user: str
    """Empty: it had ended already."""
