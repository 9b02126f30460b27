"""Every number of a page against the length of the list that it leads to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from playwright.sync_api import Page

from tests.browser.desk import BUSY

_LOOK: Final = """async path => {
    const answer = await fetch(path);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const part = path.includes("#") ? page.getElementById(path.split("#")[1]).parentElement : page;
    const links = [...page.querySelectorAll("main a[href]")];
    const told = a => a.dataset.number ?? a.querySelector("[data-number]")?.dataset.number;
    return {
        status: answer.status,
        numbers: links.filter(told).map(a => [a.getAttribute("href"), +told(a)]),
        bare: links.filter(a => !told(a) && /^[\\d,]+$/.test(a.textContent.trim())).map(a => a.outerHTML),
        rows: part.querySelectorAll("tbody tr:not(:has(.empty)), article.incident, [data-row]").length,
    };
}"""


class Look(NamedTuple):
    """What a page counts, by the address of the list, and how long its own list is."""

    numbers: dict[str, int]
    bare: list[str]
    """Links that look like a number of something and do not say what they count."""
    rows: int


def fetched(page: Page, path: str, script: str) -> dict[str, Any]:
    """Return what a script reads from a page as the browser has it, without its scripts: again while it is busy."""
    for _ in range(60):
        seen: dict[str, Any] = page.evaluate(script, path)
        if seen["status"] != BUSY:
            assert seen["status"] == 200, path
            return seen
    raise AssertionError(f"{path} is busy for ever")


def look(page: Page, path: str) -> Look:
    """Return a page's numbers and the length of its list."""
    seen = fetched(page, path, _LOOK)
    return Look(dict(seen["numbers"]), seen["bare"], seen["rows"])


def counts_of(page: Page, paths: Iterable[str]) -> set[str]:
    """Follow every number of these pages to its list and count it; returns what was counted."""
    counted: set[str] = set()
    for path in paths:
        seen = look(page, path)
        assert seen.bare == [], path
        for kind in {_kind_of(path, href) for href in seen.numbers} - counted:
            _count(page, path, kind)
            counted.add(kind)
    return counted


def _count(page: Page, path: str, kind: str) -> None:
    said = ""
    for _ in range(20):  # an incident or a minute may come or go between two looks
        found = [one for one in look(page, path).numbers.items() if _kind_of(path, one[0]) == kind]
        if not found:
            return
        href, number = max(found, key=lambda one: one[1])
        rows = look(page, href).rows
        if rows == number:
            return
        said = f"{path} says {number}, {href} lists {rows}"
    raise AssertionError(said)


def _kind_of(path: str, href: str) -> str:
    """Which of a page's numbers: those of a time are of other minutes when one looks again."""
    timeless = re.sub(r"\b(since|until)=\d+", r"\1", href)
    return href if timeless == href else f"{path} {timeless}"
