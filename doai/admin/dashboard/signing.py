"""Signing in and out, and what a browser remembers of a person's wishes (steps 1 and 2)."""

from __future__ import annotations

import logging
import time
from typing import Final
from urllib.parse import quote, urlsplit

from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.response import Redirect

from doai.admin.access import VIEWER, address_of, person, sha256_hex
from doai.admin.dashboard.visit import (
    LANGUAGE_COOKIE,
    SECURITY_HEADERS,
    THEME_COOKIE,
    THEMES,
    ZONE_COOKIE,
    PageRequest,
    changing,
    draw,
    local_path,
    theme_of,
    words_of,
)
from doai.admin.dashboard.wording import ZONES
from doai.admin.problems import CommandRefused
from doai.admin.routes.parameters import Given
from doai.admin.services import Services
from doai.admin.sessions import COOKIE, SESSION_S, is_secure, make_session, session_cookie
from doai.envelope import Origin
from doai.messages.people import CloseSession, OpenSession
from doai.story.voice import LANGUAGES

YEAR_S: Final = 365 * 24 * 3600
_log: Final = logging.getLogger(__name__)


@get("/login", include_in_schema=False)
async def login_page(request: PageRequest) -> Response[str] | Redirect:
    """Ask who it is; somebody who is signed in goes on."""
    wanted = local_path(request.query_params.get("next", ""), "/")
    if await person(request) is not None:
        return Redirect(wanted, status_code=303)
    return _form(request, wanted)


@post("/login", include_in_schema=False, status_code=303)
async def login(request: PageRequest, services: Given) -> Response[str] | Redirect:
    """Check name and password; whoever guesses is slowed, and locks nobody else out."""
    form = await request.form()
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    wanted = local_path(fields.get("next", ""), "/")
    name, password = fields.get("name", "").strip()[:63], fields.get("password", "")
    origin = request.headers.get("Origin", "")
    if origin and urlsplit(origin).netloc != request.headers.get("Host", ""):
        return _form(request, wanted, problem="login.elsewhere", status=403)
    address = address_of(request)
    wait_s = services.logins.take(address, name, time.monotonic())
    if wait_s > 0:
        _log.warning("too many tries to sign in as %s from %s", name, address)
        return _form(request, wanted, problem="login.slow", status=429, wait_s=wait_s)
    user = await services.reader.people.user(name) if name else None
    known = user.password_hash if user is not None and user.removed_at_ms is None else None
    if not await services.passwords.matches(password, known) or user is None:
        _log.warning("a wrong password for %s from %s", name, address)
        return _form(request, wanted, problem="login.wrong", status=401)
    services.logins.give_back(address, name)
    cookie = make_session()
    try:
        await _open(services, user.name, user.role, user.password_hash, cookie, address)
    except CommandRefused as refused:
        _log.warning("the session of %s was refused: %s", name, refused)
        return _form(request, wanted, problem="login.wrong", status=401)
    answer = Redirect(wanted, status_code=303)
    answer.set_cookie(session_cookie(cookie, secure=is_secure(request)))
    return answer


@post("/logout", include_in_schema=False, status_code=303, opt={"needs": VIEWER})
async def logout(request: PageRequest, services: Given) -> Redirect:
    """End the session of this browser."""
    await changing(request)
    cookie = request.cookies.get(COOKIE, "")
    command = CloseSession(token_sha256=sha256_hex(cookie))
    await services.command_of(request.auth, command, f"user/{request.auth.name}")
    answer = Redirect("/login", status_code=303)
    answer.delete_cookie(COOKIE)
    return answer


@post("/preferences", include_in_schema=False, status_code=303)
async def set_preferences(request: PageRequest) -> Redirect:
    """Remember language, theme and time zone in the browser: nothing that needs to be proven."""
    form = await request.form()
    answer = Redirect(local_path(str(form.get("from", "")), "/"), status_code=303)
    wishes = (
        (LANGUAGE_COOKIE, "language", LANGUAGES),
        (THEME_COOKIE, "theme", THEMES),
        (ZONE_COOKIE, "zone", ("", *ZONES)),
    )
    for cookie, field, allowed in wishes:
        value = form.get(field)
        if value in allowed:
            secure = is_secure(request)
            answer.set_cookie(
                Cookie(key=cookie, value=quote(str(value)), max_age=YEAR_S, secure=secure, samesite="lax")
            )
    return answer


async def _open(services: Services, name: str, role: str, password_hash: str, cookie: str, address: str) -> None:
    command = OpenSession(
        user=name,
        token_sha256=sha256_hex(cookie),
        expires_in_s=SESSION_S,
        address=address,
        password_hash=password_hash,
    )
    await services.command(
        command,
        f"user/{name}",
        actor=f"user/{name}",
        interface="dashboard",
        origin=Origin(role=role, address=address),
    )


def _form(
    request: PageRequest, wanted: str, *, problem: str = "", status: int = 200, wait_s: float = 0.0
) -> Response[str]:
    words = words_of(request)
    sentence = words(problem, seconds=max(1, round(wait_s))) if problem else ""
    text = draw("login.html", t=words, theme=theme_of(request), next=wanted, problem=sentence)
    headers = dict(SECURITY_HEADERS)
    if wait_s:
        headers["Retry-After"] = str(max(1, round(wait_s)))
    return Response(text, status_code=status, media_type="text/html; charset=utf-8", headers=headers)
