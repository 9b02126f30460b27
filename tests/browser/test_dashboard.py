"""What an operator does at the dashboard, in a real browser over one fleet of simulated phones."""

from __future__ import annotations

import re
import shlex
from urllib.parse import quote

import httpx
from playwright.sync_api import expect

from doai.cli.device_flags import with_default_action
from doai.cli.main import make_parser
from tests.browser.accessibility import must_be_usable
from tests.browser.counting import counts_of
from tests.browser.desk import BUSY, PHONES, WAIT_MS, Desk, go, sign_in

HOSTILE = """<script>window.hacked=1</script><img src=x onerror="window.hacked=2">'"&{{7*7}}"""
PAGES = (
    "/", "/throughput", "/devices", "/devices?view=map", "/devices/SIM0001", "/devices/labels", "/runs",
    "/runs/new?workflow=playback-check", "/tasks", "/queues", "/dead", "/workflows", "/workflows/playback-check",
    "/workflows/playback-check/edit", "/workflows/new", "/nodes", "/bots", "/incidents", "/logs", "/audit",
    "/schedules", "/schedules/new", "/settings",
)  # fmt: skip
"""A run and a task are of the fleet, and come to these."""


# --- who comes in -------------------------------------------------------------------------------------------


def test_a_wrong_password_is_told_and_the_right_one_leads_on(desk: Desk) -> None:
    context = desk.context_of()
    page = context.new_page()
    go(page, "/devices?state=online")
    assert page.url.endswith("/login?next=%2Fdevices%3Fstate%3Donline")
    sign_in(page, "not the password")
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    sign_in(page, desk.password)
    page.wait_for_url("**/devices?state=online")
    [cookie] = [cookie for cookie in context.cookies() if cookie["name"] == "doai_session"]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    context.add_cookies([{"name": "doai_session", "value": cookie["value"], "url": desk.url}])
    go(page, "/devices")
    assert "/login" in page.url, "a session that was ended lets nobody in"
    context.close()


