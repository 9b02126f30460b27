"""Addresses that commands print: pages of the dashboard that are there, with filters that they have."""

from __future__ import annotations

import inspect
import re
import sys

import pytest
from litestar import Router
from litestar.routes import HTTPRoute

from doai.admin.dashboard.site import pages
from doai.cli.client import Client
from doai.cli.pages import _LISTS, _ONES
from doai.cli.place import Place
from doai.configuration import Secret

ROUTES = {
    re.sub(r"{[^}]*}", "*", route.path): next(each for each in route.route_handlers if "GET" in each.http_methods)
    for found in pages()
    if isinstance(found, Router)
    for route in found.routes
    if isinstance(route, HTTPRoute) and "GET" in route.methods
}


@pytest.mark.parametrize(("part", "of_list"), [(part, True) for part in _LISTS] + [(part, False) for part in _ONES])
def test_every_page_is_there_and_has_the_filters(part: str, of_list: bool) -> None:
    page, filters = (_LISTS if of_list else _ONES)[part]
    handler = ROUTES.get(page) or ROUTES[page.rpartition("/")[0] + "/*"]
    source = inspect.getsource(sys.modules[handler.fn.__module__])
    for name in filters.values():
        assert f'"{name}"' in source, f"the page {page} has no filter {name}"


@pytest.mark.parametrize(
    ("path", "query", "page"),
    [
        ("/runs", {}, "/runs"),
        ("/runs", {"state": "running", "campaign": None}, "/runs?state=running"),
        ("/runs", {"project": "shop"}, "/api/v1/runs?project=shop"),
        ("/runs/R1", {}, "/runs/R1"),
        ("/tasks", {"run_id": "R1"}, "/tasks?run=R1"),
        ("/tasks/T1", {}, "/tasks/T1"),
        ("/devices/R58", {}, "/devices/R58"),
        ("/nodes/n1", {}, "/nodes"),
        ("/bots/guard", {}, "/bots/guard"),
        ("/workflows/hello", {"version": 2}, "/workflows/hello?version=2"),
        ("/workflows/hello/diff", {"from": 1, "to": 2}, "/api/v1/workflows/hello/diff?from=1&to=2"),
        ("/campaigns", {}, "/schedules"),
        ("/overview", {}, "/"),
        ("/dead-letters", {"state": "open", "run": "R1"}, "/dead?state=open&run_id=R1"),
        ("/users", {}, "/settings"),
        ("/logs", {"level": "error", "since_ms": None}, "/logs?level=error"),
        ("/logs", {"since_ms": 5}, "/api/v1/logs?since_ms=5"),
        ("/backups", {}, "/api/v1/backups"),
        ("/incidents", {"resolved": True}, "/api/v1/incidents?resolved=True"),
    ],
)
def test_what_a_page_shows_leads_there_and_nothing_leads_to_something_else(
    path: str, query: dict[str, object], page: str
) -> None:
    with Client(Place("http://127.0.0.1:7700", Secret("t"))) as client:
        assert client.url(path, **query) == f"http://127.0.0.1:7700{page}"
