"""Charts are read value by value, by pointer and by keys; what is looked at stays while the page is drawn anew."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.desk import Desk, go

DRAW_ANEW = """async () => {
    const text = await (await fetch(location.href)).text();
    const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("page");
    const page = document.getElementById("page");
    await htmx.swap({ text: fresh.outerHTML, sourceElement: page, target: page, swap: "outerMorph" });
}"""
"""As the page's script does when something changed."""

ALL_TO = """values => {
    const svg = document.querySelector(".plot svg");
    const told = JSON.parse(svg.dataset.plot);
    told.series.forEach((each, n) => { each.values = each.values.map(() => values[n]); });
    svg.dataset.plot = JSON.stringify(told);
}"""
"""As if each bar of the first chart stood for so many tasks: failed, passed."""


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


def test_large_numbers_are_told_to_the_last_digit_and_fractions_in_short(desk: Desk) -> None:
    page = desk.context.new_page()
    page.route("**/throughput", lambda it: it.continue_() if it.request.is_navigation_request() else it.abort())
    go(page, "/throughput")
    drawn = page.locator(".plot").first.locator(".drawn")
    expect(drawn.locator("canvas")).to_be_visible()
    drawn.focus()
    for values, said in (
        ([1234, 56], "Passed 56 · Failed 1234"),
        ([25.4567, 0.01234], "Passed 0.0123 · Failed 25.5"),
    ):
        page.evaluate(ALL_TO, values)
        page.keyboard.press("ArrowLeft")
        expect(drawn.locator(".tip")).to_contain_text(said)
    page.close()