def test_nobody_is_led_elsewhere_and_no_other_site_changes_anything(desk: Desk) -> None:
    cookies = {cookie["name"]: cookie["value"] for cookie in desk.context.cookies()}
    with httpx.Client(base_url=desk.url, cookies=cookies, trust_env=False) as client:
        for path in ("/queues/default/pause", "/queues/default/discard", "/dead/discard", "/logout", "/runs/new"):
            answer = client.post(path, data={"csrf": "0" * 64})
            assert answer.status_code == 403, path
        answer = client.post("/api/v1/queues/default/pause", json={})
        assert answer.status_code == 403
        assert "X-CSRF-Token" in answer.json()["detail"]
        assert client.get("/api/v1/queues/default").json()["state"] == "running"
        for wanted in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"):
            assert client.get("/login", params={"next": wanted}).headers["location"] == "/"
        form = {"name": "admin", "password": desk.password}
        answer = client.post("/login", data=form, headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403
    with httpx.Client(base_url=desk.url, trust_env=False) as client:
        answer = client.get("/", headers={"Cookie": "doai_session=guessed"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert client.get("/api/stream").status_code == 401
        assert client.post("/queues/default/pause").headers["location"] == "/login"


# --- a day of an operator -----------------------------------------------------------------------------------


def test_a_run_is_started_watched_and_what_failed_is_tried_again(desk: Desk) -> None:
    page = desk.page("/runs")
    page.get_by_role("link", name="New run").click()
    page.get_by_label("Workflow").select_option("screenshot-baseline")
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url(re.compile(r"/runs/[0-9A-Z]{26}$"))
    page.evaluate("window.notReloaded = true")
    expect(page.locator(".lead .badge").first).to_have_text("Failed", timeout=WAIT_MS)
    expect(page.locator(".matrix .sq.s-failed")).to_have_count(PHONES)
    assert page.evaluate("window.notReloaded"), "it was watched without loading the page again"
    page.locator(".matrix .sq.s-failed").first.click()
    expect(page.get_by_role("heading", name="Why it failed")).to_be_visible()
    picture = page.locator(".pictures img").first
    picture.scroll_into_view_if_needed()
    expect(picture, "the picture of it is shown").not_to_have_js_property("naturalWidth", 0)
    page.get_by_role("button", name="Try again").click()
    page.wait_for_url(re.compile(r"/runs/[0-9A-Z]{26}\?done=tasks_retry"))
    expect(page.get_by_role("status").filter(has_text="It is tried again")).to_be_visible()
    page.close()


def test_all_that_failed_in_a_run_is_tried_again_as_one_run(desk: Desk) -> None:
    run_id = desk.run("screenshot-baseline")
    page = desk.page(f"/runs/{run_id}")
    waiting = page.locator(".kpi", has_text="Dead letters").locator("b")
    expect(waiting).to_have_text(str(PHONES))
    page.get_by_role("button", name="Try again what failed").click()
    expect(page.locator("form .lead")).to_contain_text(f"{PHONES} dead letters are tried again")
    expect(page.locator("#command")).to_have_text(f"doai dead retry --run {run_id}")
    must_be_usable(page)
    page.get_by_role("button", name=f"Yes, these {PHONES}").click()
    page.wait_for_url(re.compile(r"/runs/[0-9A-Z]{26}\?done=dead_retry"))
    assert run_id not in page.url
    expect(page.locator(".matrix tbody tr")).to_have_count(PHONES)
    go(page, f"/runs/{run_id}")
    expect(waiting, "none of it waits any more").to_have_count(0)
    expect(page.get_by_role("button", name="Try again what failed")).to_have_count(0)
    page.close()


def test_a_parameter_that_does_not_fit_is_said_beside_what_was_typed(desk: Desk) -> None:
    page = desk.page("/runs/new?workflow=playback-check")
    page.locator("[name='param.video_id']").fill("no video")
    page.get_by_role("button", name="Start the run").click()
    expect(page.get_by_role("alert")).to_contain_text("video_id")
    expect(page.locator("[name='param.video_id']")).to_have_value("no video")
    page.close()


def test_a_queue_is_paused_and_let_go_on_and_the_audit_says_who(desk: Desk) -> None:
    page = desk.page("/queues")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status").filter(has_text="The queue is paused.")).to_be_visible()
    expect(page.locator("tbody .badge").first).to_have_text("Paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("tbody .badge").first).to_have_text("Running")
    page.close()
    page = desk.page("/audit?action=queue.pause")
    expect(page.locator("tbody tr").first).to_contain_text("user/admin")
    expect(page.locator("tbody tr").first).to_contain_text("dashboard")
    page.close()


def test_what_waits_is_thrown_away_only_after_its_number_was_confirmed(desk: Desk) -> None:
    desk.wait_idle()  # what waits is this test's alone
    desk.ask("POST", "/queues/default/pause")
    body = {"workflow": "screenshot-baseline", "targets": {"kind": "all"}}
    desk.ask("POST", "/runs", body)
    page = desk.page("/queues")
    page.get_by_role("button", name="Discard").click()
    expect(page.locator("form .lead")).to_contain_text(f"{PHONES} tasks that wait")
    must_be_usable(page)
    page.get_by_role("button", name=f"Yes, these {PHONES}").click()
    page.wait_for_url("**/queues?done=queues_discard")
    expect(page.locator("tbody td.num").first).to_have_text("0")
    page.close()
    desk.ask("POST", "/queues/default/resume")


def test_an_incident_is_acknowledged_and_dead_letters_are_discarded_after_a_confirmation(desk: Desk) -> None:
    if desk.ask("GET", "/dead-letters").json()["open"] <= 10:
        for _ in range(4):
            desk.fail()
    desk.wait_idle()
    page = desk.page("/incidents")
    incident = page.locator("article").filter(has_text="DEAD_LETTERS")
    incident.get_by_placeholder("Note").fill("I look into it")
    incident.get_by_role("button", name="I look after it").click()
    expect(incident).to_contain_text("Acknowledged")
    expect(incident).to_contain_text("I look into it")
    go(page, "/dead")
    shown = page.locator("tbody tr").count()
    page.get_by_role("button", name="Discard these").click()
    expect(page.locator("form .lead")).to_contain_text(f"{shown} dead letters")
    page.get_by_role("button", name=f"Yes, these {shown}").click()
    page.wait_for_url("**/dead?done=dead_discard")
    expect(page.locator("tbody .empty")).to_be_visible()
    page.close()


def test_a_phone_is_held_and_given_back(desk: Desk) -> None:
    page = desk.page("/devices/SIM0002")
    page.get_by_placeholder("Reason").fill("its cable is changed")
    page.get_by_role("button", name="Hold for me").click()
    expect(page.locator(".lead")).to_contain_text("held by user/admin")
    page.get_by_role("button", name="Give back").click()
    expect(page.get_by_role("button", name="Hold for me")).to_be_visible()
    page.close()


def test_a_person_is_let_in_and_sees_what_the_role_may(desk: Desk) -> None:
    page = desk.page("/settings")
    page.get_by_label("Name", exact=True).fill("bob")
    page.get_by_role("button", name="Let a person in").click()
    password = page.locator("#password").inner_text()
    context = desk.context_of()
    his = context.new_page()
    go(his, "/login")
    sign_in(his, password, "bob")
    his.wait_for_url(f"{desk.url}/")
    go(his, "/queues")
    expect(his.locator("tbody tr")).to_have_count(1)
    assert his.get_by_role("button", name="Pause").count() == 0
    assert go(his, "/people").status == 403
    go(page, "/people")
    row = page.locator("tr").filter(has=page.get_by_role("rowheader", name="bob"))
    row.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("status").filter(has_text="sign in no more")).to_be_visible()
    context.close()


# --- every page ---------------------------------------------------------------------------------------------


def test_every_number_counts_the_list_that_it_leads_to(desk: Desk) -> None:
    desk.wait_idle()
    run = {"workflow": "screenshot-baseline", "targets": {"kind": "all"}}
    made = {"name": "counted", "plan": {"run": run, "schedule": {"cron": "0 3 * * *"}}}
    desk.ask("POST", "/campaigns", made)
    desk.ask("POST", "/campaigns/counted/fire")
    desk.wait_idle()
    run_id = desk.run("screenshot-baseline")
    page = desk.page("/")
    first, second = [run["runId"] for run in desk.ask("GET", "/runs").json()["items"][:2]]
    paths = (*PAGES, "/throughput?by=hour", f"/runs/{run_id}", f"/runs/compare?first={first}&second={second}")
    counted = counts_of(page, paths)
    for kind in (
        "/runs?campaign=counted",
        "/tasks?node=node-1&state=running",
        "/workflows/playback-check#versions",
    ):
        assert kind in counted
    desk.ask("DELETE", "/campaigns/counted")


def test_language_and_theme_are_chosen_once(desk: Desk) -> None:
    context = desk.signed_in()
    page = context.new_page()
    go(page, "/devices")
    page.get_by_label("Language").select_option("ko")
    expect(page.locator("h1")).to_have_text("기기")
    page.get_by_label("화면 모드").select_option("dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.wait_for_load_state()  # its styles, too
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    go(page, "/runs")
    expect(page.locator("h1")).to_have_text("실행")
    page.get_by_label("화면 모드").select_option("light")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.wait_for_load_state()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    context.close()


def test_every_page_can_be_used_by_all_fits_a_phone_and_tells_its_command(desk: Desk) -> None:
    desk.wait_idle()  # of those that failed, one is looked at
    page = desk.page("/")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    [task, *_] = desk.ask("GET", "/tasks?state=failed").json()["items"]
    for path in (*PAGES, f"/runs/{task['runId']}", f"/tasks/{task['taskId']}"):
        page.set_viewport_size({"width": 1440, "height": 900})
        go(page, path)
        must_be_usable(page, "dark")
        words = shlex.split(page.locator("#command").inner_text())
        assert words[0] == "doai"
        make_parser().parse_args(with_default_action(words[1:]))
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, (
            f"{path}: something is beside the screen"
        )
    assert [url for url in asked if not url.startswith(desk.url + "/")] == [], "all of it comes from here"


def test_hostile_words_are_shown_as_words(desk: Desk) -> None:
    said = {"label": HOSTILE[:60], "shelf": HOSTILE[:60], "notes": HOSTILE}
    assert desk.api.patch("/devices/SIM0003", json=said).status_code in (200, 422)
    desk.ask("POST", "/queues/default/drain", {"reason": HOSTILE})
    desk.ask("POST", "/devices/SIM0003/hold", {"reason": HOSTILE})
    page = desk.page("/")
    for path in ("/", "/devices", "/devices/SIM0003", "/queues", "/audit", f"/tasks?run={quote(HOSTILE)}"):
        go(page, path)
        assert page.evaluate("window.hacked") is None, path
    go(page, "/queues")
    expect(page.locator("tbody")).to_contain_text("<script>window.hacked=1</script>")
    page.close()
    desk.ask("POST", "/queues/default/resume")
    desk.ask("POST", "/devices/SIM0003/unhold")


def test_pages_say_when_something_is_not_there(desk: Desk) -> None:
    with httpx.Client(base_url=desk.url, trust_env=False) as client:
        client.cookies.update({cookie["name"]: cookie["value"] for cookie in desk.context.cookies()})
        for path in ("/runs/x", "/devices/x", "/workflows/x", "/nothing/here", "/static/x.js", "/tasks/x"):
            answer = client.get(path)
            assert answer.status_code in (404, BUSY), path
        assert answer.headers["content-type"].startswith("text/html")
        assert "script-src 'self'" in answer.headers["content-security-policy"]


def test_the_log_of_all_processes_is_one_and_leads_to_what_a_line_is_about(desk: Desk) -> None:
    run_id = desk.run("screenshot-baseline")
    page = desk.page(f"/logs?run_id={run_id}")
    expect(page.locator("tbody tr").filter(has_text="Task started").first).to_be_visible()
    expect(page.locator("tbody tr").filter(has_text="run of screenshot-baseline")).to_have_count(1)
    page.get_by_label("Program").select_option("broker")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("tbody tr").filter(has_text="Task started")).to_have_count(0)
    assert f"--program broker --run {run_id}" in page.locator("#command").inner_text()
    page.locator("tbody tr").filter(has_text="run of screenshot-baseline").get_by_role("link").last.click()
    page.wait_for_url(f"**/runs/{run_id}")
    page.close()


def test_what_did_not_change_is_not_sent_again_and_the_map_has_every_phone(desk: Desk) -> None:
    cookies = {cookie["name"]: cookie["value"] for cookie in desk.context.cookies()}
    with httpx.Client(base_url=desk.url, cookies=cookies, trust_env=False) as client:
        for path in ("/devices/map.json", "/settings", "/api/v1/workflows"):
            for _ in range(60):  # the fleet may change between two looks
                etag = client.get(path).headers["etag"]
                again = client.get(path, headers={"If-None-Match": etag})
                if again.status_code == 304:
                    break
            assert (again.status_code, again.content) == (304, b""), path
    page = desk.page("/devices?view=map")
    expect(page.locator(".map")).to_have_attribute("data-squares", str(PHONES))
    page.locator("canvas").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tip")).to_contain_text("SIM0001")
    expect(page.locator(".tip")).to_contain_text("Online")
    page.close()


def test_the_map_tells_who_is_out_of_service_and_why_and_leads_to_them(desk: Desk) -> None:
    desk.ask("POST", "/devices/SIM0001/quarantine", {"reason": "its battery swells"})
    desk.ask("POST", "/devices/SIM0002/hold", {"reason": "on my desk"})
    page = desk.page("/devices?view=map&q=SIM")
    for service, serial, why in (
        ("quarantined", "SIM0001", "its battery swells"),
        ("held", "SIM0002", "on my desk"),
    ):
        expect(page.locator(f".legend .k-{service} a")).to_have_text("1")
        page.locator("canvas").focus()
        page.keyboard.press("ArrowRight")
        expect(page.locator(".tip")).to_contain_text(serial)
        expect(page.locator(".tip")).to_contain_text(why)
    expect(page.locator(".legend .k-probing a")).to_have_text("0")
    must_be_usable(page)
    page.locator(".legend .k-held a").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("SIM0002")
    page.close()
    desk.ask("POST", "/devices/SIM0001/release")
    desk.ask("POST", "/devices/SIM0002/unhold")
