"""Charts are read value by value, by pointer and by keys; what is looked at stays while the page is drawn anew."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.desk import Desk

DRAW_ANEW = """async () => {
    const text = await (await fetch(location.href)).text();
    const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("page");
    const page = document.getElementById("page");
    await htmx.swap({ text: fresh.outerHTML, sourceElement: page, target: page, swap: "outerMorph" });
}"""
"""As the page's script does when something changed."""


def test_a_chart_is_read_value_by_value_and_a_part_of_it_looked_at(desk: Desk) -> None:
    page = desk.page("/throughput")
    chart = page.locator(".plot").first
    drawn = chart.locator(".drawn")
    expect(drawn.locator("canvas")).to_be_visible()
    expect(chart.locator("svg")).to_be_hidden()
    assert drawn.get_attribute("aria-label") == "Tasks ended"
    drawn.focus()
    page.keyboard.press("ArrowLeft")
    expect(drawn.locator(".tip")).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d · Passed \d+ · Failed \d+$"))
    box = drawn.locator(".u-over").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 40, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, middle, steps=5)
    page.mouse.up()
    expect(drawn).to_have_class(re.compile("part"))
    page.evaluate(DRAW_ANEW)
    expect(drawn.locator("canvas")).to_be_visible()
    expect(drawn).to_have_class(re.compile("part"))
    page.keyboard.press("Escape")
    expect(drawn).not_to_have_class(re.compile("part"))
    page.close()
