"""Nodes that join with a one-time token; secrets are made here or on the node, and told once (step 2)."""

from __future__ import annotations

import secrets
from typing import Annotated, Final, Literal

import msgspec
from litestar import Response, get, post
from litestar.openapi.spec import Example
from litestar.params import Body

from doai.admin import examples
from doai.admin.access import ADMIN, address_of, sha256_hex
from doai.admin.routes.parameters import AnyRequest, Cursor, Given, Limit, Text, Who, named, now_ms, part
from doai.admin.routes.secrets import shared_adb_key
from doai.admin.views import View
from doai.changes.rows import EnrolmentRow
from doai.enrolment_token import EnrolmentToken, key_sha256, write_token
from doai.envelope import Origin
from doai.errors import UserError
from doai.messages.enrolment import EnrolNodes, JoinNode, NewEnrolment, NodeAccepted, NodesEnrolled
from doai.messages.link import Role
from doai.tls import is_http_url
from doai.wire.keys import load_public_key

EXPIRES_IN_S: Final = 24 * 3600.0
"""A day: whoever prints tokens in the evening walks along the shelves in the morning."""
EnrolmentState = Literal["open", "used", "expired", "revoked"]


class Enrolling(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nodes to enroll."""

    names: Annotated[list[str], msgspec.Meta(min_length=1, max_length=500)]
    expires_in_s: float = EXPIRES_IN_S
    rotate: bool = False
    """For nodes that have joined: the old key stays until the new one is in use."""
    url: str = ""
    """Address of this API as the nodes reach it; empty = the admin's `public_url`, or as this request came."""


class Enrolled(View, frozen=True, kw_only=True):
    """A token, told only now."""

    name: str
    token: str


class EnrolledNodes(View, frozen=True, kw_only=True):
    """One token a node; each lets one host join, once, until it expires."""

    items: list[Enrolled]
    url: str
    expires_at_ms: int


class EnrolmentJson(View, frozen=True, kw_only=True):
    """The newest enrolment of a node, without its token."""

    name: str
    state: EnrolmentState
    created_at_ms: int
    created_by: str
    expires_at_ms: int
    used_at_ms: int | None
    revoked_at_ms: int | None


class EnrolmentPage(View, frozen=True, kw_only=True):
    """Part of the enrolments, by name."""

    items: list[EnrolmentJson]
    next: str | None


class Joining(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a host shows."""

    token: str
    """The secret part of its token."""
    public_key: str
    """Z85, 40 characters; the host keeps the private key."""
    secret_sha256: str
    """Hash of the secret that the host made for its requests here (hexadecimal)."""


class Joined(View, frozen=True, kw_only=True):
    """What the host's configuration needs."""

    name: str
    broker_public_key: str
    broker_endpoint: str
    rotation: bool
    """It had a key before: that one ends when the new one is used."""
    adb_key: str
    """Private adb key that all nodes share, in PEM; empty = each host has its own."""


_TOKEN = "doai-join-eyJuYW1l...(about 300 characters)"  # noqa: S105 - an example
_ENROLLED = EnrolledNodes(
    items=[Enrolled(name="shelf-01", token=_TOKEN)],
    url="https://10.0.0.5:7700",
    expires_at_ms=examples.AT_MS + 86_400_000,
)
_ENROLMENT = EnrolmentJson(
    name="shelf-01",
    state="open",
    created_at_ms=examples.AT_MS,
    created_by="user/first",
    expires_at_ms=examples.AT_MS + 86_400_000,
    used_at_ms=None,
    revoked_at_ms=None,
)
_JOINING = {"token": "kZ2...(43 characters)", "publicKey": examples.PUBLIC_KEY, "secretSha256": examples.SHA256}
_JOINED = Joined(
    name="shelf-01",
    broker_public_key=examples.PUBLIC_KEY,
    broker_endpoint="tcp://10.0.0.5:7701",
    rotation=False,
    adb_key="",
)


@post(
    "/enrolments",
    opt={"needs": ADMIN},
    tags=["access"],
    summary="Make one-time tokens with which nodes join",
    responses=examples.answer(201, EnrolledNodes, _ENROLLED, "The tokens, told only now.", problems=(409, 422)),
)
async def enrol_nodes(
    data: Annotated[Enrolling, Body(examples=[Example(value={"names": ["shelf-01"], "expiresInS": 86_400})])],
    request: AnyRequest,
    services: Given,
    caller: Who,
) -> Response[EnrolledNodes]:
    """All of them or none; a node that was enrolled and has not joined gets a new token for the old one."""
    url = (data.url or services.public_url or str(request.base_url)).rstrip("/")
    if not is_http_url(url):
        raise UserError(f"url can not be {url[:200]!r}: write https://HOST:PORT", code="bad_request")
    broker_key = load_public_key(services.broker_key_path)
    made = {name: secrets.token_urlsafe(32) for name in data.names}
    nodes = [NewEnrolment(name=name, token_sha256=sha256_hex(made[name])) for name in data.names]
    command = EnrolNodes(nodes=nodes, expires_in_s=data.expires_in_s, rotate=data.rotate)
    done = await services.command_of(caller, command, f"node/{data.names[0][:63]}")
    enrolled: NodesEnrolled = done.result
    items = [
        Enrolled(
            name=name,
            token=write_token(
                EnrolmentToken(
                    name=name,
                    url=url,
                    secret=secret,
                    broker_sha256=key_sha256(broker_key),
                    tls_sha256=services.fingerprint if url.startswith("https:") else "",
                )
            ),
        )
        for name, secret in made.items()
    ]
    answer = EnrolledNodes(items=items, url=url, expires_at_ms=enrolled.expires_at_ms)
    return Response(answer, status_code=201, headers={**done.headers, "Cache-Control": "no-store"})


@get(
    "/enrolments",
    opt={"needs": ADMIN},
    tags=["access"],
    summary="List which nodes were enrolled",
    responses=examples.answer(
        200, EnrolmentPage, EnrolmentPage(items=[_ENROLMENT], next=None), "A page of enrolments."
    ),
)
async def list_enrolments(
    services: Given, text: Text = "", cursor: Cursor = None, limit: Limit = 500
) -> EnrolmentPage:
    """The newest of each node; what its token is, is not known here."""
    rows, following = part(named(await services.reader.enrolments(), _name, text), _name, cursor, limit)
    return EnrolmentPage(items=[_json(row, now_ms()) for row in rows], next=following)


def _name(row: EnrolmentRow) -> str:
    return row.name


def _json(row: EnrolmentRow, at_ms: int) -> EnrolmentJson:
    fields = msgspec.structs.asdict(row)
    del fields["token_sha256"]
    return EnrolmentJson(state=_state(row, at_ms), **fields)


def _state(row: EnrolmentRow, at_ms: int) -> EnrolmentState:
    if row.used_at_ms is not None:
        return "used"
    if row.revoked_at_ms is not None:
        return "revoked"
    return "open" if at_ms < row.expires_at_ms else "expired"


@post(
    "/api/v1/join",
    status_code=200,
    tags=["access"],
    summary="Join as a node, with a token (hosts only)",
    security=[{}],
    responses=examples.answer(200, Joined, _JOINED, "The host may connect.", problems=(409, 422)),
)
async def join(
    data: Annotated[Joining, Body(examples=[Example(value=_JOINING)])], services: Given, request: AnyRequest
) -> Response[Joined]:
    """The same host may ask again: the answer to its first request may have been lost."""
    command = JoinNode(
        token_sha256=sha256_hex(data.token), public_key=data.public_key, secret_sha256=data.secret_sha256
    )
    origin = Origin(role=Role.NODE.value, address=address_of(request))
    done = await services.command(command, "node/joining", actor="node/joining", interface="http", origin=origin)
    accepted: NodeAccepted = done.result
    answer = Joined(
        name=accepted.name,
        broker_public_key=load_public_key(services.broker_key_path),
        broker_endpoint=services.broker_endpoint,
        rotation=accepted.rotation,
        adb_key=await shared_adb_key(services),
    )
    return Response(answer, headers={**done.headers, "Cache-Control": "no-store"})
