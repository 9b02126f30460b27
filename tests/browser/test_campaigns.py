"""A schedule from a form: its times first, then it is made, and removed after a second look."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.accessibility import must_be_usable
from tests.browser.desk import Desk


def test_a_schedule_is_looked_at_made_and_removed(desk: Desk) -> None:
    page = desk.page("/schedules/new?workflow=playback-check")
    must_be_usable(page)
    page.locator("[name=name]").fill("made-here")
    page.get_by_label("Time zone").last.fill("Asia/Seul")
    page.get_by_role("button", name="Show the next times").click()
    expect(page.get_by_role("alert")).to_contain_text("did you mean 'Asia/Seoul'?")
    page.get_by_label("Time zone").last.fill("Asia/Seoul")
    page.get_by_role("button", name="Show the next times").click()
    expect(page.locator("time").filter(has_text="T03:00:00+09:00")).to_have_count(5)
    page.locator("[name='param.video_id']").fill("no video")
    page.get_by_role("button", name="Make the schedule").click()
    expect(page.get_by_role("alert")).to_contain_text("video_id")
    expect(page.locator("[name=name]")).to_have_value("made-here")
    assert desk.ask("GET", "/campaigns").json()["items"] == []
    page.locator("[name='param.video_id']").fill("dQw4w9WgXcQ")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Make the schedule").click()
    expect(page.get_by_role("status").filter(has_text="The schedule is made.")).to_be_visible()
    [made] = desk.ask("GET", "/campaigns").json()["items"]
    assert (made["name"], made["when"]) == ("made-here", "0 3 * * * Asia/Seoul")

    row = page.locator("tr").filter(has=page.get_by_role("rowheader", name="made-here"))
    row.get_by_role("button", name="Remove").click()
    expect(page.locator("form.panel .lead")).to_contain_text("Its 0 runs stay")
    page.get_by_role("button", name="Yes, remove it").click()
    page.wait_for_url(re.compile("/schedules[?]done=campaigns_remove"))
    expect(page.get_by_role("rowheader", name="made-here")).to_have_count(0)
    page.close()
