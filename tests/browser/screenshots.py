"""`bin/screenshots`: a picture of each page, in both themes and languages, with 3 and with 3,000 devices.

`--axe` makes no picture: it looks at each page with axe instead, and ends with 1 when a page breaks a rule.

Both fleets are real ones (tests/browser/places.py), and what pages show was done there: charts begin when it did.
`--kept` makes those that docs/screenshots/README.md shows, each page at least once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.accessibility import violations
from tests.browser.desk import CHROMIUM, go
from tests.browser.places import Place, three, three_thousand
from tests.integration.installed import ROOT

KEPT: Final = ROOT / "docs" / "screenshots"
KEPT_BYTES_MAX: Final = 150 * 1024
LANGUAGES: Final = ("en", "ko")
THEMES: Final = ("light", "dark")
WIDE: Final = (1440, 900)
PHONE: Final = (390, 844)
SETTLED_MS: Final = 700
"""After the page is there: the map of devices and ages are drawn by scripts."""
PAGES: Final = {
    "overview": "/",
    "throughput": "/throughput",
    "devices": "/devices",
    "devices-map": "/devices?view=map",
    "device": "/devices/{serial}",
    "labels": "/devices/labels",
    "runs": "/runs",
    "run": "/runs/{run}",
    "run-new": "/runs/new?workflow=playback-check",
    "tasks": "/tasks",
    "task": "/tasks/{task}",
    "queues": "/queues",
    "dead": "/dead",
    "workflows": "/workflows",
    "workflow": "/workflows/playback-check",
    "workflow-edit": "/workflows/new",
    "schedules": "/schedules",
    "nodes": "/nodes",
    "bots": "/bots",
    "bot": "/bots/{bot}",
    "incidents": "/incidents",
    "logs": "/logs",
    "audit": "/audit",
    "settings": "/settings",
}
SHOWN: Final = (
    ("3000", "overview", "en", "dark"),
    ("3", "overview", "ko", "dark"),
    ("3000", "throughput", "ko", "dark"),
    ("3000", "devices", "en", "dark"),
    ("3000", "devices-map", "en", "dark"),
    ("3", "device", "ko", "light"),
    ("3", "labels", "en", "light"),
    ("3000", "runs", "ko", "light"),
    ("3", "run", "en", "light"),
    ("3000", "run", "ko", "dark"),
    ("3", "run-new", "ko", "light"),
    ("3000", "tasks", "en", "light"),
    ("3", "task", "ko", "light"),
    ("3000", "queues", "en", "dark"),
    ("3000", "dead", "ko", "light"),
    ("3", "workflows", "en", "light"),
    ("3", "workflow", "ko", "dark"),
    ("3", "workflow-edit", "en", "dark"),
    ("3000", "schedules", "ko", "light"),
    ("3000", "nodes", "en", "dark"),
    ("3", "bots", "ko", "dark"),
    ("3", "bot", "en", "light"),
    ("3000", "incidents", "ko", "dark"),
    ("3000", "logs", "en", "dark"),
    ("3000", "audit", "ko", "light"),
    ("3", "settings", "en", "light"),
)
"""Fleet, page, language, theme of those that are kept."""


def main(argv: list[str] | None = None) -> int:
    """Make the pictures; returns the exit code."""
    parser = argparse.ArgumentParser(prog="screenshots", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path("screenshots"), help="folder of the pictures (screenshots)"
    )
    parser.add_argument("--kept", action="store_true", help="only those that docs/ shows, into docs/screenshots")
    parser.add_argument("--axe", action="store_true", help="look at each page with axe, make no picture")
    parser.add_argument("--phone", action="store_true", help="as wide as a phone")
    options = parser.parse_args(argv)
    if CHROMIUM is None:
        print("screenshots: there is no Chromium here: apt install chromium", file=sys.stderr)
        return 69
    folder: Path = KEPT if options.kept else options.out
    wanted = set(SHOWN) if options.kept else None
    broken: list[str] = []

    def take(page: Page, name: str) -> None:
        if options.axe:
            broken.extend(f"{name}: {each}" for each in violations(page))
        else:
            _picture(page, folder / f"{name}.png")
        print(name, flush=True)

    if not options.axe:
        folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for site in (three, three_thousand):
            with site(browser) as place:
                for language in LANGUAGES:
                    for theme in THEMES:
                        _look(browser, place, language, theme, take, wanted, PHONE if options.phone else WIDE)
        browser.close()
    print("\n".join(broken), file=sys.stderr)
    return 1 if broken else 0


def _look(
    browser: Browser,
    place: Place,
    language: str,
    theme: str,
    take: Callable[[Page, str], None],
    wanted: set[tuple[str, str, str, str]] | None,
    size: tuple[int, int],
) -> None:
    names = [name for name in PAGES if wanted is None or (place.fleet, name, language, theme) in wanted]
    if not names:
        return
    context = browser.new_context(base_url=place.url, viewport={"width": size[0], "height": size[1]})
    wishes = {"doai_language": language, "doai_theme": theme, "doai_zone": "Asia%2FSeoul"}
    context.add_cookies(
        [*place.cookies, *({"name": name, "value": value, "url": place.url} for name, value in wishes.items())]
    )  # type: ignore[list-item]
    for name in names:
        page = context.new_page()
        go(page, PAGES[name].format(**place.names))
        page.wait_for_timeout(SETTLED_MS)
        take(page, f"{name}-{place.fleet}-{language}-{theme}")
        page.close()
    context.close()


def _picture(page: Page, path: Path) -> None:
    page.screenshot(path=path)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    assert path.stat().st_size < KEPT_BYTES_MAX, f"{path} has {path.stat().st_size} bytes"


if __name__ == "__main__":
    sys.exit(main())
