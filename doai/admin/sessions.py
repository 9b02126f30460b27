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

from doai.admin.beliefs import Beliefs
from doai.changes.people import SessionRow, UserRow
from doai.store.reader import StoreReader

COOKIE: Final = "doai_session"
SESSION_S: Final = 7 * 24 * 3600.0
"""A wall screen is looked at every week."""
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "X-CSRF-Token"
SESSION_KEPT_S: Final = 2.0
"""A session that was looked up is believed this long; what is changed here counts at once."""


class Sessions:
    """Looks sessions up by the hash of their cookie in the store."""

    def __init__(
        self,
        reader: StoreReader,
        now_s: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._now_s = now_s
        self.known: Beliefs[str, tuple[SessionRow, UserRow]] = Beliefs(SESSION_KEPT_S, monotonic=monotonic)

    async def find(self, cookie: str) -> tuple[SessionRow, UserRow] | None:
        """Return the live session and its user; None for one that is unknown, over, or of a removed user."""
        digest = hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).hexdigest()
        found = await self.known.find(digest, lambda: self._reader.people.session(digest))
        if found is None:
            return None
        session, user = found
        if session.expires_at_ms <= self._now_s() * 1000 or user.removed_at_ms is not None:
            return None
        return session, user

    def forget_user(self, name: str) -> None:
        """What this user is or knows, or one of the user's sessions, has changed: look each session up again."""
        self.known.forget(lambda found: found[1].name == name)

    def forget_session(self, token_sha256: str) -> None:
        """A session was ended: believe it no more."""
        self.known.forget(lambda found: found[0].token_sha256 == token_sha256)


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
