"""A task in the drawer beside the list: the list stays as it is, and the address says what is open."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.accessibility import must_be_usable
from tests.browser.desk import PHONES, Desk, go

PHONE = {"width": 390, "height": 844}


@pytest.fixture
def waiting(desk: Desk) -> Iterator[str]:
    """A run whose tasks wait until they are cancelled."""
    desk.wait_idle()
    desk.ask("POST", "/queues/default/pause")
    body = {"workflow": "screenshot-baseline", "targets": {"kind": "all"}, "attempts": 1}
    run_id: str = desk.ask("POST", "/runs", body).json()["runId"]
    yield run_id
    desk.ask("POST", f"/runs/{run_id}/cancel")
    desk.ask("POST", "/queues/default/resume")
    desk.wait_idle()


def test_a_task_opens_beside_the_list_by_keys_stays_true_and_closes(desk: Desk, waiting: str) -> None:
    page = desk.page(f"/tasks?state=queued&run={waiting}")
    before = page.url
    page.evaluate("window.kept = true")
    drawer, links = page.get_by_role("dialog", name="Task"), page.locator("tbody a[data-drawer]")
    expect(links).to_have_count(PHONES)
    first, second, _ = [(link.get_attribute("id") or "").removeprefix("task-") for link in links.all()]

    links.first.focus()
    page.keyboard.press("Enter")
    expect(drawer).to_be_focused()
    assert page.url == f"{before}&task={first}"
    expect(drawer.locator(".lead .badge")).to_have_text("Queued")
    expect(drawer.locator("#task-command")).to_have_text(f"doai tasks {first}")
    page.keyboard.press("Tab")
    expect(drawer.get_by_role("button", name="Cancel the task")).to_be_focused()
    desk.ask("POST", f"/tasks/{first}/cancel")
    expect(drawer.locator(".lead .badge"), "it is drawn anew").to_have_text("Cancelled")
    expect(links, "and so is the list, through the same filter").to_have_count(PHONES - 1)
    expect(drawer, "the button that had the focus is gone").to_be_focused()
    expect(page.get_by_label("State")).to_have_value("queued")

    page.locator(f"#task-{second}").click()
    expect(drawer).to_have_attribute("data-task", second)
    page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    expect(page.locator(f"#task-{second}")).to_be_focused()
    assert page.url == before
    page.locator(f"#task-{second}").click()
    expect(drawer).to_have_attribute("data-task", second)
    page.go_back()
    expect(drawer).to_have_count(0)
    page.go_forward()
    expect(drawer).to_have_attribute("data-task", second)
    page.go_back()
    expect(drawer).to_have_count(0)
    assert page.evaluate("window.kept"), "it was never loaded again"


def test_a_shared_address_opens_the_drawer_and_it_covers_a_phone(desk: Desk) -> None:
    desk.wait_idle()
    [task, *_] = desk.ask("GET", "/tasks?state=failed").json()["items"]
    page = desk.page(f"/tasks?state=failed&task={task['taskId']}")
    drawer, link = page.get_by_role("dialog", name="Task"), page.locator(f"#task-{task['taskId']}")
    expect(drawer.get_by_role("heading", name="Why it failed")).to_be_visible()
    for theme in ("light", "dark"):
        must_be_usable(page, theme)
    with page.context.expect_page() as other:
        link.click(modifiers=["ControlOrMeta"])
    expect(other.value, "a new tab has all of it").to_have_url(re.compile(r"/tasks/[0-9A-Z]{26}$"))
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert drawer.bounding_box() == {"x": 0, "y": 0, **PHONE}
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    expect(link, "what is covered is not reached").to_be_hidden()
    expect(page.locator("#live"), "how old it is stays to be seen").to_be_visible()
    must_be_usable(page)
    drawer.get_by_role("link", name="Close").click()
    expect(link).to_be_focused()
    assert page.url.endswith("/tasks?state=failed")

    go(page, "/tasks?task=%3Cb%3E%EC%9E%91%EC%97%85%27%22%00")
    expect(drawer).to_contain_text("There is no such task.")
    expect(page.locator("tbody a[data-drawer]"), "the list is there").not_to_have_count(0)
    must_be_usable(page)
