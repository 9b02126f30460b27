"""Settings in one place: one's own, people, tokens, and who is told of what (steps 1, 2 and 14)."""

from __future__ import annotations

import logging
import time
from typing import Final

from litestar import Response, get, post
from litestar.response import Redirect

from doai.admin.access import ADMIN, OPERATOR, VIEWER, address_of, sha256_hex
from doai.admin.authorisation import ROLES
from doai.admin.dashboard.visit import PageRequest, Visit, Visiting, changing
from doai.admin.passwords import CHARACTERS_MAX, CHARACTERS_MIN
from doai.admin.problems import CommandRefused
from doai.admin.routes.keys import make_token
from doai.admin.routes.notifications import channels_of
from doai.admin.sessions import COOKIE
from doai.errors import UserError
from doai.messages.commands import AddToken
from doai.messages.people import SetPassword

DAYS: Final = ("7", "30", "90", "365", "")
"""After which a new token ends; empty = not by itself."""
DAY_S: Final = 24 * 3600.0

_log: Final = logging.getLogger(__name__)


@get("/settings", opt={"needs": VIEWER})
async def settings_page(visit: Visiting) -> Response[str]:
    """What a person may not do is not there."""
    return await show(visit)


@post("/settings/password", opt={"needs": VIEWER}, status_code=303)
async def set_own_password(request: PageRequest, visit: Visiting) -> Response[str] | Redirect:
    """Take another password of one's own: all sessions end, also this one."""
    fields = await changing(request)
    name, now, new = visit.caller.name, fields.get("now", ""), fields.get("new", "")
    address = address_of(request)
    wait_s = visit.services.logins.take(address, name, time.monotonic())
    if wait_s > 0:
        text = visit.words("login.slow", seconds=max(1, round(wait_s)))
        return await show(visit, password_problem=text, status=429)
    user = await visit.services.reader.people.user(name)
    known = user.password_hash if user is not None and user.removed_at_ms is None else None
    if not await visit.services.passwords.matches(now, known):
        _log.warning("a wrong password of %s from %s, for another one", name, address)
        return await show(visit, password_problem=visit.words("settings.wrong"), status=422)
    visit.services.logins.give_back(address, name)
    try:
        password_hash = await visit.services.passwords.hash(new)
    except UserError:
        text = visit.words("settings.weak", least=CHARACTERS_MIN, most=CHARACTERS_MAX)
        return await show(visit, password_problem=text, status=422)
    command = SetPassword(name=name, password_hash=password_hash)
    await visit.services.command_of(visit.caller, command, f"user/{name}")
    answer = Redirect("/login?next=%2Fsettings", status_code=303)
    answer.delete_cookie(COOKIE)
    return answer


@post("/tokens", opt={"needs": ADMIN}, status_code=200)
async def add_token(request: PageRequest, visit: Visiting) -> Response[str]:
    """Let a program in: the token is in this answer and nowhere else."""
    fields = await changing(request)
    name, days, token = fields.get("token", "").strip()[:63], fields.get("days", ""), make_token()
    if days not in DAYS:
        raise UserError(f"{days[:20]!r} is no number of days of the list", code="bad_request")
    command = AddToken(
        name=name,
        role=fields.get("role", ""),
        token_sha256=sha256_hex(token),
        scopes=fields.get("scopes", "").replace(",", " ").split()[:50],
        expires_in_s=float(days) * DAY_S if days else None,
    )
    try:
        await visit.services.command_of(visit.caller, command, f"token/{name}")
    except CommandRefused as refused:
        return await show(visit, problem=str(refused), status=422)
    return await show(visit, token_name=name, token=token)


PAGES = (settings_page, set_own_password, add_token)


async def show(
    visit: Visit,
    *,
    made: str = "",
    password: str = "",
    token_name: str = "",
    token: str = "",
    problem: str = "",
    password_problem: str = "",
    status: int = 200,
) -> Response[str]:
    """Return the page, with what was made just now and is shown only once."""
    reader = visit.services.reader
    users = await reader.people.users() if visit.may(ADMIN) else []
    tokens = await reader.tokens() if visit.may(ADMIN) else []
    channels = await channels_of(visit.services) if visit.may(OPERATOR) else None
    return await visit.page(
        "settings.html",
        status=status,
        is_person=visit.caller.interface == "dashboard",
        users=[row for row in users if row.removed_at_ms is None],
        tokens=[row for row in tokens if row.revoked_at_ms is None],
        channels=channels,
        roles=ROLES,
        days=DAYS,
        made=made,
        password=password,
        token_name=token_name,
        token=token,
        problem=problem,
        password_problem=password_problem,
    )
