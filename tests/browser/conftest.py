"""One fleet and one browser for all tests here: each leaves the fleet so that the next one can be run alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.browser.desk import CHROMIUM, PHONES, WAIT_MS, Desk
from tests.integration.installed import up


@pytest.fixture(scope="package")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: apt install chromium")
    folder = tmp_path_factory.mktemp("dashboard")
    with up(folder / "data", phones=PHONES) as site, sync_playwright() as playwright:
        site.wait_for_phones(PHONES)
        expect.set_options(timeout=WAIT_MS)
        quiet = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        desk = Desk(site, browser)
        for _ in range(4):  # more dead letters than usual, which are an incident by the time it is looked at
            desk.fail()
        yield desk
        desk.api.close()
        browser.close()
        assert desk.complaints == [], "no page had an error of its own, and none asked anything"


@pytest.fixture(autouse=True)
def no_page_stays(desk: Desk) -> Iterator[None]:
    """A browser has six connections to a site, and each page has one."""
    yield
    for page in desk.context.pages:
        page.close()
