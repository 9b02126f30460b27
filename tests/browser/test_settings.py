"""Settings in one place: one's own wishes and password, and what an admin lets in."""

from __future__ import annotations

import httpx
from playwright.sync_api import expect

from tests.browser.accessibility import must_be_usable
from tests.browser.desk import Desk, go, sign_in


def test_a_person_sets_wishes_and_another_password_with_the_keyboard_alone(desk: Desk) -> None:
    password = desk.ask("POST", "/users", {"name": "eve", "role": "viewer"}).json()["password"]
    context = desk.context_of()
    page = context.new_page()
    go(page, "/login")
    sign_in(page, password, "eve")
    page.wait_for_url(f"{desk.url}/")
    page.get_by_role("link", name="Settings").press("Enter")
    page.wait_for_url("**/settings")
    expect(page.locator("h1")).to_have_text("Settings")
    assert page.locator("#people, #tokens, #channels").count() == 0, "a viewer is not shown what she may not do"
    page.locator("main").get_by_label("Language").select_option("ko")
    expect(page.locator("h1")).to_have_text("설정")
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    must_be_usable(page)
    page.locator("main").get_by_label("언어").select_option("en")
    expect(page.locator("h1")).to_have_text("Settings")

    page.get_by_label("Your password now").fill("not mine at all")
    page.get_by_label("The new one").fill("correct horse battery")
    page.get_by_role("button", name="Change it").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("nothing was changed")
    page.get_by_label("Your password now").fill(password)
    page.get_by_label("The new one").fill("correct horse battery")
    page.get_by_role("button", name="Change it").press("Enter")
    page.wait_for_url("**/login?next=%2Fsettings")
    sign_in(page, "correct horse battery", "eve")
    page.wait_for_url("**/settings")
    context.close()
    desk.ask("DELETE", "/users/eve")


def test_an_admin_makes_a_token_that_opens_what_it_should_and_takes_it_back(desk: Desk) -> None:
    page = desk.page("/settings")
    page.get_by_label("Name of the token").fill("wall")
    page.get_by_label("Opens").fill("runs, fleet")
    page.get_by_role("button", name="Make a token").click()
    token = page.locator("#token").inner_text()
    with httpx.Client(
        base_url=f"{desk.url}/api/v1", headers={"Authorization": f"Bearer {token}"}, trust_env=False
    ) as api:
        assert api.get("/devices").status_code == 200
        assert api.get("/queues").status_code == 403, "it opens two parts only"
        row = page.locator("tr").filter(has=page.get_by_role("rowheader", name="wall"))
        expect(row.locator(".tag")).to_have_text(["runs", "fleet"])
        row.get_by_role("button", name="Revoke").click()
        expect(page.get_by_role("status").filter(has_text="revoked")).to_be_visible()
        assert api.get("/devices").status_code == 401, "it is so when it is said"
    expect(page.locator("#channels")).to_be_visible()
    page.close()
