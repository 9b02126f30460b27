"""`bin/screenshots`: a picture of each page, in both themes and languages, with 3 and with 3,000 devices.

`--axe` makes no picture: it looks at each page with axe instead, and ends with 1 when a page breaks a rule.

The fleet of three is a real one on simulated phones that has done something; that of three thousand is a store that
was written (bench/admin.py) with an admin on it. `--kept` makes the few that docs/ and README.md show.
"""

from __future__ import annotations

import argparse
import secrets
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from bench import admin_beside
from bench.admin import Sizes, admin_of, fill
from bench.admin_curves import quiet_hour
from doai.admin.sessions import COOKIE
from doai.store.sql_files import load_statements
from doai.store.statistics_columns import statistics_columns
from tests.browser.accessibility import violations
from tests.browser.desk import CHROMIUM, PHONES, WAIT_MS, Desk, go
from tests.browser.guard import guard
from tests.integration.installed import ROOT, Up, up

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
    "bot": "/bots/guard",
    "incidents": "/incidents",
    "logs": "/logs",
    "audit": "/audit",
    "settings": "/settings",
}
OF_THREE: Final = ("bot", "workflow")
"""Of something that the store of three thousand has not."""
SHOWN: Final = (
    ("3", "overview", "ko", "dark"),
    ("3", "run", "en", "light"),
    ("3", "device", "ko", "light"),
    ("3000", "devices-map", "en", "dark"),
)
"""Fleet, page, language, theme of those that are kept."""
SIZES: Final = Sizes(
    nodes=30,
    devices_per_node=100,
    tasks=3_000,
    failed=200,
    looks=1,
    viewers=1,
    rate=1,
    stream_s=0.1,
    map_s=0.1,
    beside=admin_beside.SMALL,
)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A site, and somebody who is signed in there."""

    fleet: str
    url: str
    cookies: list[dict[str, str]]
    names: dict[str, str]


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
        for site in (_three, _three_thousand):
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
    there = [name for name in PAGES if place.fleet == "3" or name not in OF_THREE]
    names = [name for name in there if wanted is None or (place.fleet, name, language, theme) in wanted]
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


@contextmanager
def _three(browser: Browser) -> Iterator[Place]:
    expect.set_options(timeout=WAIT_MS)
    with (
        tempfile.TemporaryDirectory(prefix="doai-screenshots-") as folder,
        up(Path(folder) / "data", phones=PHONES) as site,
    ):
        site.wait_for_phones(PHONES)
        desk = Desk(site, browser)
        for n in range(1, PHONES + 1):
            said = {"label": f"no. {n}", "shelf": f"A1-{n}", "groups": ["night"]}
            desk.ask("PATCH", f"/devices/SIM000{n}", said)
        desk.run("screenshot-baseline")
        run_id = desk.run("playback-check", video_id="doai-test-1", seconds=5)
        [task, *_] = desk.ask("GET", f"/tasks?run_id={run_id}").json()["items"]
        _remember(site)
        cookies = [
            {"name": each["name"], "value": each["value"], "url": desk.url} for each in desk.context.cookies()
        ]
        names = {"serial": "SIM0001", "run": run_id, "task": task["taskId"]}
        with guard(desk, Path(folder)):
            page = desk.page("/bots")
            expect(page.locator("tr").filter(has_text="Looks after queues")).to_contain_text("Online")
            page.close()
            yield Place(fleet="3", url=desk.url, cookies=cookies, names=names)
        desk.api.close()
        desk.context.close()


def _remember(site: Up) -> None:
    """Give the charts an hour to show: the fleet itself is there for a minute."""
    sql = load_statements("broker", "columns", "statements")["insert_statistics"]
    rows = quiet_hour(round(time.time() * 1000))
    connection = sqlite3.connect(site.data_dir / "broker" / "broker.db", timeout=30)
    with closing(connection), connection:
        connection.executemany(sql, [statistics_columns(row) for row in rows])


@contextmanager
def _three_thousand(browser: Browser) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="doai-screenshots-") as folder:
        cookie = secrets.token_urlsafe(32)
        names = fill(Path(folder), SIZES, cookie)
        with admin_of(Path(folder)) as (url, _):
            yield Place(fleet="3000", url=url, cookies=[{"name": COOKIE, "value": cookie, "url": url}], names=names)


if __name__ == "__main__":
    sys.exit(main())
