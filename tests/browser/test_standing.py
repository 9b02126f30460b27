"""A page that stays open: a broker that starts anew, an admin that hangs, two who press the same button."""

from __future__ import annotations

import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from playwright.sync_api import BrowserContext, expect

from doai.admin.sessions import COOKIE, csrf_token
from tests.browser.desk import BUSY, Desk, go, sign_in
from tests.integration.admin_site import Site


def test_a_page_outlives_its_broker_and_says_when_it_is_old(desk: Desk, tmp_path: Path) -> None:
    site = Site(tmp_path)
    context = desk.browser.new_context(base_url=site.url, locale="en")
    try:
        password = site.api.post("/users", json={"name": "ann", "role": "operator"}).json()["password"]
        page = context.new_page()
        go(page, "/login?next=%2Fqueues")
        sign_in(page, password, "ann")
        page.wait_for_url("**/queues")
        page.evaluate("window.kept = true")
        chip, away = page.locator("#live"), page.locator("#away")
        expect(chip).to_have_text("Live")
        site.broker.stop()
        expect(away).to_be_visible()
        expect(chip).to_have_text(re.compile("^Not updated since"))
        site.broker = site.start_broker(site.endpoint)
        expect(away).to_be_hidden()
        expect(chip).to_have_text("Live")
        site.api.post("/queues/default/pause").raise_for_status()
        expect(page.locator("tbody tr").filter(has_text="default")).to_contain_text("Paused")
        site.admin.process.send_signal(signal.SIGSTOP)
        expect(chip).to_have_text(re.compile("^Not updated since"))
        site.admin.process.send_signal(signal.SIGCONT)
        expect(chip).to_have_text("Live")
        assert page.evaluate("window.kept"), "it was never loaded again"
    finally:
        context.close()
        site.close()


def test_two_who_try_the_same_task_again_make_one_run(desk: Desk) -> None:
    desk.fail()
    desk.wait_idle()
    before = {run["runId"] for run in desk.ask("GET", "/runs?limit=500").json()["items"]}
    [letter, *_] = desk.ask("GET", "/dead-letters").json()["items"]
    other = desk.signed_in()
    cookies = [_session(context) for context in (desk.context, other)]
    other.close()

    def press(cookie: str) -> httpx.Response:
        with httpx.Client(base_url=desk.url, cookies={COOKIE: cookie}, timeout=90, trust_env=False) as client:
            for _ in range(60):
                answer = client.post(f"/tasks/{letter['taskId']}/retry", data={"csrf": csrf_token(cookie)})
                if answer.status_code != BUSY:
                    break
            return answer

    with ThreadPoolExecutor(2) as together:
        answers = sorted(together.map(press, cookies), key=lambda answer: answer.status_code)
    assert answers[0].status_code == 303
    assert answers[1].status_code in (404, 409), "the letter is settled: there is none any more"
    run_id = answers[0].headers["location"].removeprefix("/runs/").partition("?")[0]
    assert {run["runId"] for run in desk.ask("GET", "/runs?limit=500").json()["items"]} - before == {run_id}
    assert len(desk.ask("GET", f"/tasks?run_id={run_id}").json()["items"]) == 1
    desk.wait_idle()


def _session(context: BrowserContext) -> str:
    [value] = [cookie["value"] for cookie in context.cookies() if cookie["name"] == COOKIE]
    return value
