"""People who may sign in: list, create, change, remove them; passwords leave here only hashed (steps 1, 2)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from litestar import Response, delete, get, post, put
from litestar.openapi.spec import Example
from litestar.params import Body, FromPath

from doai.admin import examples
from doai.admin.access import ADMIN, VIEWER, Caller
from doai.admin.authorisation import TABLE, decide
from doai.admin.passwords import make_password
from doai.admin.routes.parameters import Cursor, Given, Limit, Live, OfRole, Text, Who, named, part
from doai.admin.services import Services
from doai.admin.views import View
from doai.changes.people import UserRow
from doai.messages.people import CreateUser, RemoveUser, SetPassword, SetRole, UserKept

Role = Literal["viewer", "operator", "author", "admin"]


class UserJson(View, frozen=True, kw_only=True):
    """A person who may sign in."""

    name: str
    role: str
    created_at_ms: int
    created_by: str
    password_at_ms: int
    """When the password was set."""
    removed_at_ms: int | None


class UserPage(View, frozen=True, kw_only=True):
    """Part of the users, by name."""

    items: list[UserJson]
    next: str | None


class NewUser(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person to let in."""

    name: str
    role: Role
    password: str = ""
    """10 to 200 characters; empty = one is made, and told once."""


class AddedUser(View, frozen=True, kw_only=True):
    """A user, and the password that was made, told only now; empty when it was given."""

    name: str
    role: str
    password: str


class NewPassword(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another password; empty = one is made, and told once."""

    password: str = ""


class NewRole(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another role."""

    role: Role


class ChangedPassword(View, frozen=True, kw_only=True):
    """The password that was made, told only now; empty when it was given."""

    name: str
    password: str
    sessions_ended: int


class Me(View, frozen=True, kw_only=True):
    """Who asks, and what the table of authorisation says to each action."""

    name: str
    role: str
    actions: dict[str, Annotated[str, msgspec.Meta(examples=["allow", "approval", "deny"])]]


_USER: Final = UserJson(
    name="ann",
    role="operator",
    created_at_ms=examples.AT_MS,
    created_by="user/first",
    password_at_ms=examples.AT_MS,
    removed_at_ms=None,
)
_ADDED: Final = AddedUser(name="ann", role="operator", password="kq7m-...")  # noqa: S106 - an example
_CHANGED: Final = ChangedPassword(name="ann", password="kq7m-...", sessions_ended=1)  # noqa: S106 - an example
_ME: Final = Me(name="ann", role="operator", actions={"viewer": "allow", "discard": "approval", "admin": "deny"})
_KEPT: Final = UserKept(name="ann", sessions_ended=1)


@get(
    "/users",
    opt={"needs": ADMIN},
    tags=["access"],
    summary="List the people who may sign in",
    responses=examples.answer(200, UserPage, UserPage(items=[_USER], next=None), "A page of users."),
)
async def list_users(
    services: Given,
    role: OfRole = None,
    live: Live = None,
    text: Text = "",
    cursor: Cursor = None,
    limit: Limit = 500,
) -> UserPage:
    """Removed ones too; all given filters hold."""
    rows = named(await services.reader.people.users(), lambda row: row.name, text)
    rows = [row for row in rows if role in (None, row.role) and live in (None, row.removed_at_ms is None)]
    items, following = part(rows, lambda row: row.name, cursor, limit)
    return UserPage(items=[user_json(row) for row in items], next=following)


@get(
    "/me",
    opt={"needs": VIEWER},
    tags=["access"],
    summary="Tell who asks, and what that may do",
    responses=examples.answer(200, Me, _ME, "You."),
)
async def show_me(caller: Who) -> Me:
    """``approval``: after a confirmation that tells how many things it touches."""
    return Me(name=caller.name, role=caller.role, actions={one: decide(one, caller.role).value for one in TABLE})


@post(
    "/users",
    opt={"needs": ADMIN},
    tags=["access"],
    summary="Let a person sign in",
    responses=examples.answer(201, AddedUser, _ADDED, "It may sign in now.", problems=(409, 422)),
)
async def create_user(
    data: Annotated[NewUser, Body(examples=[Example(value={"name": "ann", "role": "operator"})])],
    services: Given,
    caller: Who,
) -> Response[AddedUser]:
    """Without a password one is made; it is told in this answer and never again."""
    password = data.password or make_password()
    position = await add_user(services, caller, data.name, data.role, password)
    answer = AddedUser(name=data.name, role=data.role, password="" if data.password else password)
    return Response(answer, status_code=201, headers={"X-Doai-Position": str(position)})


@put(
    "/users/{name:str}/password",
    opt={"needs": ADMIN},
    tags=["access"],
    summary="Give a user another password",
    responses=examples.answer(200, ChangedPassword, _CHANGED, "It is set.", problems=(404, 422)),
)
async def set_password(
    name: FromPath[str],
    data: Annotated[NewPassword, Body(examples=[Example(value={})])],
    services: Given,
    caller: Who,
) -> Response[ChangedPassword]:
    """All sessions of the user end."""
    password = data.password or make_password()
    command = SetPassword(name=name, password_hash=await services.passwords.hash(password))
    done = await services.command_of(caller, command, f"user/{name[:63]}")
    answer = ChangedPassword(
        name=name, password="" if data.password else password, sessions_ended=done.result.sessions_ended
    )
    return Response(answer, headers=done.headers)


@put(
    "/users/{name:str}/role",
    opt={"needs": ADMIN},
    tags=["access"],
    summary="Give a user another role",
    responses=examples.answer(200, UserKept, _KEPT, "It is so.", problems=(404, 422)),
)
async def set_role(
    name: FromPath[str],
    data: Annotated[NewRole, Body(examples=[Example(value={"role": "author"})])],
    services: Given,
    caller: Who,
) -> Response[UserKept]:
    """It counts at once, in sessions that are open too. The last admin stays one."""
    done = await services.command_of(caller, SetRole(name=name, role=data.role), f"user/{name[:63]}")
    return Response(done.result, headers=done.headers)


@delete(
    "/users/{name:str}",
    status_code=200,
    opt={"needs": ADMIN},
    tags=["access"],
    summary="Let a person sign in no more",
    responses=examples.answer(200, UserKept, _KEPT, "It may sign in no more.", problems=(404, 422)),
)
async def remove_user(name: FromPath[str], services: Given, caller: Who) -> Response[UserKept]:
    """All sessions of the user end at once. The last admin stays."""
    done = await services.command_of(caller, RemoveUser(name=name), f"user/{name[:63]}")
    return Response(done.result, headers=done.headers)


async def add_user(services: Services, caller: Caller, name: str, role: str, password: str) -> int:
    """Let a person sign in; return the place of the event log behind which reads see it."""
    command = CreateUser(name=name, role=role, password_hash=await services.passwords.hash(password))
    done = await services.command_of(caller, command, f"user/{name[:63]}")
    return done.position


def user_json(row: UserRow) -> UserJson:
    """Return a user as the API shows it: without the hash of the password."""
    fields = msgspec.structs.asdict(row)
    del fields["password_hash"]
    return UserJson(**fields)
