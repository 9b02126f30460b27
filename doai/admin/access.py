"""Who asks over HTTP: API tokens, people with a session, nodes with the secret of their uploads (steps 1, 10)."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from doai.admin.authorisation import ADMIN, AUTHOR, DISCARD, OPERATOR, VIEWER, Answer, decide, least_role
from doai.admin.beliefs import Beliefs
from doai.admin.sessions import COOKIE, CSRF_HEADER, csrf_matches
from doai.changes.rows import KeyRow, TokenRow
from doai.envelope import Origin
from doai.errors import StoreUnavailable, UserError
from doai.ids import PERSON
from doai.messages.link import Role
from doai.store.reader import StoreReader

__all__ = ["ADMIN", "AUTHOR", "DISCARD", "OPERATOR", "VIEWER"]

TOKEN_PREFIX: Final = "doai_"  # noqa: S105 - how tokens begin, so that scanners of leaked secrets know one
TOKEN_KEPT_S: Final = 2.0
"""A token that was looked up is believed this long; what is changed here counts at once."""

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, so that another site gains nothing by making a browser send them."""


class Caller(msgspec.Struct, frozen=True):
    """Who sent a request, as far as it is proven."""

    name: str
    role: str
    interface: str
    """``cli`` for our command line, ``dashboard`` for a person's browser, else ``http``; told with each command."""
    address: str = ""
    """Network address from which the request came."""
    token: str = ""
    """Name of the API token; empty = a person with a session."""

    @property
    def actor(self) -> str:
        """How events name the caller."""
        return f"{PERSON}/{self.name}"

    @property
    def origin(self) -> Origin:
        """How the audit names the caller's right and place."""
        return Origin(role=self.role, token=self.token, address=self.address)


class NotAuthenticated(UserError):
    """No token, or one that nobody knows: 401."""

    code = "unauthorized"


class Forbidden(UserError):
    """Known, and not allowed: 403."""

    code = "forbidden"


