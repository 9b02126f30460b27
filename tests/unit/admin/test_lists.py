"""Every list of the API comes in pages and can be narrowed: read from the description that programs get."""

from __future__ import annotations

from typing import Any

import pytest

from doai.admin.app import describe_api
from doai.admin.routes.parameters import named, part

API = describe_api()
NO_PAGES = {
    "/api/v1/bots/{name}/reports": "the newest of one bot; the others are events: GET /events?subject=",
    "/api/v1/statistics": "sums of a time, which is asked for",
    "/api/v1/queues/{name}/trend": "sums of a time, which is asked for",
    "/api/v1/usage": "sums by what is asked for",
}
"""What comes whole, and why."""


def lists() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path, operations in API["paths"].items():
        for media in operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {}).values():
            name = media.get("schema", {}).get("$ref", "").rpartition("/")[2]
            if {"items", "next"} <= API["components"]["schemas"].get(name, {}).get("properties", {}).keys():
                found.append((path, operations["get"]))
    return found


@pytest.mark.parametrize(("path", "operation"), lists(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_list_has_pages_and_filters(path: str, operation: dict[str, Any]) -> None:
    asked = {each["name"] for each in operation["parameters"] if each["in"] == "query"}
    if path not in NO_PAGES:
        assert {"cursor", "limit"} <= asked
        assert "{" in path or asked - {"cursor", "limit", "lang"}, "one of everything: it is to be narrowed"


def test_all_lists_are_looked_at() -> None:
    assert {path for path, _ in lists()} >= {f"/api/v1/{name}" for name in ("nodes", "tokens", "backups", "queues")}


def test_a_list_is_narrowed_by_a_part_of_the_name_and_cut_in_pages() -> None:
    names = ["alpha", "Beta", "beta-2"]
    assert named(names, str, " BETA") == ["Beta", "beta-2"]
    assert named(names, str, "") == names
    assert part(names, str, None, 2) == (["alpha", "Beta"], "Beta")
