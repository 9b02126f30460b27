"""What axe finds on a page: nobody is kept out by what they see with, hear with, or press with."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page


def violations(page: Page) -> list[str]:
    """Return one line for each rule that a page breaks, with the first elements that do."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']} ({each['impact']}): {each['help']}: "
        + "; ".join(node["html"][:160] for node in each["nodes"][:4])
        for each in found
    ]


def must_be_usable(page: Page, theme: str = "light") -> None:
    """Raise AssertionError with what is wrong for somebody; `bin/screenshots --axe` looks in every theme."""
    page.wait_for_load_state()
    before = page.evaluate("document.documentElement.dataset.theme")
    page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
    broken = violations(page)
    page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", before)
    if broken:
        raise AssertionError("\n".join([page.url, *broken]))
