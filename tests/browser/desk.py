"""One `doai up` with simulated phones, and one Chromium with an operator in front of it."""

from __future__ import annotations

import re
import shutil
from typing import Any, Final

import httpx
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect

from tests.integration.installed import Up

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PHONES: Final = 3
BUSY: Final = 503
WAIT_MS: Final = 90_000
"""For whatever comes of itself; a page that is right at once costs nothing of it."""


class Desk:
    """The installation, and what an operator has of it."""

    def __init__(self, site: Up, browser: Browser) -> None:
        self.site = site
        self.browser = browser
        [line] = [line for line in site.said if line.startswith("doai is up: ")]
        self.url = line.split()[3]
        [line] = [line for line in site.said if line.startswith("dashboard: ")]
        self.password = line.split(" with ")[1].split()[0]
        self.api = httpx.Client(base_url=f"{self.url}/api/v1", headers=self._bearer(), timeout=90, trust_env=False)
        self.complaints: list[str] = []
        self.context = self.signed_in()

    def _bearer(self) -> dict[str, str]:
        [line] = [line for line in self.site.said if line.startswith("token, shown once")]
        return {"Authorization": f"Bearer {line.split()[-1]}"}

    def context_of(self, language: str = "en") -> BrowserContext:
        context = self.browser.new_context(
            base_url=self.url, locale=language, viewport={"width": 1440, "height": 900}
        )
        context.set_default_timeout(WAIT_MS)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        return context

    def signed_in(self) -> BrowserContext:
        context = self.context_of()
        page = context.new_page()
        go(page, "/login")
        sign_in(page, self.password)
        page.wait_for_url(f"{self.url}/")
        page.close()
        return context

    def page(self, path: str) -> Page:
        page = self.context.new_page()
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        answer = go(page, path)
        assert answer.status == 200, page.inner_text("body")
        return page

    def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Ask the API, again while it is busy."""
        for _ in range(60):
            answer = self.api.request(method, path, json=body)
            if answer.status_code != BUSY:
                break
        assert answer.is_success, answer.text
        return answer

    def fail(self) -> None:
        """Start a run of which every task fails: there are no pictures to compare with."""
        body = {"workflow": "screenshot-baseline", "targets": {"kind": "all"}, "attempts": 1}
        self.ask("POST", "/runs", body)

    def wait_idle(self) -> None:
        """Return when no run is open."""
        page = self.page("/runs?state=active")
        expect(page.locator("tbody .empty")).to_be_visible()
        page.close()

    def run(self, workflow: str, **params: Any) -> str:
        """Start a run on all phones over the API and return its id when it has ended."""
        body = {"workflow": workflow, "targets": {"kind": "all"}, "params": params, "attempts": 1}
        run_id: str = self.ask("POST", "/runs", body).json()["runId"]
        page = self.page(f"/runs/{run_id}")
        expect(page.locator(".lead .badge").first).to_have_text(
            re.compile("Passed|Failed|Unknown"), timeout=WAIT_MS
        )
        page.close()
        return run_id


def go(page: Page, path: str) -> Response:
    """Open a page; one whose questions took too long on a busy machine is asked for again, as it does by itself."""
    for _ in range(60):
        answer = page.goto(path)
        assert answer is not None
        if answer.status != BUSY:
            return answer
    raise AssertionError(f"{path} is busy for ever")


def sign_in(page: Page, password: str, name: str = "admin") -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
