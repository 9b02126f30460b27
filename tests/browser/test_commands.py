"""The command that a page shows does the same as the page: with each of its filters."""

from __future__ import annotations

import shlex
from typing import Final
from urllib.parse import quote

import pytest

from doai.cli.device_flags import with_default_action
from doai.cli.main import make_parser
from tests.browser.counting import fetched
from tests.browser.desk import Desk

FILTERS: Final = """async path => {
    const answer = await fetch(path);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fields = [...page.querySelectorAll("form.filters[role=search] [name]:not([type=hidden])")];
    return {
        status: answer.status,
        command: page.getElementById("command").textContent,
        filters: fields.map(field => [
            field.name,
            field.options ? [...field.options].map(option => option.value).filter(value => value) : [],
            field.type,
        ]),
    };
}"""
LISTS: Final = (
    "/tasks",
    "/runs",
    "/devices",
    "/nodes",
    "/bots",
    "/dead",
    "/incidents",
    "/logs",
    "/audit",
    "/queues",
)
TYPED: Final = "it's 1"
"""What a person types where there is nothing to choose from."""


@pytest.mark.parametrize("path", LISTS)
def test_the_command_of_a_list_has_all_filters_of_the_page(desk: Desk, path: str) -> None:
    page = desk.page("/settings")
    parser = make_parser()
    for name, choices, kind in fetched(page, path, FILTERS)["filters"]:
        if kind == "datetime-local":
            value, told = "2026-11-22T09:30Z", "2026-11-22T09:30Z"
        else:
            value = told = choices[-1] if choices else TYPED
        words = shlex.split(fetched(page, f"{path}?{name}={quote(value)}", FILTERS)["command"])
        assert told in words or (path, value) == ("/dead", "open"), f"{path}: {name}={value} is not in {words}"
        parser.parse_args(with_default_action(words[1:]))
    page.close()
