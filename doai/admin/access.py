"""Who may do what over HTTP: API tokens with roles, and nodes with the secret of their uploads (steps 1, 10)."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from doai.changes.rows import KeyRow, TokenRow
from doai.envelope import Origin
from doai.errors import UserError
from doai.messages.link import Role
from doai.store.reader import StoreReader

TOKEN_PREFIX: Final = "doai_"  # noqa: S105 - how tokens begin, so that scanners of leaked secrets know one
TOKEN_KEPT_S: Final = 2.0
"""A token that was looked up is believed this long: so soon a revoked one stops."""
TOKENS_KEPT_MAX: Final = 1024

VIEWER: Final = "viewer"
OPERATOR: Final = "operator"
ADMIN: Final = "admin"
_MAY: Final = {VIEWER: 1, OPERATOR: 2, ADMIN: 3}
"""A role may do what those below it may."""


class Caller(msgspec.Struct, frozen=True):
    """Who sent a request, as far as it is proven."""

    name: str
    role: str
    interface: str
    """``cli`` for our command line, else ``http``; told to the broker with each command."""
    address: str = ""
    """Network address from which the request came."""

    @property
    def actor(self) -> str:
        """How events name the caller."""
        return f"user/{self.name}"

    @property
    def origin(self) -> Origin:
        """How the audit names the caller's right and place."""
        return Origin(role=self.role, token=self.name, address=self.address)


class NotAuthenticated(UserError):
    """No token, or one that nobody knows: 401."""

    code = "unauthorized"


class Forbidden(UserError):
    """Known, and not allowed: 403."""

    code = "forbidden"


class Tokens:
    """Looks tokens up by their hash in the store."""

    def __init__(self, reader: StoreReader, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._monotonic = monotonic
        self._known: dict[str, tuple[float, TokenRow]] = {}

    async def find(self, token: str) -> TokenRow | None:
        """Return the live token, None for one that is unknown or revoked."""
        digest = sha256_hex(token)
        now_s = self._monotonic()
        kept = self._known.get(digest)
        if kept is not None and now_s < kept[0]:
            return kept[1]
        row = await self._reader.token(digest)
        if row is None or row.revoked_at_ms is not None:
            self._known.pop(digest, None)
            return None
        if len(self._known) >= TOKENS_KEPT_MAX:
            self._known.clear()
        self._known[digest] = (now_s + TOKEN_KEPT_S, row)
        return row


def sha256_hex(secret: str) -> str:
    """Return the form in which secrets are stored; they are long and random, so one hash is enough."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


async def require_token(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard of every operation: a live token whose role may do what the operation's ``needs`` says.

    An operation that says nothing needs an admin, so that nothing is open by default.
    """
    needs = str(handler.opt.get("needs", ADMIN))
    scheme, _, token = connection.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticated(
            "a token is needed: send it as 'Authorization: Bearer TOKEN'; `doai up` made the first one"
        )
    tokens: Tokens = connection.app.state.services.tokens
    row = await tokens.find(token.strip())
    if row is None:
        raise NotAuthenticated("this token is not accepted: it is unknown or was revoked, ask for another one")
    if _MAY.get(row.role, 0) < _MAY[needs]:
        raise Forbidden(f"token {row.name} has the role {row.role}, and this needs {needs}")
    agent = connection.headers.get("User-Agent", "")
    interface = "cli" if agent.startswith("doai-cli") else "http"
    connection.scope["auth"] = Caller(row.name, row.role, interface, address_of(connection))


def address_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Return the network address of whoever sent a request; empty when the server does not know it."""
    return connection.client.host if connection.client is not None else ""


async def check_node(reader: StoreReader, node_id: str, secret: str) -> KeyRow:
    """Return the node's key row when the secret of its uploads is right; raises NotAuthenticated."""
    row = await reader.key(node_id) if node_id and secret else None
    # A node that changes its key has two until the new one is used.
    known = (row.secret_sha256, row.next_secret_sha256) if row is not None else ("", "")
    # Compared even when there is nothing to compare with: the time tells nobody which nodes exist.
    same = [hmac.compare_digest(sha256_hex(secret), one or "0" * 64) and bool(one) for one in known]
    if row is None or not any(same) or row.revoked_at_ms is not None or row.role != Role.NODE.value:
        raise NotAuthenticated(
            "X-Node-Id and X-Node-Auth are not those of a node with a live key: compare the node's secret with "
            "the one that `doai keys add` answered"
        )
    return row
