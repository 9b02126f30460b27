"""The live screen of a phone: pictures come while somebody looks, nobody else sees them, and then they end."""

from __future__ import annotations

import re

import httpx
from playwright.sync_api import expect

from tests.browser.desk import Desk

PIXELS = """canvas => {
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return new Set(data).size;
}"""


def test_the_screen_of_a_phone_is_seen_until_nobody_looks(desk: Desk) -> None:
    page = desk.page("/devices/SIM0001")
    box = page.locator(".screen-live")
    expect(box.locator("canvas")).to_be_hidden()
    page.get_by_role("button", name="Look at the screen").click()
    canvas = box.locator("canvas")
    expect(canvas).to_be_visible()
    assert canvas.evaluate(PIXELS) > 1, "it is a picture, not one colour"
    expect(box).to_have_attribute("data-pictures", re.compile(r"^([3-9]|\d\d+)$"))
    expect(box.get_by_role("status")).to_contain_text("Nothing is stored")
    page.get_by_role("button", name="Stop looking").click()
    expect(canvas).to_be_hidden()
    page.close()
    listed = desk.ask("GET", "/audit?limit=1").json()["items"][0]
    assert "screen" not in listed["action"], "no command was needed: nothing went through the broker"


def test_a_screen_is_for_operators_and_only_nodes_bring_pictures(desk: Desk) -> None:
    answer = desk.api.get("/devices/nobody/screen")
    assert answer.status_code == 404
    token = desk.ask("POST", "/tokens", {"name": "only-looks", "role": "viewer"}).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{desk.url}/api/v1", headers=headers, trust_env=False) as viewer:
        assert viewer.get("/devices/SIM0001/screen").status_code == 403
        for path in ("/screens", "/screens/SIM0001"):
            sent = viewer.request("PUT" if "SIM" in path else "GET", path, headers={"X-Node-Id": "node-1"})
            assert sent.status_code == 401, path
    desk.ask("DELETE", "/tokens/only-looks")
