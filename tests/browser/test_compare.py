"""Two runs beside each other: picked in the list, or from the page of one; every number counts its list."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.accessibility import must_be_usable
from tests.browser.desk import PHONES, Desk, go


def numbers(page: Page) -> dict[str, int]:
    found = page.eval_on_selector_all(
        "a.kpi", "all => all.map(a => [a.getAttribute('href'), a.querySelector('[data-number]').dataset.number])"
    )
    return {href: int(number) for href, number in found}


def test_two_runs_are_picked_and_compared_phone_by_phone(desk: Desk) -> None:
    earlier = desk.run("login-and-screenshot")
    later = desk.run("screenshot-baseline")
    page = desk.page("/runs")
    boxes = page.get_by_role("checkbox")
    boxes.nth(0).check()
    boxes.nth(1).press("Space")
    page.get_by_role("button", name="Compare these two").press("Enter")
    page.wait_for_url(f"**/runs/compare?first={earlier}&second={later}")
    must_be_usable(page)
    expect(page.get_by_text("The two are of different workflows.")).to_be_visible()
    compared = desk.ask("GET", f"/runs/{earlier}/compare?with={later}").json()["counts"]
    shown = numbers(page)
    assert sum(shown.values()) == PHONES == sum(compared.values())
    for href, number in shown.items():
        go(page, href)
        assert page.locator("tbody tr").count() == number
        assert f"change={next(name for name in compared if href.endswith(f'change={name}'))}" in page.url
    page.get_by_role("link", name="Swap").click()
    page.wait_for_url(f"**/runs/compare?first={later}&second={earlier}")

    go(page, f"/runs/{later}")
    page.get_by_role("link", name="Compare", exact=True).click()
    expect(page.locator("h2")).to_contain_text("Pick the run to compare this one with")
    must_be_usable(page)
    assert page.locator(f"input[type=radio][value='{later}']").count() == 0, "it is not compared with itself"
    go(page, f"/runs/compare?run={later}&run={earlier}&run=x")
    expect(page.get_by_role("alert")).to_contain_text("3 are picked: pick two.")
    assert go(page, f"/runs/compare?first={later}&second=nope").status == 404
    page.set_viewport_size({"width": 390, "height": 844})
    for path in (f"/runs/compare?run={later}", f"/runs/compare?first={earlier}&second={later}"):
        go(page, path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    page.close()


def test_what_is_picked_stays_picked_when_another_run_comes(desk: Desk) -> None:
    picked = desk.run("login-and-screenshot")
    page = desk.page("/runs")
    page.get_by_role("checkbox").first.check()
    page.evaluate("document.activeElement.blur()")
    newer = desk.run("login-and-screenshot")
    expect(page.get_by_role("checkbox").first).to_have_value(newer)
    chosen = page.eval_on_selector_all("input[name=run]:checked", "all => all.map(box => box.value)")
    assert chosen == [picked]
    page.close()
