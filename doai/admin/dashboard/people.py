"""People and tokens: who may sign in and which programs may speak, for admins (steps 1 and 2)."""

from __future__ import annotations

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from doai.admin.access import ADMIN
from doai.admin.dashboard.settings import show
from doai.admin.dashboard.visit import PageRequest, Visiting, back, changing
from doai.admin.passwords import make_password
from doai.admin.problems import CommandRefused
from doai.admin.routes.users import add_user
from doai.messages.commands import RevokeToken
from doai.messages.people import RemoveUser, SetPassword, SetRole


@get("/people", opt={"needs": ADMIN}, status_code=303)
async def list_page() -> Redirect:
    """They are among the settings; who was removed is in the audit."""
    return Redirect("/settings#people", status_code=303)


@post("/people", opt={"needs": ADMIN}, status_code=200)
async def add(request: PageRequest, visit: Visiting) -> Response[str]:
    """Let a person in: the password is in this answer and nowhere else."""
    fields = await changing(request)
    name, password = fields.get("name", "").strip()[:63], make_password()
    try:
        await add_user(visit.services, visit.caller, name, fields.get("role", ""), password)
    except CommandRefused as refused:
        return await show(visit, problem=str(refused), status=422)
    return await show(visit, made=name, password=password)


@post("/people/{name:str}/reset", opt={"needs": ADMIN}, status_code=200)
async def reset(name: FromPath[str], request: PageRequest, visit: Visiting) -> Response[str]:
    """Give a person another password: it is in this answer and nowhere else."""
    await changing(request)
    password = make_password()
    command = SetPassword(name=name, password_hash=await visit.services.passwords.hash(password))
    await visit.services.command_of(visit.caller, command, f"user/{name[:63]}")
    return await show(visit, made=name, password=password)


@post("/people/{name:str}/role", opt={"needs": ADMIN}, status_code=303)
async def set_role(name: FromPath[str], request: PageRequest, visit: Visiting) -> Redirect:
    """Give a person another role."""
    fields = await changing(request)
    command = SetRole(name=name, role=fields.get("role", ""))
    await visit.services.command_of(visit.caller, command, f"user/{name[:63]}")
    return back(request, {}, "/settings", "people_role")


@post("/people/{name:str}/remove", opt={"needs": ADMIN}, status_code=303)
async def remove(name: FromPath[str], request: PageRequest, visit: Visiting) -> Redirect:
    """Let a person in no more."""
    await changing(request)
    await visit.services.command_of(visit.caller, RemoveUser(name=name), f"user/{name[:63]}")
    return back(request, {}, "/settings", "people_remove")


@post("/tokens/{name:str}/revoke", opt={"needs": ADMIN}, status_code=303)
async def revoke(name: FromPath[str], request: PageRequest, visit: Visiting) -> Redirect:
    """Accept a token no more."""
    await changing(request)
    await visit.services.command_of(visit.caller, RevokeToken(name=name), f"token/{name[:63]}")
    return back(request, {}, "/settings", "people_revoke")


PAGES = (list_page, add, reset, set_role, remove, revoke)
