"""Campaigns over the API, with a real broker and a real store: plans, times, history, mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.admin_site import Site, problem

WORKFLOW = "workflow: look\nsteps:\n  - {id: boot, use: device.bootstrap}\n"
RUN = {"workflow": "look", "targets": {"kind": "any", "count": 2}}
NIGHTLY = {"cron": "0 3 * * *", "zone": "Asia/Seoul"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("campaigns"))
    try:
        assert found.api.post("/workflows", content=WORKFLOW).status_code == 201
        yield found
        assert '"level":"error"' not in found.admin.log + found.broker.log
    finally:
        found.close()


def put(site: Site, name: str, **plan: Any) -> Any:
    body = {"name": name, "plan": {"run": RUN, "schedule": NIGHTLY, **plan}}
    return site.api.post("/campaigns", json=body)


def test_a_campaign_from_its_plan_to_its_history(site: Site) -> None:
    made = put(site, "nightly", overlap="queue", project="shelf-1")
    assert made.status_code == 201, made.text
    following = site.api.get("/campaigns/nightly/next", params={"count": 3}).json()["items"]
    assert [item["local"][11:] for item in following] == ["03:00:00+09:00"] * 3
    assert following[0]["atMs"] == made.json()["nextAtMs"] == following[0]["dueAtMs"]
    first = site.api.post("/campaigns/nightly/fire").json()["runId"]
    for _ in range(3):
        assert "runId" not in site.api.post("/campaigns/nightly/fire").json(), "they wait for the first one"
    shown = site.api.get("/campaigns/nightly").json()
    assert shown["current"] == {"runId": first, "state": "active", "tasks": 2, "counts": {"queued": 2}}
    assert (shown["runs"], shown["waiting"], shown["newest"]["state"]) == (1, 3, "waiting")
    assert site.api.get(f"/runs/{first}").json()["actor"] == "user/first"
    site.api.post(f"/runs/{first}/cancel")
    times, cursor = [], None
    while True:
        page = site.api.get(
            "/campaigns/nightly/times", params={"limit": 3} | ({"cursor": cursor} if cursor else {})
        )
        times += page.json()["items"]
        cursor = page.json()["next"]
        if cursor is None:
            break
    assert [item["state"] for item in times] == ["waiting", "waiting", "fired", "fired"]
    assert [item["cameOf"] for item in times] == [None, None, "active", "cancelled"]
    story = [event["text"] for event in site.api.get("/story/nightly").json()["items"]]
    assert story[0] == "Campaign nightly made by user/first: look, 0 3 * * * Asia/Seoul"
    listed = site.api.get("/campaigns", params={"project": "shelf-1", "state": "active"}).json()["items"]
    assert [item["name"] for item in listed] == ["nightly"]
    assert site.api.get("/campaigns", params={"project": "shelf-2"}).json()["items"] == []
    assert site.api.post("/campaigns/nightly/pause", json={"reason": "moved"}).json()["state"] == "paused"
    assert len(site.api.get("/campaigns/nightly/next").json()["items"]) == 5
    problem(site.api.post("/campaigns/nightly/pause"), 409, "campaign_state")
    assert site.api.delete("/campaigns/nightly").status_code == 200
    problem(site.api.get("/campaigns/nightly"), 404, "not_found")


def test_a_campaign_goes_on_after_the_broker_was_killed(site: Site) -> None:
    put(site, "kept", schedule={"cron": "0 3 1 1 *", "zone": "Asia/Seoul"})  # its next time does not come meanwhile
    before = site.api.get("/campaigns/kept").json()
    site.broker.process.kill()
    site.broker.wait()
    site.broker = site.start_broker(site.endpoint)
    site.broker.wait_for("READY")
    fired = None
    while fired is None or fired.status_code == 503:  # until the admin has greeted the new broker
        fired = site.api.post("/campaigns/kept/fire", headers={"Idempotency-Key": "kept-1"})
    assert fired.status_code == 200, fired.text
    after = site.api.get("/campaigns/kept").json()
    assert (after["nextAtMs"], after["runs"]) == (before["nextAtMs"], 1)


@pytest.mark.parametrize(
    ("plan", "status", "code"),
    [
        ({"schedule": {"cron": "0 0 30 2 *"}}, 422, "bad_schedule"),
        ({"schedule": {"cron": "0 0 * * *", "zone": "Asia/Soul"}}, 422, "bad_schedule"),
        ({"schedule": {"everyS": 5}}, 422, "bad_schedule"),
        ({"schedule": {"every": "5m"}}, 400, "bad_request"),
        ({"overlap": "both"}, 400, "bad_request"),
        ({"run": RUN | {"workflow": "loook"}}, 404, "workflow_not_found"),
        ({"run": RUN | {"queue": "fast"}}, 404, "queue_not_found"),
        ({"schedule": {"cron": "0 3 * * *", "startsAtMs": -1}}, 400, "bad_request"),
    ],
)
def test_what_can_not_be_made_says_why(site: Site, plan: dict[str, Any], status: int, code: str) -> None:
    problem(put(site, "wrong", **plan), status, code)
    problem(site.api.get("/campaigns/wrong"), 404, "not_found")


def test_a_preview_makes_nothing(site: Site) -> None:
    found = site.api.post("/schedules/preview", json={"schedule": {"everyS": 900, "jitterS": 60}, "count": 2})
    assert found.json()["when"] == "every 15 min, up to 1 min later"
    first, second = found.json()["items"]
    assert second["atMs"] - first["atMs"] == 900_000
    assert first["dueAtMs"] is None
    problem(site.api.post("/schedules/preview", json={"schedule": {}}), 422, "bad_schedule")
