"""Where the dashboard shows what a command tells: the page of a path of the API (steps 1 and 14)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_Filters = Mapping[str, str]
_SAME: Final = "*"
COMPARE: Final = "/runs/compare"
"""A page of its own, with the ids of two runs."""
_NONE: Final[_Filters] = {}
_LISTS: Final[Mapping[str, tuple[str, _Filters]]] = {
    "runs": ("/runs", {"state": "state", "workflow": "workflow", "campaign": "campaign"}),
    "tasks": (
        "/tasks",
        {"run_id": "run", "since_ms": "since", "until_ms": "until"}
        | {name: name for name in ("state", "device", "node", "queue", "code")},
    ),
    "devices": ("/devices", {name: name for name in ("state", "service", "node", "group", "q")}),
    "nodes": ("/nodes", {"state": "state"}),
    "bots": ("/bots", {"state": "state", "status": "status"}),
    "workflows": ("/workflows", _NONE),
    "queues": ("/queues", _NONE),
    "overview": ("/", _NONE),
    "campaigns": ("/schedules", _NONE),
    "dead-letters": (
        "/dead",
        {name: name for name in ("state", "code", "error_class", "workflow", "queue", "device", "node", "bot")}
        | {"run": "run_id", "errorClass": "error_class"},
    ),
    "incidents": ("/incidents", _NONE),
    "logs": (
        "/logs",
        {name: name for name in ("level", "program", "source", "run_id", "task_id", "device_serial", "text")},
    ),
    "audit": ("/audit", {name: name for name in ("actor", "action", "subject", "outcome")}),
    "users": ("/settings", _NONE),
    "tokens": ("/settings", _NONE),
    "notifications": ("/bots/notify-bot", _NONE),
}
"""Part of the API -> the page of its list, and what the page calls the filters that it has."""
_ONES: Final[Mapping[str, tuple[str, _Filters]]] = {
    "runs": ("/runs/*", _NONE),
    "tasks": ("/tasks/*", _NONE),
    "devices": ("/devices/*", _NONE),
    "nodes": ("/nodes", _NONE),
    "bots": ("/bots/*", _NONE),
    "workflows": ("/workflows/*", {"version": "version"}),
    "queues": ("/queues", _NONE),
    "campaigns": ("/schedules", _NONE),
    "dead-letters": ("/dead", _NONE),
}
"""Likewise of one of them: a page of its own, or the list that it is in."""


def page_of(path: str, query: Mapping[str, object]) -> tuple[str, dict[str, object]] | None:
    """Return the page of a path below /api/v1, and its filters; None = no page shows exactly that."""
    parts = path.strip("/").split("/")
    if path == COMPARE:
        return COMPARE, dict(query)
    table = {1: _LISTS, 2: _ONES}.get(len(parts), {})
    found = table.get(parts[0])
    if found is None:
        return None
    page, filters = found
    if not query.keys() <= filters.keys():
        return None
    return page.replace(_SAME, parts[-1]), {filters[name]: value for name, value in query.items()}
