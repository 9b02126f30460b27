"""Which pages there are, and how one says that something is wrong (step 14)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from litestar import Response, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.response import Redirect
from litestar.types import ControllerRouterHandler

from doai.admin.dashboard import (
    acting,
    assets,
    audit,
    bots,
    campaigning,
    comparing,
    dead_letters,
    devices,
    editing,
    incidents,
    labels,
    logs,
    many,
    nodes,
    notifications,
    overview,
    people,
    queues,
    runs,
    schedules,
    settings,
    settling,
    signing,
    tasks,
    workflows,
)
from doai.admin.dashboard.visit import (
    SECURITY_HEADERS,
    NotSignedIn,
    PageRequest,
    draw,
    provide_visit,
    require_person,
    theme_of,
    words_of,
)
from doai.admin.problems import answer_doai_error, answer_http_error, answer_unforeseen
from doai.errors import DoaiError

_PAGES = (
    overview.overview,
    overview.throughput,
    devices.list_page,
    devices.map_data,
    labels.labels_page,
    devices.device_page,
    many.act,
    runs.list_page,
    runs.new_page,
    runs.create,
    comparing.compare_page,
    runs.run_page,
    tasks.list_page,
    tasks.task_page,
    queues.list_page,
    dead_letters.list_page,
    nodes.list_page,
    incidents.list_page,
    workflows.list_page,
    *editing.PAGES,
    workflows.workflow_page,
    audit.list_page,
    logs.list_page,
    schedules.list_page,
    *campaigning.PAGES,
    *bots.PAGES,
    notifications.test,
    *people.PAGES,
    *settings.PAGES,
    signing.logout,
    *acting.ACTIONS,
    *settling.ACTIONS,
)
"""Each needs somebody who is signed in."""


def pages() -> list[ControllerRouterHandler]:
    """Return all of the dashboard for the application."""
    return [
        Router(
            path="/",
            guards=[require_person],
            dependencies={"visit": Provide(provide_visit)},
            exception_handlers={
                NotSignedIn: _sign_in,
                DoaiError: _show_doai_error,
                HTTPException: _show_http_error,
                Exception: _show_unforeseen,
            },
            route_handlers=_PAGES,
            include_in_schema=False,
        ),
        signing.login_page,
        signing.login,
        signing.set_preferences,
        assets.asset,
    ]


def _sign_in(request: PageRequest, error: Exception) -> Redirect:
    """Ask who it is, and come back here afterwards."""
    path = request.url.path if request.method == "GET" else "/"
    query = request.url.query if request.method == "GET" else ""
    wanted = f"{path}?{query}" if query else path
    return Redirect(f"/login?next={quote(wanted, safe='')}" if wanted != "/" else "/login", status_code=303)


def _show_doai_error(request: PageRequest, error: DoaiError) -> Response[Any]:
    return _page(request, answer_doai_error(request, error))


def _show_http_error(request: PageRequest, error: HTTPException) -> Response[Any]:
    return _page(request, answer_http_error(request, error))


def _show_unforeseen(request: PageRequest, error: Exception) -> Response[Any]:
    return _page(request, answer_unforeseen(request, error))


def _page(request: PageRequest, answer: Response[Any]) -> Response[str]:
    """Return an answer of the API as people read it: the same sentence."""
    problem = answer.content
    text = draw("error.html", t=words_of(request), theme=theme_of(request), problem=problem)
    return Response(
        text, status_code=problem.status, media_type="text/html; charset=utf-8", headers=SECURITY_HEADERS
    )
