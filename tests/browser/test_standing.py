"""A page that stays open: a broker that starts anew, an admin that hangs, two who press the same button."""

from __future__ import annotations

import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from playwright.sync_api import BrowserContext, Route, expect

from doai.admin.sessions import COOKIE, csrf_token
from tests.browser.desk import BUSY, Desk, go, sign_in
from tests.integration.admin_site import Site

SLOW = """() => {
    const fetched = window.fetch;
    window.sent = 0;
    window.addEventListener("submit", (event) => {
        if (!event.defaultPrevented) window.sent += 1;
        event.preventDefault();
    });
    window.drawing = new Promise((asked) => {
        window.fetch = async (url, more) => {
            const answer = await fetched(url);  // whole, also where nothing has changed
            const body = await answer.text();
            await new Promise((brought) => {
                window.drawn = async () => {
                    brought();
                    for (let n = 0; n < 5; n++) await new Promise((frame) => requestAnimationFrame(frame));
                };
                asked();
            });
            return new Response(body, { status: 200, headers: answer.headers });
        };
    });
}"""
"""What is sent has no answer yet, and what the page is drawn anew from comes when a test has it come."""


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


def test_a_page_finds_back_to_a_stream_that_was_refused_and_leaves_when_nobody_is_signed_in(desk: Desk) -> None:
    context = desk.signed_in()
    page, elsewhere = context.new_page(), context.new_page()
    page.route("**/api/stream*", lambda route: route.fulfill(status=503, body="it can not just now"))
    with page.expect_response(lambda answer: "/api/stream" in answer.url) as refused:
        go(page, "/queues")
    assert refused.value.status == 503
    with page.expect_response(lambda answer: "/api/stream" in answer.url and answer.status == 200):
        page.unroute("**/api/stream*")
    go(elsewhere, "/settings")
    elsewhere.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login?next=%2Fqueues")
    context.close()


def test_a_button_is_pressed_once_however_long_its_answer_takes(desk: Desk) -> None:
    page = desk.page("/devices/SIM0002")
    page.evaluate(SLOW)
    button = page.get_by_role("button", name="Show which it is")
    page.evaluate("window.drawing")
    button.click()
    page.evaluate("window.drawn()")
    button.click()
    assert page.evaluate("window.sent") == 1, "its answer is still on its way"
    page.close()


def test_what_is_chosen_before_the_script_of_a_page_is_there_counts(desk: Desk) -> None:
    page = desk.context.new_page()
    held: list[Route] = []
    page.route("**/static/live.js", lambda route: held.append(route))
    with page.expect_request("**/static/live.js"):
        page.goto("/runs/new", wait_until="commit")
    page.get_by_label("Workflow").select_option("screenshot-baseline")
    held[0].continue_()
    expect(page.get_by_role("button", name="Start the run")).to_be_visible()
    page.unroute_all(behavior="ignoreErrors")
    page.close()


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
