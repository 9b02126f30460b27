"""Keys of the mesh and tokens of the API; secrets are made here, told once, and stored only hashed (step 2)."""

from __future__ import annotations

import secrets
from typing import Annotated, Literal

from litestar import Response, delete, get, post
from litestar.openapi.spec import Example
from litestar.params import Body, FromPath, QueryParameter

from doai.admin import examples
from doai.admin.access import ADMIN, TOKEN_PREFIX, sha256_hex
from doai.admin.pages import KeyPage, TokenPage
from doai.admin.routes.parameters import Cursor, Given, Limit, Live, OfRole, Text, Who, named, now_ms, part
from doai.admin.translation import key_json, token_json
from doai.admin.views import View
from doai.changes.rows import TokenRow
from doai.messages.commands import AddKey, AddToken, KeyAdded, RevokeKey, RevokeToken, TokenAdded
from doai.messages.link import Role
from doai.wire.keys import load_public_key


class NewKey(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to accept."""

    name: str
    role: Literal["node", "bot", "admin"] = "node"
    public_key: str
    """Z85, 40 characters: the one line of the .pub file."""


class AddedKey(View, frozen=True, kw_only=True):
    """What the peer's configuration needs."""

    name: str
    secret: str
    """Of the node's uploads, or of the bot's secrets, told only now; empty for other roles."""
    broker_public_key: str
    broker_endpoint: str


class NewToken(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token to make."""

    name: str
    role: Literal["viewer", "operator", "author", "admin"]
    scopes: list[str] = []
    """Parts of the API that it opens, as its tags name them; empty = all of it."""
    expires_in_s: float | None = None
    """null = it does not end by itself."""


class AddedToken(View, frozen=True, kw_only=True):
    """A token, told only now."""

    name: str
    role: str
    token: str


_ADDED_KEY = AddedKey(
    name="node-1",
    secret="kZ2...(43 characters)",  # noqa: S106 - an example
    broker_public_key=examples.PUBLIC_KEY,
    broker_endpoint="tcp://10.0.0.5:7701",
)
_NEW_TOKEN = {"name": "ci", "role": "operator", "scopes": ["runs"], "expiresInS": 86400}
_ADDED_TOKEN = AddedToken(name="ci", role="operator", token="doai_...(43 characters)")  # noqa: S106


@get(
    "/keys",
    opt={"needs": ADMIN},
    tags=["access"],
    summary="List the keys of the mesh",
    responses=examples.answer(200, KeyPage, KeyPage(items=[examples.KEY], next=None), "A page of keys."),
)
async def list_keys(
    services: Given,
    role: Annotated[Role | None, QueryParameter(description="what its bearer is")] = None,
    live: Live = None,
    text: Text = "",
    cursor: Cursor = None,
    limit: Limit = 500,
) -> KeyPage:
    """Revoked ones too; all given filters hold."""
    rows = named(await services.reader.keys(), lambda row: row.name, text)
    rows = [
        row
        for row in rows
        if (role is None or row.role == role.value) and live in (None, row.revoked_at_ms is None)
    ]
    items, following = part(rows, lambda row: row.name, cursor, limit)
    return KeyPage(items=[key_json(row) for row in items], next=following)


@post(
    "/keys",
    opt={"needs": ADMIN},
    tags=["access"],
    summary="Accept a key under a name",
    responses=examples.answer(201, AddedKey, _ADDED_KEY, "It may connect now.", problems=(409, 422)),
)
async def add_key(
    data: Annotated[
        NewKey,
        Body(examples=[Example(value={"name": "node-1", "role": "node", "publicKey": examples.PUBLIC_KEY})]),
    ],
    services: Given,
    caller: Who,
) -> Response[AddedKey]:
    """The same name with the same key again gives a new secret; the one before stops."""
    broker_public_key = load_public_key(services.broker_key_path)
    secret = secrets.token_urlsafe(32) if data.role in (Role.NODE.value, Role.BOT.value) else ""
    command = AddKey(
        name=data.name,
        role=data.role,
        public_key=data.public_key,
        secret_sha256=sha256_hex(secret) if secret else "",
    )
    done = await services.command_of(caller, command, f"key/{data.name[:63]}")
    answer = AddedKey(
        name=data.name,
        secret=secret,
        broker_public_key=broker_public_key,
        broker_endpoint=services.broker_endpoint,
    )
    return Response(answer, status_code=201, headers=done.headers)


@delete(
    "/keys/{name:str}",
    status_code=200,
    opt={"needs": ADMIN},
    tags=["access"],
    summary="Accept a key no more",
    responses=examples.answer(200, KeyAdded, KeyAdded(name="node-1"), "It is revoked.", problems=(404, 409)),
)
async def revoke_key(name: FromPath[str], services: Given, caller: Who) -> Response[KeyAdded]:
    """A peer that is connected with it is cut off."""
    done = await services.command_of(caller, RevokeKey(name=name), f"key/{name[:63]}")
    return Response(done.result, headers=done.headers)


@get(
    "/tokens",
    opt={"needs": ADMIN},
    tags=["access"],
    summary="List the tokens of the API",
    responses=examples.answer(200, TokenPage, TokenPage(items=[examples.TOKEN], next=None), "A page of tokens."),
)
async def list_tokens(
    services: Given,
    role: OfRole = None,
    live: Live = None,
    text: Text = "",
    cursor: Cursor = None,
    limit: Limit = 500,
) -> TokenPage:
    """Revoked ones too; what they are is not known here. All given filters hold."""
    rows = named(await services.reader.tokens(), lambda row: row.name, text)
    at_ms = now_ms()
    rows = [row for row in rows if role in (None, row.role) and live in (None, _holds(row, at_ms))]
    items, following = part(rows, lambda row: row.name, cursor, limit)
    return TokenPage(items=[token_json(row) for row in items], next=following)


def _holds(row: TokenRow, at_ms: int) -> bool:
    return row.revoked_at_ms is None and (row.expires_at_ms is None or row.expires_at_ms > at_ms)


@post(
    "/tokens",
    opt={"needs": ADMIN},
    tags=["access"],
    summary="Make a token",
    responses=examples.answer(201, AddedToken, _ADDED_TOKEN, "It opens the API now.", problems=(409, 422)),
)
async def add_token(
    data: Annotated[NewToken, Body(examples=[Example(value=_NEW_TOKEN)])],
    services: Given,
    caller: Who,
) -> Response[AddedToken]:
    """Viewers read, operators also run and cancel, authors also decide what is right, admins also who may."""
    token = make_token()
    command = AddToken(
        name=data.name,
        role=data.role,
        token_sha256=sha256_hex(token),
        scopes=data.scopes,
        expires_in_s=data.expires_in_s,
    )
    done = await services.command_of(caller, command, f"token/{data.name[:63]}")
    answer = AddedToken(name=data.name, role=data.role, token=token)
    return Response(answer, status_code=201, headers=done.headers)


@delete(
    "/tokens/{name:str}",
    status_code=200,
    opt={"needs": ADMIN},
    tags=["access"],
    summary="Accept a token no more",
    responses=examples.answer(200, TokenAdded, TokenAdded(name="ci"), "It is revoked.", problems=(404, 409)),
)
async def revoke_token(name: FromPath[str], services: Given, caller: Who) -> Response[TokenAdded]:
    """It stops at once, and so do the streams that it opened."""
    done = await services.command_of(caller, RevokeToken(name=name), f"token/{name[:63]}")
    return Response(done.result, headers=done.headers)


def make_token() -> str:
    """Return a new token: a prefix by which leaked ones are recognised, and 256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)
