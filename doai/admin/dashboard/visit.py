"""One visit of a page: who looks, in what language and theme, and how the page is drawn (step 14)."""

from __future__ import annotations

import functools
import hashlib
import re
import shlex
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.handlers.base import BaseRouteHandler
from litestar.params import SkipValidation
from litestar.response import Redirect

from doai.admin.access import ADMIN, Caller, Forbidden, NotAuthenticated, allow, person
from doai.admin.authorisation import Answer, decide
from doai.admin.dashboard import drawing
from doai.admin.dashboard.wording import ZONES, Wording, catalogue, chosen_language, chosen_zone
from doai.admin.routes.parameters import Given, now_ms
from doai.admin.services import Services
from doai.admin.sessions import COOKIE, CSRF_FIELD, csrf_matches, csrf_token

LANGUAGE_COOKIE: Final = "doai_language"
THEME_COOKIE: Final = "doai_theme"
ZONE_COOKIE: Final = "doai_zone"
BROWSER_ZONE_COOKIE: Final = "doai_browser_zone"
"""Told by the page's script; what a person chose goes before it."""
THEMES: Final = ("system", "dark", "light")
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Nothing but our own files is loaded or run, whatever gets into a page."""
_MOMENT: Final = re.compile(r' data-position="\d+" data-at="\d+"')
_TEMPLATES: Final = Path(__file__).with_name("templates")

PageRequest = Request[Any, Any, State]


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """What every page needs."""

    services: Services
    caller: Caller
    csrf: str
    """What the forms of this session carry."""
    words: Wording
    theme: str
    zone: str
    """That was chosen; empty = the browser's."""
    path: str
    query: dict[str, str]
    at_ms: int
    have: str = ""
    """ETag of the page as the browser shows it; empty = it shows another one."""
    is_answer: bool = False
    """The page answers a form: it can not be asked for again, and stays as it is."""
    done: str = ""
    """What was just done, as a key of the catalogue."""
    position: int | None = None
    """Of the event log before anything of the page was read; None = it answers a form."""

    def may(self, action: str) -> bool:
        """Whether the person is shown the buttons of an action."""
        return decide(action, self.caller.role) is not Answer.DENY

    def given(self, name: str) -> str:
        """Return a filter of the address; empty = not given."""
        return self.query.get(name, "").strip()[:200]

    def with_query(self, **changes: object) -> str:
        """Return this page's address with other filters; None takes one away."""
        query = {**self.query, **{name: str(value) for name, value in changes.items() if value is not None}}
        gone = {name for name, value in changes.items() if value is None} | {"done"}
        kept = {name: value for name, value in query.items() if name not in gone and value}
        return f"{self.path}?{urlencode(kept)}" if kept else self.path

    def flags(self, *names: str, **values: str) -> str:
        """Return what a command takes for the filters of the address that are given.

        ``names`` are called alike; ``values`` are flags that the address calls or writes otherwise.
        """
        wanted = {**{name: self.given(name) for name in names}, **values}
        found = [f" --{flag.replace('_', '-')} {shlex.quote(value)}" for flag, value in wanted.items() if value]
        return "".join(found)

    async def page(self, template: str, *, status: int = 200, **values: Any) -> Response[str]:
        """Draw a page; ``position`` of the event log tells the browser how new it is, at least."""
        position = self.position
        if position is None:
            position = await self.services.reader.last_position()
        broker = self.services.mesh.why_not_live
        text = draw(template, v=self, t=self.words, position=position, broker=broker or "", **values)
        # Of all but the moment: a page on which nothing is different is not sent again.
        etag = f'"{hashlib.sha256(_MOMENT.sub("", text, count=1).encode()).hexdigest()[:32]}"'
        headers = {**SECURITY_HEADERS, "ETag": etag, "X-Doai-Position": str(position)}
        if status == HTTPStatus.OK and self.have == etag:
            return Response("", status_code=304, headers=headers)
        return Response(text, status_code=status, media_type="text/html; charset=utf-8", headers=headers)


Visiting = NamedDependency[SkipValidation[Visit]]


class NotSignedIn(NotAuthenticated):
    """Nobody is signed in: the page of signing in comes first."""


def draw(template: str, **values: Any) -> str:
    """Return a template with values; whatever is text in them is shown as text."""
    return _environment().get_template(template).render(**values)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": drawing.number,
        "iso": drawing.iso,
        "short": drawing.short,
        "segment": lambda text: quote(str(text), safe=""),
        "pretty": drawing.pretty,
    }
    environment.globals |= {"done_keys": catalogue, "zones": ZONES}
    return environment


async def require_person(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard of every page: somebody is signed in and may do what the page's ``needs`` says.

    A change must carry what the forms of this session carry; `changing` looks at that, where the form is read.
    """
    caller = await person(connection)
    if caller is None:
        raise NotSignedIn("sign in first")
    connection.scope["auth"] = caller
    allow(caller, str(handler.opt.get("needs", ADMIN)))


async def provide_visit(request: PageRequest, services: Given) -> Visit:
    """Return the visit of a person whom the guard let in."""
    is_answer = request.method != "GET"
    query = {name: value for name, value in request.query_params.items() if isinstance(value, str)}
    return Visit(
        services=services,
        caller=request.auth,
        csrf=csrf_token(request.cookies.get(COOKIE, "")),
        words=words_of(request),
        theme=theme_of(request),
        zone=unquote(request.cookies.get(ZONE_COOKIE, "")),
        path=request.url.path,
        query=query,
        at_ms=now_ms(),
        have="" if is_answer else request.headers.get("If-None-Match", ""),
        is_answer=is_answer,
        done=query.get("done", ""),
        position=None if is_answer else await services.reader.last_position(),
    )


def words_of(request: PageRequest) -> Wording:
    """Return the words of the language that this browser wants, in its time zone."""
    accepted = request.headers.get("Accept-Language", "")
    zone = chosen_zone(
        unquote(request.cookies.get(ZONE_COOKIE, "")), unquote(request.cookies.get(BROWSER_ZONE_COOKIE, ""))
    )
    return Wording(chosen_language(request.cookies.get(LANGUAGE_COOKIE, ""), accepted), zone)


def theme_of(request: PageRequest) -> str:
    """Return the theme that was chosen; the system's otherwise."""
    theme = request.cookies.get(THEME_COOKIE, "")
    return theme if theme in THEMES else THEMES[0]


async def changing(request: PageRequest) -> dict[str, str]:
    """Return the fields of a form that changes something; raises Forbidden when no page of this session made it."""
    form = await request.form()
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    if not csrf_matches(request.cookies.get(COOKIE, ""), fields.get(CSRF_FIELD, "")):
        raise Forbidden("this form is not of a page of this session: load the page again")
    return fields


def back(request: PageRequest, fields: dict[str, str], otherwise: str, done: str) -> Redirect:
    """Return to the page from which a form came, which says what was done."""
    path = local_path(fields.get("from", ""), otherwise)
    return Redirect(f"{path}{'&' if '?' in path else '?'}{urlencode({'done': done})}", status_code=303)


def local_path(wanted: str, otherwise: str) -> str:
    """Return an address of this site only: nobody can be sent elsewhere by a link to here."""
    is_local = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and "\\" not in wanted
    return wanted if is_local and wanted.isprintable() and len(wanted) < 1000 else otherwise
