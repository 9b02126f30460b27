"""Sessions of people: a cookie that only the browser has, looked up by its hash; what proves a form (step 1)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie

from doai.changes.people import SessionRow, UserRow
from doai.store.reader import StoreReader

COOKIE: Final = "doai_session"
SESSION_S: Final = 7 * 24 * 3600.0
"""A wall screen is looked at every week."""
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "X-CSRF-Token"
SESSION_KEPT_S: Final = 2.0
"""A session that was looked up is believed this long: so soon one that was ended stops."""
SESSIONS_KEPT_MAX: Final = 1024


class Sessions:
    """Looks sessions up by the hash of their cookie in the store."""

    def __init__(self, reader: StoreReader, now_s: Callable[[], float] = time.time) -> None:
        self._reader = reader
        self._now_s = now_s
        self._known: dict[str, tuple[float, SessionRow, UserRow]] = {}

    async def find(self, cookie: str) -> tuple[SessionRow, UserRow] | None:
        """Return the live session and its user; None for one that is unknown, over, or of a removed user."""
        digest = hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).hexdigest()
        now_s = self._now_s()
        kept = self._known.get(digest)
        if kept is None or now_s >= kept[0]:
            found = await self._reader.people.session(digest)
            if found is None:
                self._known.pop(digest, None)
                return None
            if len(self._known) >= SESSIONS_KEPT_MAX:
                self._known.clear()
            kept = self._known[digest] = (now_s + SESSION_KEPT_S, *found)
        _, session, user = kept
        if session.expires_at_ms <= now_s * 1000 or user.removed_at_ms is not None:
            return None
        return session, user

    def forget(self, cookie: str) -> None:
        """The session of this browser was ended: believe it no more."""
        self._known.pop(hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).hexdigest(), None)

    def forget_user(self, name: str) -> None:
        """What this user is or knows has changed: look each session up again."""
        for digest in [digest for digest, (_, _, user) in self._known.items() if user.name == name]:
            del self._known[digest]


def make_session() -> str:
    """Return a new cookie: 256 random bits."""
    return secrets.token_urlsafe(32)


def csrf_token(cookie: str) -> str:
    """Return what forms of this session carry: it can be made from the cookie alone, and the cookie not from it."""
    return hmac.new(cookie.encode("utf-8", "surrogateescape"), b"doai csrf", "sha256").hexdigest()


def csrf_matches(cookie: str, given: str) -> bool:
    """Whether a form or a header came from a page of this session."""
    return hmac.compare_digest(csrf_token(cookie).encode(), given.encode("utf-8", "surrogateescape"))


def is_secure(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether the browser speaks TLS, so that the cookie may be sent over nothing else."""
    return connection.url.scheme == "https"


def session_cookie(value: str, *, secure: bool) -> Cookie:
    """Return the cookie of a session: for no script, and for no request that another site makes but a link."""
    return Cookie(key=COOKIE, value=value, max_age=int(SESSION_S), secure=secure, httponly=True, samesite="lax")
