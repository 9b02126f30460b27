"""What an author does at the dashboard: writes a workflow that is checked while it is typed, and stores it."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.accessibility import must_be_usable
from tests.browser.desk import Desk, go

GOOD = """\
workflow: typed-here
title: {en: Typed here, ko: 여기서 쓴 것}
steps:
  - {id: picture, use: screen.capture}
"""


def test_a_workflow_is_checked_while_it_is_typed_and_stored(desk: Desk) -> None:
    page = desk.page("/workflows")
    page.get_by_role("link", name="New workflow").click()
    source = page.get_by_label("The workflow, in YAML")
    expect(page.locator(".says")).to_contain_text("No mistake")
    source.fill(GOOD.replace("use: screen.capture", "use: screen.captur"))
    expect(page.locator(".says.bad")).to_be_visible()
    mistake = page.locator(".mistakes li")
    expect(mistake).to_have_count(1)
    expect(mistake).to_contain_text("screen.capture")
    must_be_usable(page)
    expect(page.locator("pre .wrong")).to_have_text("4\n")
    mistake.get_by_role("button", name="Line 4").click()
    place = source.evaluate("text => text.value.slice(0, text.selectionStart).split('\\n').length")
    assert place == 4
    with page.expect_response(lambda answer: answer.request.method == "POST" and answer.status == 422):
        page.get_by_role("button", name="Store as the next version").click()
    expect(page.locator("#page[data-answer] .mistakes li")).to_have_count(1)
    expect(source).to_have_value(GOOD.replace("use: screen.capture", "use: screen.captur"))
    source.fill(GOOD)
    expect(page.locator(".says.good")).to_contain_text("1 steps")
    page.get_by_role("button", name="Store as the next version").click()
    page.wait_for_url("**/workflows/typed-here?done=workflows_store")
    page.get_by_role("link", name="Edit").click()
    expect(source).to_have_value(re.compile("use: screen.capture"))
    expect(page.locator(".says.good")).to_be_visible()
    go(page, "/workflows/typed-here")
    page.get_by_role("button", name="Archive version 1").click()
    expect(page.get_by_role("status").filter(has_text="No run is made of this version")).to_be_visible()
    expect(page.get_by_role("link", name="Run it")).to_have_count(0)
    page.get_by_role("button", name="Use version 1").click()
    expect(page.get_by_role("link", name="Run it")).to_be_visible()
    page.close()


def test_a_time_zone_is_chosen_once_and_otherwise_the_browsers(desk: Desk) -> None:
    context = desk.browser.new_context(base_url=desk.url, locale="en", timezone_id="America/New_York")
    context.add_cookies([{**cookie} for cookie in desk.context.cookies()])  # type: ignore[typeddict-item]
    page = context.new_page()
    go(page, "/devices")
    go(page, "/devices/SIM0001")
    expect(page.locator(".foot")).to_contain_text("America/New_York (UTC-0")
    page.get_by_label("Time zone").select_option("Asia/Seoul")
    expect(page.locator(".foot")).to_contain_text("Asia/Seoul (UTC+0900)")
    go(page, "/audit")
    expect(page.locator(".foot")).to_contain_text("Asia/Seoul (UTC+0900)")
    page.get_by_label("Time zone").select_option("")
    expect(page.locator(".foot")).to_contain_text("America/New_York (UTC-0")
    context.close()


def test_why_a_task_failed_is_said_in_korean_on_korean_pages(desk: Desk) -> None:
    desk.run("screenshot-baseline")
    context = desk.signed_in()
    context.add_cookies([{"name": "doai_language", "value": "ko", "url": desk.url}])
    page = context.new_page()
    go(page, "/tasks?state=failed")
    expect(page.locator("tbody tr").first).to_contain_text("비교할 기준 화면이 아직 없습니다")
    expect(page.locator("tbody tr").first).to_contain_text("baseline accept")
    page.locator("tbody tr a").first.click()
    expect(page.locator(".alarm")).to_contain_text("비교할 기준 화면이 아직 없습니다")
    go(page, "/runs/nothing")
    expect(page.get_by_role("alert")).to_contain_text("찾는 것이 없습니다")
    context.close()
