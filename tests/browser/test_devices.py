"""What an operator does with devices at the dashboard: many at once, what is said of one, labels to print."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.accessibility import must_be_usable
from tests.browser.desk import PHONES, Desk, go


def test_phones_picked_by_hand_are_held_and_given_back_together(desk: Desk) -> None:
    page = desk.page("/devices")
    page.get_by_label("SIM0001", exact=True).check()
    page.get_by_label("SIM0003", exact=True).check()
    page.locator("select[name=deed]").select_option("hold")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("form .lead")).to_contain_text("2 devices are held for you")
    must_be_usable(page)
    page.get_by_label("Reason").fill("the shelf is rewired")
    page.get_by_role("button", name="Yes, these 2").click()
    expect(page.get_by_role("status").filter(has_text="2 are held for you")).to_be_visible()
    devices = desk.ask("GET", "/devices?service=held").json()["items"]
    assert [device["serial"] for device in devices] == ["SIM0001", "SIM0003"]
    assert {device["hold"]["reason"] for device in devices} == {"the shelf is rewired"}

    go(page, "/devices?service=held")
    page.get_by_label("All 2 that match").check()
    page.locator("select[name=deed]").select_option("unhold")
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Yes, these 2").click()
    expect(page.get_by_role("status").filter(has_text="2 are given back")).to_be_visible()
    assert desk.ask("GET", "/devices?service=held").json()["items"] == []
    page.close()


def test_what_changed_meanwhile_is_asked_for_again_and_what_is_refused_is_told(desk: Desk) -> None:
    page = desk.page("/devices?service=in_service")
    page.get_by_label(f"All {PHONES} that match").check()
    page.locator("select[name=deed]").select_option("quarantine")
    page.get_by_role("button", name="Go on").click()
    desk.ask("POST", "/devices/SIM0002/quarantine", {"reason": "by another person"})
    page.get_by_role("button", name=f"Yes, these {PHONES}").click()
    expect(page.get_by_role("alert")).to_contain_text("Meanwhile")
    page.get_by_role("button", name=f"Yes, these {PHONES - 1}").click()
    expect(page.get_by_role("status").filter(has_text="2 are quarantined")).to_be_visible()
    desk.ask("POST", "/devices/SIM0002/release")
    go(page, "/devices")
    page.get_by_label("All shown").check()
    page.locator("select[name=deed]").select_option("release")
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name=f"Yes, these {PHONES}").click()
    expect(page.get_by_role("status").filter(has_text="2 are released")).to_be_visible()
    expect(page.locator("#refused")).to_contain_text("1 were refused")
    page.close()


def test_a_phone_shows_which_it_is_as_a_run_that_can_be_ended(desk: Desk) -> None:
    page = desk.page("/devices/SIM0002")
    page.get_by_role("button", name="Show which it is").click()
    expect(page.get_by_role("status").filter(has_text="the device shows itself")).to_be_visible()
    run_id = page.url.partition("/runs/")[2].partition("?")[0]
    [task] = desk.ask("GET", f"/tasks?run_id={run_id}").json()["items"]
    assert task["deviceSerial"] == "SIM0002"
    assert desk.ask("GET", f"/runs/{run_id}").json()["params"] == {"text": "SIM0002", "seconds": 30}
    desk.ask("POST", f"/runs/{run_id}/cancel")
    desk.wait_idle()
    page.close()


def test_nothing_picked_is_said_and_nothing_done(desk: Desk) -> None:
    page = desk.page("/devices")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("alert")).to_have_text("No device is picked.")
    page.close()


def test_a_phone_is_described_put_in_a_group_and_found_by_it(desk: Desk) -> None:
    page = desk.page("/devices/SIM0001")
    page.get_by_text("Edit label and groups").click()
    page.get_by_label("Label", exact=True).fill("Kim's phone")
    page.get_by_label("Shelf").fill("A3-12")
    page.get_by_label("Group").fill("night, no/slash")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("no/slash")
    expect(page.get_by_label("Shelf")).to_have_value("A3-12")
    page.get_by_label("Group").fill("night")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("h1")).to_have_text("Kim's phone")
    go(page, "/devices?q=KIM")
    expect(page.locator("tbody tr")).to_have_count(1)
    go(page, "/devices?group=night")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_label("All shown").check()
    page.locator("select[name=deed]").select_option("ungroup")
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Group to take them out of").fill("night")
    page.get_by_role("button", name="Yes, these 1").click()
    expect(page.get_by_role("status").filter(has_text="1 were changed")).to_be_visible()
    assert desk.ask("GET", "/devices?group=night").json()["items"] == []
    desk.ask("PATCH", "/devices/SIM0001", {"label": "", "shelf": ""})
    page.close()


def test_labels_have_a_code_that_leads_to_the_phone(desk: Desk) -> None:
    page = desk.page("/devices")
    page.get_by_label("SIM0002", exact=True).check()
    page.get_by_role("button", name="Print QR labels").click()
    assert "csrf" not in page.url, "the token of the session is in no address"
    label = page.locator(".labels li")
    expect(label).to_have_count(1)
    expect(label).to_contain_text(f"{desk.url}/devices/SIM0002")
    expect(label.get_by_role("img", name="QR code of the page of SIM0002")).to_be_visible()
    assert label.locator("svg path").first.bounding_box() is not None
    page.close()


def test_a_pick_stays_on_its_phone_while_the_page_is_drawn_anew(desk: Desk) -> None:
    page = desk.page("/devices")
    page.get_by_label("SIM0002", exact=True).check()
    page.locator("h1").click()  # the focus is elsewhere: the page is drawn again
    before = page.locator("#page").get_attribute("data-at")
    expect(page.locator("#page")).not_to_have_attribute("data-at", str(before))
    expect(page.get_by_label("SIM0002", exact=True)).to_be_checked()
    expect(page.get_by_label("SIM0001", exact=True)).not_to_be_checked()
    page.close()
