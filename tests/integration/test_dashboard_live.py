"""The stream of pages and the metrics: a beat each second, events from any position, a broker that comes back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.admin_site import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("live"))
    try:
        found.add_node()
        yield found
    finally:
        found.close()


def frames(site: Site, path: str, **headers: str) -> Iterator[tuple[dict[str, str], Any]]:
    """Yield what a stream tells: its fields, and its data."""
    given = {"Authorization": f"Bearer {site.token}", **headers}
    with httpx.stream("GET", site.url + path, headers=given, timeout=90, trust_env=False) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            elif "data" in fields:
                yield fields, json.loads(fields["data"])
                fields = {}


def beats(site: Site, **headers: str) -> Iterator[Any]:
    return (
        data
        for fields, data in frames(site, "/api/stream?events=false", **headers)
        if fields.get("event") == "beat"
    )


def test_a_stream_goes_on_behind_the_last_id(site: Site) -> None:
    for deed in ("pause", "resume"):
        assert site.api.post(f"/queues/default/{deed}").status_code == 200
    page = site.api.get("/events").json()
    positions = [event["position"] for event in page["items"]]
    assert len(positions) >= 2
    seen = []
    for fields, data in frames(site, "/api/stream?after=0"):
        if fields.get("event") != "beat":
            seen.append(data["position"])
        if seen == positions:
            break
    told = frames(site, "/api/stream", **{"Last-Event-ID": str(positions[0])})
    assert next(data["position"] for fields, data in told if fields.get("event") != "beat") == positions[1]


def test_a_beat_says_that_the_broker_is_away_and_that_it_is_back(site: Site) -> None:
    def last() -> int:
        position: int = site.api.get("/events").json()["lastPosition"]
        return position

    told, before = beats(site), last()
    first = next(told)
    assert first["broker"] == ""
    assert before <= first["position"] <= last()
    assert site.broker.stop() == 0
    assert next(beat for beat in told if beat["broker"])
    site.broker = site.start_broker(site.endpoint)
    assert next(beat for beat in told if not beat["broker"])["position"] >= first["position"]


def test_metrics_are_lines_that_prometheus_reads(site: Site) -> None:
    assert httpx.get(site.url + "/metrics", trust_env=False).status_code == 401
    answer = httpx.get(site.url + "/metrics", headers={"Authorization": f"Bearer {site.token}"}, trust_env=False)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    names = [line.split()[2] for line in lines if line.startswith("# TYPE ")]
    assert len(names) == len(set(names))
    for line in lines:
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name.split("{")[0] in names, line
            float(value)
    assert 'doai_queue_tasks{queue="default",state="waiting"} 0' in lines
    assert "doai_broker_connected 1" in lines
    assert "doai_dead_letters_open 0" in lines


def test_a_token_for_a_part_of_the_api_opens_that_part(site: Site) -> None:
    body = {"name": "scraper", "role": "viewer", "scopes": ["statistics"], "expiresInS": 3600}
    made = site.api.post("/tokens", json=body)
    assert made.status_code == 201, made.text
    with site.client(made.json()["token"]) as client:
        assert client.get(site.url + "/metrics").status_code == 200
        refused = client.get("/runs")
        assert refused.status_code == 403
        assert "opens statistics only" in refused.json()["detail"]


def test_wrong_passwords_are_slowed_and_lock_nobody_out(site: Site) -> None:
    made = site.api.post("/users", json={"name": "ann", "role": "viewer"}).json()
    with httpx.Client(base_url=site.url, trust_env=False) as client:
        answers = []
        while not answers or (answers[-1].status_code == 401 and len(answers) < 60):
            answers.append(client.post("/login", data={"name": "bob", "password": "wrong"}))
        assert len(answers) > 5, "some tries are free"
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) > 0
        answer = client.post("/login", data={"name": "ann", "password": made["password"]})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert client.get("/api/v1/me").json()["role"] == "viewer"
        assert client.get("/audit").status_code == 403
        assert client.get("/api/v1/keys").status_code == 403
        assert (
            site.api.put("/users/ann/password", json={"password": "another one, longer"}).json()["sessionsEnded"]
            == 1
        )


def test_another_password_ends_all_sessions_of_a_person_at_once(site: Site) -> None:
    password = site.api.post("/users", json={"name": "eve", "role": "viewer"}).json()["password"]
    with (
        httpx.Client(base_url=site.url, trust_env=False, timeout=90) as here,
        httpx.Client(base_url=site.url, trust_env=False, timeout=90) as elsewhere,
    ):
        for client in (here, elsewhere):
            assert client.post("/login", data={"name": "eve", "password": password}).status_code == 303
        page = here.get("/settings")
        assert (page.status_code, elsewhere.get("/settings").status_code) == (200, 200)
        [csrf] = set(re.findall(r'name="csrf" value="(\w+)"', page.text))
        old = here.cookies["doai_session"]
        fields = {"csrf": csrf, "now": password, "new": "correct horse battery"}
        changed = here.post("/settings/password", data=fields)
        assert (changed.status_code, changed.headers["location"]) == (303, "/login?next=%2Fsettings")
        assert "doai_session" not in here.cookies
        here.cookies["doai_session"] = old
        for client in (here, elsewhere):
            assert client.get("/settings").headers["location"] == "/login?next=%2Fsettings"
        assert here.get(changed.headers["location"]).status_code == 200, "it asks for the new one"
