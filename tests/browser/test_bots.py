"""What an operator does with a bot at the dashboard: looks, configures it, stops it, lets it begin anew."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.accessibility import must_be_usable
from tests.browser.counting import counts_of
from tests.browser.desk import Desk, go
from tests.browser.guard import guard


def test_a_bot_is_looked_at_configured_stopped_and_begins_anew(desk: Desk, tmp_path: Path) -> None:
    with guard(desk, tmp_path):
        page = desk.page("/bots")
        row = page.locator("tr").filter(has_text="Looks after queues")
        expect(row.locator(".badge").first).to_have_text("Online")
        desk.ask("POST", "/queues/default/pause")
        desk.ask("POST", "/queues/default/resume")
        letters = row.locator("[data-number][href^='/dead']")
        expect(letters).to_have_text("2")
        assert {"/bots/guard#processes", "/dead?bot=guard"} < counts_of(page, ["/bots", "/bots/guard"])
        letters.click()
        expect(page.locator("tbody tr")).to_have_count(2)
        expect(page.locator("tbody")).to_contain_text("nothing is done about queues")

        go(page, "/bots/guard")
        expect(page.get_by_role("heading", name="Processes")).to_be_visible()
        must_be_usable(page)
        page.get_by_label("limit_c").evaluate("field => { field.max = 999; field.value = 99; }")
        page.get_by_role("button", name="Set the configuration").click()
        expect(page.get_by_role("alert")).to_contain_text("60")
        expect(page.get_by_label("limit_c")).to_have_value("99")
        page.get_by_label("limit_c").fill("50.5")
        page.get_by_label("only").fill("SIM0001\nSIM0002")
        page.get_by_label("loud").select_option("true")
        page.get_by_role("button", name="Set the configuration").click()
        expect(page.get_by_role("status").filter(has_text="reaches the bot at once")).to_be_visible()
        config = desk.ask("GET", "/bots/guard").json()["config"]
        assert config == {"limit_c": 50.5, "only": ["SIM0001", "SIM0002"], "loud": True}

        page.get_by_placeholder("Reason").fill("it is too eager")
        page.get_by_role("button", name="Deactivate").click()
        expect(page.locator(".lead")).to_contain_text("Off")
        expect(page.locator(".lead")).to_contain_text("it is too eager")
        desk.ask("POST", "/queues/default/pause")
        desk.ask("POST", "/queues/default/resume")
        page.get_by_label("Where subscription queues begins anew").select_option("end")
        page.get_by_role("button", name="Begin anew").click()
        expect(page.locator("form .lead")).to_contain_text("passes over")
        must_be_usable(page)
        page.get_by_role("button", name="Yes, these").click()
        page.wait_for_url("**/bots/guard?done=bots_reset")
        page.get_by_role("button", name="Activate").click()
        expect(page.locator(".lead")).to_contain_text("On")
        letters = desk.ask("GET", "/dead-letters?bot=guard/queues").json()["items"]
        assert len(letters) == 2, "what was passed over was not given to it"
        assert desk.ask("GET", "/dead-letters?bot=gua").json()["items"] == []
        page.close()
    asked = desk.ask("POST", "/dead-letters/discard", {"which": {"bot": "guard"}}).json()
    desk.ask("POST", "/dead-letters/discard", {"which": {"bot": "guard"}, "confirm": asked["confirm"]})
