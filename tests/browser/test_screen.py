"""The live screen and the log of a phone: they come while somebody looks, to nobody else, and then they end."""

from __future__ import annotations

import json
import re

import httpx
from playwright.sync_api import expect

from tests.browser.accessibility import must_be_usable
from tests.browser.desk import Desk

PIXELS = """canvas => {
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return new Set(data).size;
}"""

HOLD = """what => {
    const fetched = window.fetch;
    const asked = [];
    const held = () => new Promise((answer) => asked.push(answer));
    window.fetch = (url, more) => (url.includes(what) ? held() : fetched(url, more));
    window.bring = async (body, status, type) => {
        while (!asked.length) await new Promise((again) => setTimeout(again, 10));
        asked.shift()(new Response(body, { status, headers: { "Content-Type": type } }));
    };
}"""
"""Has these questions of a page wait for the answers that a test brings."""
LINE = """n => {
    const items = [{ n, kind: "line", text: `line ${n}` }];
    return bring(JSON.stringify({ begun: 1, after: n, items }), 200, "application/json");
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


def test_a_picture_that_comes_when_nobody_looks_any_more_is_not_shown(desk: Desk) -> None:
    page = desk.page("/devices/SIM0001")
    page.evaluate(HOLD, "/screen?")
    page.get_by_role("button", name="Look at the screen").click()
    page.get_by_role("button", name="Stop looking").click()
    page.evaluate("""async () => {
        const picture = await new Promise((made) => document.createElement("canvas").toBlob(made, "image/jpeg"));
        await bring(picture, 200, "image/jpeg");
        await createImageBitmap(picture);
        await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    }""")
    expect(page.locator(".screen-live canvas")).to_be_hidden()
    page.close()


def test_screens_and_logs_are_for_operators_and_only_nodes_bring_them(desk: Desk) -> None:
    for what in ("screen", "logcat", "logcat/stream"):
        assert desk.api.get(f"/devices/nobody/{what}").status_code == 404
    token = desk.ask("POST", "/tokens", {"name": "only-looks", "role": "viewer"}).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{desk.url}/api/v1", headers=headers, trust_env=False) as viewer:
        for what in ("screen", "logcat", "logcat/stream"):
            assert viewer.get(f"/devices/SIM0001/{what}").status_code == 403
        for path in ("/screens", "/screens/SIM0001", "/logcats", "/logcats/SIM0001"):
            sent = viewer.request("PUT" if "SIM" in path else "GET", path, headers={"X-Node-Id": "node-1"})
            assert sent.status_code == 401, path
    desk.ask("DELETE", "/tokens/only-looks")


def test_the_log_of_a_phone_is_read_filtered_and_paused(desk: Desk) -> None:
    page = desk.page("/devices/SIM0002")
    box = page.locator(".log-live")
    page.get_by_role("button", name="Read the log").click()
    line = box.get_by_role("log").get_by_text("SystemServer: Entered the Android system server!").first
    expect(line).to_be_visible()
    expect(box.get_by_role("status")).to_contain_text("Nothing is stored")
    must_be_usable(page)
    box.get_by_label("With these words").fill("no such words")
    expect(line).to_be_hidden()
    box.get_by_label("With these words").fill("systemserver")
    expect(line).to_be_visible()
    box.get_by_label("Level").select_option("E")
    expect(line).to_be_hidden()
    box.get_by_label("Level").select_option("V")
    page.get_by_role("button", name="Pause").click()
    expect(box.get_by_role("status")).to_contain_text("Paused")
    page.get_by_role("button", name="Go on").click()
    expect(box.get_by_role("status")).to_contain_text("This is live")
    page.get_by_role("button", name="Stop reading").click()
    page.close()


def test_a_log_goes_on_behind_an_answer_of_something_else_and_shows_what_was_held_when_it_ends(desk: Desk) -> None:
    page = desk.page("/devices/SIM0002")
    page.evaluate(HOLD, "/logcat?")
    box = page.locator(".log-live")
    lines = box.get_by_role("log")
    page.get_by_role("button", name="Read the log").click()
    page.evaluate("bring('<html>a proxy whose server is away</html>', 502, 'text/html')")
    expect(box.get_by_role("status")).to_have_text("The server can not be reached.")
    page.evaluate(LINE, 2)
    expect(lines).to_have_text("line 2")
    page.get_by_role("button", name="Pause").click()
    page.evaluate(LINE, 3)
    expect(box.get_by_role("status")).to_have_text("Paused: 1 new lines wait.")
    page.get_by_role("button", name="Stop reading").click()
    expect(lines).to_have_text("line 2line 3")
    page.close()


def test_a_program_follows_a_log_as_events(desk: Desk) -> None:
    with desk.api.stream("GET", "/devices/SIM0003/logcat/stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        told = next(json.loads(line[6:]) for line in lines if line.startswith("data: "))
        # While it is followed: some seconds after nobody looks any more, its numbers begin anew.
        after = desk.api.get("/devices/SIM0003/logcat", params={"after": told["n"] - 1}).json()
    assert told["kind"] == "line"
    assert "SystemServer" in told["text"]
    assert after["items"][0] == told, "a number is the same however it is asked"