class Tokens:
    """Looks tokens up by their hash in the store."""

    def __init__(
        self,
        reader: StoreReader,
        monotonic: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._reader = reader
        self._now_s = now_s
        self.known: Beliefs[str, TokenRow] = Beliefs(TOKEN_KEPT_S, monotonic=monotonic)

    async def find(self, token: str) -> TokenRow | None:
        """Return the live token, None for one that is unknown, revoked or over."""
        digest = sha256_hex(token)

        async def look_up() -> TokenRow | None:
            row = await self._reader.token(digest)
            return row if row is not None and self._is_live(row) else None

        row = await self.known.find(digest, look_up)
        return row if row is not None and self._is_live(row) else None

    def forget(self, name: str) -> None:
        """The token of this name has changed: look it up again."""
        self.known.forget(lambda row: row.name == name)

    def _is_live(self, row: TokenRow) -> bool:
        over = row.expires_at_ms is not None and row.expires_at_ms <= self._now_s() * 1000
        return row.revoked_at_ms is None and not over


def sha256_hex(secret: str) -> str:
    """Return the form in which secrets are stored; they are long and random, so one hash is enough."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


async def require_token(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard of every operation: a live token or session whose role may do what the operation's ``needs`` says.

    An operation that says nothing needs an admin, so that nothing is open by default.
    """
    action = str(handler.opt.get("needs", ADMIN))
    scheme, _, token = connection.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        caller, scopes = await _caller_of_token(connection, token.strip())
        part = "-".join(str(next(iter(getattr(handler, "tags", None) or ()), "")).split())
        if scopes and part not in scopes:
            raise Forbidden(f"token {caller.name} opens {', '.join(scopes)} only, and this is of {part}")
    else:
        caller = await _caller_of_session(connection)
    allow(caller, action)
    connection.scope["auth"] = caller


async def while_let_in(
    request: Request[Any, Any, Any],
    blocks: AsyncGenerator[bytes, None],
    monotonic: Callable[[], float] = time.monotonic,
) -> AsyncGenerator[bytes, None]:
    """Yield a stream's blocks, and end before the first that whoever asked may not have any more."""
    services: Any = request.app.state.services
    tokens, sessions = services.tokens.known, services.sessions.known
    until_s, forgotten = monotonic() + TOKEN_KEPT_S, (tokens.forgotten, sessions.forgotten)
    async with aclosing(blocks):
        async for block in blocks:
            if monotonic() >= until_s or forgotten != (tokens.forgotten, sessions.forgotten):
                until_s, forgotten = monotonic() + TOKEN_KEPT_S, (tokens.forgotten, sessions.forgotten)
                try:
                    await require_token(request, request.route_handler)
                except (NotAuthenticated, Forbidden, StoreUnavailable):
                    return  # the client connects again and is told why
            yield block


def allow(caller: Caller, action: str) -> Answer:
    """Return the answer of the table; raises Forbidden when it is no.

    Where it is yes after a confirmation, the broker asks for that: nothing is done without.
    """
    answer = decide(action, caller.role)
    if answer is Answer.DENY:
        kind = "token" if caller.token else "user"
        raise Forbidden(f"{kind} {caller.name} has the role {caller.role}, and this needs {least_role(action)}")
    return answer


async def _caller_of_token(
    connection: ASGIConnection[Any, Any, Any, Any], token: str
) -> tuple[Caller, tuple[str, ...]]:
    tokens: Tokens = connection.app.state.services.tokens
    row = await tokens.find(token)
    if row is None:
        raise NotAuthenticated("this token is not accepted: it is unknown, over or revoked, ask for another one")
    agent = connection.headers.get("User-Agent", "")
    interface = "cli" if agent.startswith("doai-cli") else "http"
    return Caller(row.name, row.role, interface, address_of(connection), row.name), tuple(row.scopes.split())


async def _caller_of_session(connection: ASGIConnection[Any, Any, Any, Any]) -> Caller:
    cookie = connection.cookies.get(COOKIE, "")
    if not cookie:
        raise NotAuthenticated(
            "a token is needed: send it as 'Authorization: Bearer TOKEN'; `doai up` made the first one"
        )
    caller = await person(connection)
    if caller is None:
        raise NotAuthenticated("this session is over: sign in again at /login")
    if connection.scope.get("method") not in _SAFE and not csrf_matches(
        cookie, connection.headers.get(CSRF_HEADER, "")
    ):
        raise Forbidden(f"a change from a browser needs the header {CSRF_HEADER} of its page")
    return caller


async def person(connection: ASGIConnection[Any, Any, Any, Any]) -> Caller | None:
    """Return the person whose browser this is; None when nobody is signed in there."""
    cookie = connection.cookies.get(COOKIE, "")
    found = await connection.app.state.services.sessions.find(cookie) if cookie else None
    if found is None:
        return None
    _, user = found
    return Caller(user.name, user.role, "dashboard", address_of(connection))


def address_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Return the network address of whoever sent a request; empty when the server does not know it."""
    return connection.client.host if connection.client is not None else ""


async def check_node(reader: StoreReader, node_id: str, secret: str) -> KeyRow:
    """Return the node's key row when the secret of its uploads is right; raises NotAuthenticated."""
    row = await _row_of(reader, node_id, secret, Role.NODE)
    if row is None:
        raise NotAuthenticated(
            "X-Node-Id and X-Node-Auth are not those of a node with a live key: compare the node's secret with "
            "the one that `doai keys add` answered"
        )
    return row


async def check_bot(reader: StoreReader, name: str, secret: str) -> KeyRow:
    """Return the bot's key row when its secret is right; raises NotAuthenticated."""
    row = await _row_of(reader, name, secret, Role.BOT)
    if row is None:
        raise NotAuthenticated(
            f"X-Bot-Auth is not that of a bot {name[:63]} with a live key: compare the bot's secret with the one "
            "that `doai bots enroll` wrote, or `doai keys add --role bot` answered"
        )
    return row


async def _row_of(reader: StoreReader, name: str, secret: str, role: Role) -> KeyRow | None:
    row = await reader.key(name) if name and secret else None
    # A node that changes its key has two until the new one is used.
    known = (row.secret_sha256, row.next_secret_sha256) if row is not None else ("", "")
    # Compared even when there is nothing to compare with: the time tells nobody which peers exist.
    same = [hmac.compare_digest(sha256_hex(secret), one or "0" * 64) and bool(one) for one in known]
    is_live = row is not None and any(same) and row.revoked_at_ms is None and row.role == role.value
    return row if is_live else None
