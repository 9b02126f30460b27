"""The API over a real broker and a real store: what people, programs and nodes rely on."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doai.admin.screens import PICTURE_BYTES_MAX
from doai.limits import ARTIFACT_BYTES_MAX
from doai.wire.keys import is_public_key, make_keypair
from tests.integration.admin_site import RUN_ID, TASK_ID, Program, Site, artifact, problem

WORKFLOW = "workflow: look\nsteps:\n  - {id: boot, use: device.bootstrap}\n"
OPERATIONS = [
    ("GET", "/runs", "viewer"),
    ("POST", "/runs", "operator"),
    ("GET", "/runs/x", "viewer"),
    ("GET", "/runs/x/steps", "viewer"),
    ("POST", "/runs/x/cancel", "operator"),
    ("GET", "/tasks", "viewer"),
    ("GET", "/tasks/x", "viewer"),
    ("POST", "/tasks/x/cancel", "operator"),
    ("GET", "/devices", "viewer"),
    ("GET", "/devices/x", "viewer"),
    ("GET", "/devices/x/screen", "operator"),
    ("GET", "/devices/x/logcat", "operator"),
    ("GET", "/devices/x/logcat/stream", "operator"),
    ("GET", "/nodes", "viewer"),
    ("GET", "/nodes/x", "viewer"),
    ("PATCH", "/devices/x", "operator"),
    ("POST", "/devices/descriptions", "operator"),
    ("GET", "/queues", "viewer"),
    ("GET", "/queues/x", "viewer"),
    ("PUT", "/queues/x", "operator"),
    ("POST", "/queues/x/pause", "operator"),
    ("POST", "/queues/x/resume", "operator"),
    ("POST", "/queues/x/drain", "operator"),
    ("POST", "/queues/x/discard", "operator"),
    ("POST", "/queues/x/clean", "admin"),
    ("POST", "/queues/x/retry-failed", "operator"),
    ("POST", "/devices/x/quarantine", "operator"),
    ("POST", "/devices/x/release", "operator"),
    ("POST", "/devices/x/hold", "operator"),
    ("POST", "/devices/x/unhold", "operator"),
    ("POST", "/devices/x/identify", "operator"),
    ("POST", "/nodes/x/quarantine", "operator"),
    ("POST", "/nodes/x/release", "operator"),
    ("GET", "/bots", "viewer"),
    ("GET", "/bots/x", "viewer"),
    ("PUT", "/bots/x/config", "author"),
    ("POST", "/bots/x/status", "operator"),
    ("POST", "/bots/x/subscriptions/x/reset", "operator"),
    ("GET", "/incidents", "viewer"),
    ("POST", "/incidents/x/acknowledge", "operator"),
    ("POST", "/incidents/x/resolve", "operator"),
    ("GET", "/dead-letters", "viewer"),
    ("GET", "/dead-letters/x", "viewer"),
    ("POST", "/dead-letters/retry", "operator"),
    ("POST", "/dead-letters/discard", "operator"),
    ("GET", "/workflows", "viewer"),
    ("GET", "/workflows/x", "viewer"),
    ("POST", "/workflows", "author"),
    ("GET", "/workflows/x/versions", "viewer"),
    ("GET", "/workflows/x/diff", "viewer"),
    ("GET", "/workflows/x/graph.svg", "viewer"),
    ("POST", "/workflows/x/versions/1/activate", "author"),
    ("POST", "/workflows/x/versions/1/archive", "author"),
    ("POST", "/workflow-checks", "viewer"),
    ("GET", "/artifacts", "viewer"),
    ("GET", "/artifacts/x", "viewer"),
    ("GET", "/files", "viewer"),
    ("GET", "/files/x", "viewer"),
    ("GET", "/apps/x", "viewer"),
    ("PUT", "/files/x", "operator"),
    ("DELETE", "/files/x", "operator"),
    ("GET", "/contents/x", "viewer"),
    ("POST", "/baselines", "author"),
    ("GET", "/events", "viewer"),
    ("GET", "/logs", "operator"),
    ("GET", "/overview", "viewer"),
    ("GET", "/queues/x/trend", "viewer"),
    ("POST", "/tasks/x/retry", "operator"),
    ("POST", "/runs/x/rerun", "operator"),
    ("GET", "/runs/x/compare", "viewer"),
    ("GET", "/events/stream", "viewer"),
    ("GET", "/story/x", "viewer"),
    ("GET", "/statistics", "viewer"),
    ("GET", "/devices/x/samples", "viewer"),
    ("GET", "/bots/x/reports", "viewer"),
    ("GET", "/plays", "viewer"),
    ("GET", "/plays/report", "viewer"),
    ("GET", "/audit", "operator"),
    ("GET", "/campaigns", "viewer"),
    ("POST", "/campaigns", "operator"),
    ("GET", "/campaigns/x", "viewer"),
    ("DELETE", "/campaigns/x", "operator"),
    ("GET", "/campaigns/x/times", "viewer"),
    ("GET", "/campaigns/x/next", "viewer"),
    ("POST", "/campaigns/x/pause", "operator"),
    ("POST", "/campaigns/x/resume", "operator"),
    ("POST", "/campaigns/x/fire", "operator"),
    ("POST", "/schedules/preview", "viewer"),
    ("GET", "/retention", "viewer"),
    ("POST", "/retention", "admin"),
    ("GET", "/usage", "viewer"),
    ("GET", "/versions", "viewer"),
    ("GET", "/settings", "viewer"),
    ("GET", "/backups", "admin"),
    ("POST", "/backups", "admin"),
    ("POST", "/backups/x/check", "admin"),
    ("GET", "/keys", "admin"),
    ("POST", "/keys", "admin"),
    ("DELETE", "/keys/x", "admin"),
    ("GET", "/tokens", "admin"),
    ("POST", "/tokens", "admin"),
    ("DELETE", "/tokens/x", "admin"),
    ("GET", "/users", "admin"),
    ("POST", "/users", "admin"),
    ("PUT", "/users/x/password", "admin"),
    ("PUT", "/users/x/role", "admin"),
    ("DELETE", "/users/x", "admin"),
    ("GET", "/me", "viewer"),
    ("GET", "/notifications", "viewer"),
    ("POST", "/notifications/x/test", "operator"),
    ("GET", "/enrolments", "admin"),
    ("POST", "/enrolments", "admin"),
    ("GET", "/secrets", "admin"),
    ("PUT", "/secrets/x", "admin"),
    ("DELETE", "/secrets/x", "admin"),
    ("POST", "/secrets/rotate", "admin"),
    ("GET", "/adb-key", "admin"),
    ("POST", "/adb-key", "admin"),
]
BODILESS = re.compile(
    r"/(cancel|activate|archive|backups|rotate|fire|retention|test|rerun|tasks/{task_id}/retry)\b"
)
"""Operations that their path says wholly."""
RANKS = {"viewer": 1, "operator": 2, "author": 3, "admin": 4}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("site"))
    try:
        found.secret = found.add_node()
        yield found
        assert found.admin.stop() == 0
        assert '"level":"error"' not in found.admin.log, "nothing that was asked of it was a fault of ours"
    finally:
        found.close()


@pytest.fixture(scope="module")
def tokens(site: Site) -> dict[str, str]:
    """A token of each role."""
    made = {}
    for role in RANKS:
        answer = site.api.post("/tokens", json={"name": f"some-{role}", "role": role})
        assert answer.status_code == 201, answer.text
        made[role] = answer.json()["token"]
    return made


# --- who may ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "needs"), OPERATIONS)
def test_nothing_is_open_and_each_role_may_what_the_table_says(
    site: Site, tokens: dict[str, str], method: str, path: str, needs: str
) -> None:
    for headers in ({}, {"Authorization": "Bearer doai_wrong"}, {"Authorization": f"Basic {site.token}"}):
        with site.client() as client:
            answer = client.request(method, path, headers=headers)
        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    for role, token in tokens.items():
        with site.client(token) as client, client.stream(method, path) as answer:
            if RANKS[role] >= RANKS[needs]:
                assert answer.status_code not in (401, 403)
            else:
                answer.read()
                problem(answer, 403, "forbidden")


def test_the_table_has_every_operation(site: Site) -> None:
    described = httpx.get(f"{site.url}/schema", trust_env=False).json()["paths"]
    found = {(method.upper(), path) for path, operations in described.items() for method in operations}
    listed = {(method, re.sub(r"/(x|1)(?=/|$)", "/{}", path)) for method, path, _ in OPERATIONS}
    api = {(method, path.removeprefix("/api/v1")) for method, path in found if path.startswith("/api/")}
    shaped = {(method, "/".join("{}" if "{" in part else part for part in path.split("/"))) for method, path in api}
    shaped -= {("GET", "/api/stream")}  # tests/browser: it is what pages listen to
    of_nodes = {
        ("PUT", "/artifacts/{}"),
        ("POST", "/join"),
        ("GET", "/tasks/{}/secrets"),
        ("GET", "/screens"),
        ("PUT", "/screens/{}"),
        ("GET", "/logcats"),
        ("PUT", "/logcats/{}"),
        ("GET", "/bots/{}/secrets/{}"),
    }
    assert shaped - of_nodes == listed


def test_health_is_open_and_says_little(site: Site) -> None:
    for path, status in (("/healthz", "alive"), ("/readyz", "ready")):
        answer = httpx.get(site.url + path, trust_env=False)
        assert answer.status_code == 200
        assert answer.json()["status"] == status


def test_every_operation_has_an_example_of_its_answer_and_of_its_errors(site: Site) -> None:
    described = httpx.get(f"{site.url}/schema", trust_env=False).json()
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                for content in response["content"].values():
                    assert content["examples"], f"{method} {path} {status}"
            if method in ("post", "put") and not BODILESS.search(path):
                assert operation["requestBody"], f"{method} {path}"


def test_the_first_token_was_written_for_its_owner_only(site: Site) -> None:
    path = site.folder / "token"
    assert path.stat().st_mode & 0o777 == 0o600
    assert site.token.startswith("doai_")
    assert site.token not in site.admin.log


def test_a_revoked_token_stops_and_the_last_admin_token_stays(site: Site) -> None:
    token = site.api.post("/tokens", json={"name": "short", "role": "viewer"}).json()["token"]
    with site.client(token) as client:
        assert client.get("/runs").status_code == 200
        assert site.api.delete("/tokens/short").json() == {"name": "short"}
        problem(client.get("/runs"), 401, "unauthorized")
    problem(site.api.delete("/tokens/short"), 404, "not_found")
    listed = {item["name"]: item for item in site.api.get("/tokens").json()["items"]}
    assert listed["short"]["revokedAtMs"]
    assert "doai_" not in json.dumps(listed)


def test_a_stream_ends_when_its_token_is_revoked_and_those_of_others_go_on(site: Site) -> None:
    token = site.api.post("/tokens", json={"name": "streams", "role": "viewer"}).json()["token"]
    with (
        site.client(token) as client,
        client.stream("GET", "/events/stream", params={"type": "queue.*"}) as ended,
        site.api.stream("GET", "/events/stream", params={"type": "queue.*"}) as other,
    ):
        his, others = ended.iter_lines(), other.iter_lines()
        assert next(his).startswith("retry:")
        assert next(others).startswith("retry:")
        done = site.api.delete("/tokens/streams")
        site.api.post("/queues/default/pause").raise_for_status()
        site.api.post("/queues/default/resume").raise_for_status()
        assert next(filter(None, his), "") == "", "what happens after it was revoked is not for it"
        told = next(json.loads(line.removeprefix("data: ")) for line in others if line.startswith("data: "))
        assert told["position"] > int(done.headers["X-Doai-Position"])


# --- keys ---------------------------------------------------------------------------------------------------


def test_a_key_is_added_once_told_its_secret_and_revoked(site: Site) -> None:
    body = {"name": "node-k", "role": "node", "publicKey": make_keypair().public}
    added = site.api.post("/keys", json=body).json()
    assert len(added["secret"]) == 43
    assert is_public_key(added["brokerPublicKey"])
    assert added["brokerEndpoint"] == site.endpoint
    again = site.api.post("/keys", json=body)
    assert again.status_code == 201, "a lost answer is asked for again, with a new secret"
    assert again.json()["secret"] != added["secret"]
    problem(site.api.post("/keys", json=body | {"publicKey": make_keypair().public}), 409, "conflict")
    problem(site.api.post("/keys", json=body | {"publicKey": "short"}), 422, "bad_key")
    problem(site.api.post("/keys", json=body | {"publickey": "x"}), 400, "bad_request")
    assert site.api.delete("/keys/node-k").status_code == 200
    listed = {item["name"]: item for item in site.api.get("/keys").json()["items"]}
    assert listed["node-k"]["revokedAtMs"]
    assert added["secret"] not in json.dumps(listed)


# --- workflows ----------------------------------------------------------------------------------------------


def test_a_workflow_is_stored_once_a_content(site: Site) -> None:
    first = site.api.post("/workflows", content=WORKFLOW)
    assert first.status_code == 201
    again = site.api.post("/workflows", content=WORKFLOW)
    assert again.status_code == 200
    assert again.json() == first.json() | {"new": False}
    shown = site.api.get("/workflows/look").json()
    assert shown["recipe"]["steps"][0]["use"] == "device.bootstrap"
    assert shown["contentHash"] == first.json()["contentHash"]
    assert site.api.get("/workflows/look", params={"version": 1}).json() == shown
    problem(site.api.get("/workflows/look", params={"version": 9}), 404, "not_found")
    assert "look" in [item["name"] for item in site.api.get("/workflows").json()["items"]]


def test_every_mistake_of_a_workflow_has_its_place(site: Site) -> None:
    body = problem(site.api.post("/workflows", content="workflow: A b\nsteps: 3\n"), 422, "bad_workflow")
    assert [(mistake["line"], mistake["column"]) for mistake in body["mistakes"]] == [(1, 11), (2, 8)]
    assert body["details"][0].startswith("line 1, column 11:")
    tab = problem(site.api.post("/workflows", content="workflow: x\nsteps:\n\t- 1\n"), 422, "bad_workflow")
    assert tab["mistakes"][0]["line"] == 3
    problem(site.api.post("/workflows", content=b"\xff\xfe"), 400, "bad_request")
    problem(site.api.post("/workflows", content=b"a" * 200_000), 413, "too_large")
    problem(site.api.post("/workflows", content=b"a" * 2_000_000), 413, "too_large")


# --- runs and tasks -----------------------------------------------------------------------------------------


def any_run(count: int = 1, **more: Any) -> dict[str, Any]:
    return {"workflow": "look", "targets": {"kind": "any", "count": count}, **more}


def test_how_everything_stands_is_one_answer_whose_numbers_are_those_of_the_lists(site: Site) -> None:
    overview = site.api.get("/overview").json()
    nodes = site.api.get("/nodes").json()["items"]
    assert overview["nodesTotal"] == len(nodes)
    assert overview["nodesOnline"] == sum(node["state"] == "online" for node in nodes)
    assert {queue["name"] for queue in overview["queues"]} == {
        queue["name"] for queue in site.api.get("/queues").json()["items"]
    }
    assert overview["runsOpen"] == len(site.api.get("/runs", params={"state": "open"}).json()["items"])
    assert site.api.get("/tasks", params={"state": "held", "queue": "default"}).json()["items"] == []
    assert site.api.get("/queues/default/trend").status_code == 200
    problem(site.api.get("/queues/none/trend"), 404, "not_found")


def test_what_did_not_give_up_is_not_tried_again_and_a_run_is_the_same_as_itself(site: Site) -> None:
    site.api.post("/workflows", content=WORKFLOW)
    run_id = site.api.post("/runs", json=any_run(1)).json()["runId"]
    problem(site.api.post(f"/runs/{run_id}/rerun"), 409, "nothing_to_retry")
    [task] = site.api.get("/tasks", params={"runId": run_id}).json()["items"]
    problem(site.api.post(f"/tasks/{task['taskId']}/retry"), 409, "nothing_to_retry")
    problem(site.api.post("/tasks/none/retry"), 404, "not_found")
    compared = site.api.get(f"/runs/{run_id}/compare", params={"with": run_id}).json()
    assert compared["items"] == [], "no phone has taken its task"
    problem(site.api.get(f"/runs/{run_id}/compare", params={"with": "none"}), 404, "not_found")
    site.api.post(f"/runs/{run_id}/cancel")


def test_a_run_is_seen_as_soon_as_it_is_answered(site: Site) -> None:
    site.api.post("/workflows", content=WORKFLOW)
    answer = site.api.post("/runs", json=any_run(3))
    assert answer.status_code == 201, answer.text
    created = answer.json()
    assert answer.headers["location"] == created["url"]
    assert len(created["taskIds"]) == 3
    position = int(answer.headers["x-doai-position"])
    assert site.api.get("/events").json()["lastPosition"] >= position
    run = site.api.get(f"/runs/{created['runId']}").json()
    assert (run["workflow"], run["version"], run["state"], run["tasks"]) == ("look", 1, "active", 3)
    assert run["counts"] == {"queued": 3}
    assert run["interface"] == "http"
    assert run["actor"] == "user/first"
    assert site.api.get("/runs").json()["items"][0] == run
    story = site.api.get(f"/story/{created['runId']}").json()["items"]
    assert story[-1]["position"] <= position
    assert [event["type"] for event in story] == ["run.created"] + ["task.queued"] * 3
    assert all(event["text"] for event in story)


def test_the_same_idempotency_key_never_makes_a_second_run(site: Site) -> None:
    site.api.post("/workflows", content=WORKFLOW)
    headers = {"Idempotency-Key": "once"}
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: site.api.post("/runs", json=any_run(), headers=headers), range(8)))
    assert {answer.status_code for answer in made} == {201}
    assert len({answer.json()["runId"] for answer in made}) == 1
    problem(site.api.post("/runs", json=any_run(2), headers=headers), 409, "key_reused")


def test_lists_come_in_pages_that_miss_and_repeat_nothing(site: Site) -> None:
    site.api.post("/workflows", content=WORKFLOW)
    run = site.api.post("/runs", json=any_run(5)).json()
    for path, query in (("/tasks", {"run_id": run["runId"]}), (f"/story/{run['runId']}", {}), ("/runs", {})):
        whole = site.api.get(path, params=query).json()["items"]
        pieces, cursor = [], None
        while cursor is not None or not pieces:
            page = site.api.get(path, params={**query, "limit": 2} | ({"cursor": cursor} if cursor else {})).json()
            pieces += page["items"]
            cursor = page["next"]
            if cursor is None:
                break
        assert pieces == whole
    listed = site.api.get("/tasks", params={"run_id": run["runId"]}).json()["items"]
    assert {task["taskId"] for task in listed} == set(run["taskIds"])


def test_lists_are_narrowed(site: Site, tokens: dict[str, str]) -> None:
    def found(path: str, key: str = "name", **filters: object) -> list[str]:
        return [item[key] for item in site.api.get(path, params=filters).json()["items"]]  # type: ignore[arg-type]

    assert found("/tokens", q="SOME-", role="author", live=True) == ["some-author"]
    assert found("/tokens", q="some-", live=False) == []
    assert found("/users", role="viewer", q="nobody") == []
    [node] = found("/keys", role="node", live=True)
    assert found("/nodes", "nodeId", q="no such node") == []
    assert node in found("/keys")
    assert found("/queues", state="running") == found("/queues") != []
    assert found("/queues", state="paused") == []
    assert found("/bots", state="offline", status="inactive") == []
    assert found("/backups", q="x") == []
    name = found("/workflows", state="active")[0]
    assert found("/workflows", q=name[1:]) != []
    assert found("/workflows", state="draft") == []
    whole = found(f"/workflows/{name}/versions", "version")
    pages, cursor = [], None
    while True:
        params = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = site.api.get(f"/workflows/{name}/versions", params=params).json()
        pages += [item["version"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert pages == whole


def test_cancel_ends_what_waits_and_is_too_late_afterwards(site: Site) -> None:
    site.api.post("/workflows", content=WORKFLOW)
    run = site.api.post("/runs", json=any_run(2)).json()
    one, _ = run["taskIds"]
    task = site.api.post(f"/tasks/{one}/cancel", json={"reason": "not this one"})
    assert task.json() == {"cancelled": 1, "cancelling": 0, "endedBefore": 0}
    problem(site.api.post(f"/tasks/{one}/cancel"), 409, "too_late")
    shown = site.api.get(f"/tasks/{one}").json()
    assert shown["state"] == "cancelled"
    assert "not this one" in shown["reason"]
    assert (shown["attempts"], shown["artifacts"], shown["outputs"]) == ([], [], {})
    assert site.api.post(f"/runs/{run['runId']}/cancel").json()["cancelled"] == 1
    body = problem(site.api.post(f"/runs/{run['runId']}/cancel"), 409, "too_late")
    assert "cancelled" in body["detail"]
    problem(site.api.post("/runs/nothing/cancel"), 404, "not_found")
    problem(site.api.post("/tasks/nothing/cancel"), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"workflow": "unknown", "targets": {"kind": "any"}}, 404, "workflow_not_found"),
        ({"workflow": "look", "targets": {"kind": "devices", "serials": ["none"]}}, 422, "bad_targets"),
        ({"workflow": "look", "targets": {"kind": "all", "selector": {"tag": ["a"]}}}, 400, "bad_request"),
        ({"workflow": "look", "targets": {"kind": "every"}}, 400, "bad_request"),
        ({"workflow": "look", "targets": {"kind": "any"}, "parms": {}}, 400, "bad_request"),
        ({"workflow": "look", "targets": {"kind": "any"}, "params": {"x": 1}}, 422, "bad_parameters"),
        ({"workflow": "look", "targets": {"kind": "any"}, "params": {"x": "y" * 300_000}}, 413, "too_large"),
        ({"workflow": "look", "targets": {"kind": "any"}, "params": {"x": 2**64}}, 400, "bad_request"),
        ({"workflow": 3}, 400, "bad_request"),
        ([], 400, "bad_request"),
    ],
)
def test_a_run_that_can_not_be_is_refused_in_one_sentence(site: Site, body: Any, status: int, code: str) -> None:
    site.api.post("/workflows", content=WORKFLOW)
    before = site.api.get("/events").json()["lastPosition"]
    problem(site.api.post("/runs", json=body), status, code)
    assert site.api.get("/events").json()["lastPosition"] == before


# --- artifacts ----------------------------------------------------------------------------------------------


def test_a_file_is_stored_once_served_whole_and_told_of(site: Site) -> None:
    path, data = artifact("shot"), bytes(range(256)) * 3000
    stored = site.put(path, data)
    assert stored.status_code == 201, stored.text
    assert (site.data_dir / "artifacts" / path).read_bytes() == data
    again = site.put(path, data)
    assert again.status_code == 200
    assert again.json() == stored.json()
    problem(site.put(path, b"other"), 409, "conflict")
    assert (site.data_dir / "artifacts" / path).read_bytes() == data
    fetched = site.api.get(f"/artifacts/{path}")
    assert fetched.content == data
    assert fetched.headers["etag"] == f'"{hashlib.sha256(data).hexdigest()}"'
    assert fetched.headers["content-type"] == "image/png"
    assert fetched.headers["x-content-type-options"] == "nosniff"
    unchanged = site.api.get(f"/artifacts/{path}", headers={"If-None-Match": fetched.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    listed = site.api.get("/artifacts", params={"run_id": RUN_ID}).json()["items"]
    [item] = [item for item in listed if item["path"] == path]
    assert httpx.get(item["url"], headers=dict(site.api.headers), trust_env=False).content == data
    assert (item["sizeBytes"], item["taskId"], item["stepId"]) == (len(data), TASK_ID, "login/shot")
    events = site.api.get("/events", params={"type": "artifact.stored", "subject": f"task/{TASK_ID}"}).json()
    assert [event["payload"]["path"] for event in events["items"]].count(path) == 1


def test_a_step_id_that_is_no_latin_text_arrives(site: Site) -> None:
    assert site.put(artifact("korean"), b"x", X_Step_Id="%EC%A0%84%ED%99%94/shot").status_code == 201
    listed = site.api.get("/artifacts", params={"run_id": RUN_ID}).json()["items"]
    assert "전화/shot" in [item["stepId"] for item in listed]


def test_markup_of_a_node_is_never_served_as_markup(site: Site) -> None:
    path = artifact("page", extension="html")
    assert site.put(path, b"<script>", Content_Type="text/html").status_code == 201
    fetched = site.api.get(f"/artifacts/{path}")
    assert fetched.headers["content-type"] == "application/octet-stream"
    assert "sandbox" in fetched.headers["content-security-policy"]


def test_uploads_that_must_not_be(site: Site) -> None:
    other = site.add_node("node-2")
    good = artifact("refused")
    problem(site.put(good, b"x", secret="wrong"), 401, "unauthorized")
    problem(site.put(good, b"x", secret=other), 401, "unauthorized")
    problem(site.put(good, b"x", secret=""), 401, "unauthorized")
    problem(site.put(good, b"x", node="nobody"), 401, "unauthorized")
    problem(site.put(good, b"x", node="admin", secret=""), 401, "unauthorized")
    problem(site.put(artifact("x", node="node-2"), b"x"), 403, "forbidden")
    problem(site.put(good, b"x", X_Content_Sha256="0" * 64), 422, "damaged_upload")
    problem(site.put(good, b"x", X_Content_Sha256="zz"), 400, "bad_request")
    problem(site.put(good, b"x", X_Run_Id="another"), 400, "bad_request")
    problem(site.put(good, b"x", X_Device_Serial="another"), 400, "bad_request")
    problem(site.put(good, b"x", X_Task_Id="../x"), 400, "bad_request")
    problem(site.put(good, b"x", X_Step_Id=""), 400, "bad_request")
    for path in ("x", "video/node-1/A1/r/.hidden", good + "/more", "video/node-1/A1/%2e%2e/%2e%2e/x", "a%00b"):
        problem(site.put(path, b"x"), 400, "bad_artifact_path")
    for path in ("video/node-1/A1/../../../../x", "../../../../../etc/x", "/etc/x", "video//node-1"):
        assert raw_put(site, path, {"Content-Length": "1"}, b"x").startswith(b"HTTP/1.1 400"), path
    problem(site.api.get("/artifacts/..%2f..%2fbroker.db"), 400, "bad_artifact_path")
    problem(site.api.get(f"/artifacts/{good}"), 404, "not_found")
    assert not (site.data_dir / "artifacts" / good).exists()
    assert list((site.data_dir / "artifacts" / ".incoming").iterdir()) == []
    assert site.api.delete("/keys/node-2").status_code == 200
    problem(site.put(artifact("x", node="node-2"), b"x", node="node-2", secret=other), 401, "unauthorized")


def raw_put(site: Site, path: str, headers: dict[str, str], body: bytes, *, finish: bool = True) -> bytes:
    """Send an upload by hand; return the answer's head, empty when there is none."""
    host, _, port = site.url.removeprefix("http://").partition(":")
    given = {"Host": host, "X-Node-Id": "node-1", "X-Node-Auth": site.secret, "X-Run-Id": RUN_ID}
    given |= {"X-Task-Id": TASK_ID, "X-Step-Id": "s", "X-Device-Serial": "A1", "X-Content-Sha256": "0" * 64}
    head = "".join(f"{name}: {value}\r\n" for name, value in (given | headers).items())
    with socket.create_connection((host, int(port)), timeout=90) as sender:
        sender.sendall(f"PUT /api/v1/artifacts/{path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        if not finish:
            sender.shutdown(socket.SHUT_WR)
        return sender.recv(65_536)


def test_an_upload_that_breaks_off_leaves_nothing(site: Site) -> None:
    path = artifact("broken")
    raw_put(site, path, {"Content-Length": "1000000"}, b"x" * 300_000, finish=False)
    assert not (site.data_dir / "artifacts" / path).exists()
    incoming = site.data_dir / "artifacts" / ".incoming"
    while list(incoming.iterdir()):  # removed as soon as the connection's end is seen
        continue
    assert site.put(path, b"whole").status_code == 201


def test_an_upload_that_is_too_large_or_of_unknown_size_is_refused_before_it_is_read(site: Site) -> None:
    path = artifact("large")
    answer = raw_put(site, path, {"Content-Length": str(ARTIFACT_BYTES_MAX + 1)}, b"")
    assert answer.startswith(b"HTTP/1.1 413")
    answer = raw_put(site, path, {"Transfer-Encoding": "chunked"}, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 411")


@pytest.mark.parametrize("how", ["announced", "in parts"])
def test_a_picture_of_a_screen_that_is_too_large_is_told_so(site: Site, how: str) -> None:
    body = b"\xff\xd8\xff" + b"x" * PICTURE_BYTES_MAX
    headers = {"X-Node-Id": "node-1", "X-Node-Auth": site.secret}
    content = body if how == "announced" else iter([body[:1000], body[1000:]])
    answer = httpx.put(
        f"{site.url}/api/v1/screens/A1", content=content, headers=headers, trust_env=False, timeout=30
    )
    problem(answer, 413, "too_large")


def test_uploads_of_one_path_at_once_end_with_one_content(site: Site) -> None:
    path = artifact("race")
    contents = [bytes([n]) * 100_000 for n in range(4)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda data: (data, site.put(path, data)), contents * 2))
    won = {data for data, answer in answers if answer.status_code in (200, 201)}
    assert len(won) == 1
    assert {answer.status_code for data, answer in answers if data not in won} == {409}
    assert site.api.get(f"/artifacts/{path}").content in won


# --- events -------------------------------------------------------------------------------------------------


def read_stream(client: httpx.Client, count: int, **query: str) -> list[dict[str, Any]]:
    """Follow the stream until so many events came."""
    headers = {"Last-Event-ID": query.pop("last")} if "last" in query else {}
    events: list[dict[str, Any]] = []
    with client.stream("GET", "/events/stream", params=query, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        position = ""
        for line in answer.iter_lines():
            if line.startswith("id: "):
                position = line.removeprefix("id: ")
            if line.startswith("data: "):
                events.append(json.loads(line.removeprefix("data: ")))
                assert str(events[-1]["position"]) == position
            if len(events) == count:
                return events
    raise AssertionError(f"the stream ended after {len(events)} events")


def test_a_stream_goes_on_where_it_was_left(site: Site) -> None:
    site.api.post("/workflows", content=WORKFLOW)
    site.api.post("/runs", json=any_run(4))
    whole = site.api.get("/events", params={"limit": 1000}).json()["items"]
    first = read_stream(site.api, 3, after="0")
    rest = read_stream(site.api, len(whole) - 3, last=str(first[-1]["position"]), after="0")
    assert first + rest == whole


def test_a_stream_tells_of_what_happens_now(site: Site) -> None:
    site.api.post("/workflows", content=WORKFLOW)
    after = str(site.api.get("/events", params={"limit": 1}).json()["lastPosition"])
    with ThreadPoolExecutor(4) as pool:
        watching = [pool.submit(read_stream, site.api, 2, after=after, type="task.*") for _ in range(3)]
        run = site.api.post("/runs", json=any_run(2)).json()
        for watched in watching:
            assert [event["payload"]["taskId"] for event in watched.result(90)] == run["taskIds"]


def test_patterns_and_positions_that_are_none(site: Site) -> None:
    for query in ({"type": "task..x"}, {"after": "-1"}, {"after": "x"}, {"cursor": "x"}, {"limit": "1001"}):
        problem(site.api.get("/events", params=query), 400, "bad_request")
    problem(site.api.get("/events/stream", headers={"Last-Event-ID": "x"}), 400, "bad_request")
    problem(site.api.get("/events", params={"after": str(10**30)}), 400, "bad_request")
    problem(site.api.get("/story/nothing"), 404, "not_found")


# --- whatever is asked --------------------------------------------------------------------------------------

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=40)
NAMES = ("limit", "cursor", "state", "run_id", "task_id", "device", "node", "after", "type", "subject", "version")
PATHS = [path for method, path, _ in OPERATIONS if method == "GET" and path != "/events/stream"]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PATHS), WORDS, st.dictionaries(st.sampled_from(NAMES), WORDS | st.integers(), max_size=3))
def test_no_question_makes_it_fail(site: Site, path: str, word: str, query: dict[str, Any]) -> None:
    from urllib.parse import quote

    answer = site.api.get(path.replace("/x", "/" + quote(word, safe="")), params=query)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.json()["detail"]


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([(m, p) for m, p, _ in OPERATIONS if m == "POST"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(["workflow", "targets", "kind", "serials", "name", "role", "publicKey", "reason"]),
                x,
            )
        ),
        max_leaves=5,
    ),
)
def test_no_body_makes_it_fail(site: Site, operation: tuple[str, str], body: Any) -> None:
    method, path = operation
    answer = site.api.request(method, path, json=body)
    assert answer.status_code < 500, answer.text


def test_what_is_not_there_and_what_is_not_possible(site: Site) -> None:
    problem(httpx.get(f"{site.url}/nothing", trust_env=False), 404, "not_found")
    answer = site.api.put("/runs", json={})
    problem(answer, 405, "method_not_allowed")
    assert "GET" in answer.headers["allow"]
    problem(site.api.post("/runs", content=b"{"), 400, "bad_request")


# --- the programs -------------------------------------------------------------------------------------------


def test_a_port_in_use_and_a_host_that_is_reached_from_outside(site: Site, tmp_path: Path) -> None:
    port = site.url.rpartition(":")[2]
    second = Program("admin", ["--data-dir", str(site.data_dir), "--port", port], tmp_path)
    assert second.wait() == 69
    assert f"port {port}" in second.log
    assert "--port" in second.log
    open_one = Program("admin", ["--data-dir", str(site.data_dir), "--host", "0.0.0.0"], tmp_path)
    assert open_one.wait() == 78
    assert "behind_proxy" in open_one.log


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_with_streams_open_and_goes_on_after_a_broker_was_killed(
    tmp_path: Path, how: signal.Signals
) -> None:
    site = Site(tmp_path)
    try:
        site.secret = site.add_node()
        site.api.post("/workflows", content=WORKFLOW)
        site.broker.process.kill()
        site.broker.wait()
        path = artifact("kept")
        refused = site.put(path, b"data")
        problem(refused, 503, "broker_unavailable")
        assert int(refused.headers["retry-after"]) > 0
        ready = httpx.get(f"{site.url}/readyz", trust_env=False)
        assert problem(ready, 503, "not_ready")["details"]
        site.broker = site.start_broker(site.endpoint)
        while httpx.get(f"{site.url}/readyz", trust_env=False).status_code != 200:
            continue
        assert site.put(path, b"data").status_code == 201, "the retry of what the broker did not hear of"
        with site.api.stream("GET", "/events/stream", params={"after": 0}) as answer:
            lines = answer.iter_lines()
            next(lines)
            site.admin.process.send_signal(how)
            assert list(lines)[-1] == "", "the stream ends whole"
        assert site.admin.wait() == 0
        assert "Traceback" not in site.admin.log
        assert site.token not in site.admin.log
        assert site.secret not in site.admin.log
        # The next start finds the token of before and makes no other.
        site.admin = site.start_admin()
        site.url = site.admin.wait_for("X_DOAI_URL")
        with site.client(site.token) as client:
            assert [token["name"] for token in client.get("/tokens").json()["items"]] == ["first"]
    finally:
        site.close()


# --- the audit ----------------------------------------------------------------------------------------------


def test_who_did_what_is_told_with_what_was_so_before_and_after(site: Site, tokens: dict[str, str]) -> None:
    with site.client(tokens["operator"]) as client:
        problem(client.post("/devices/nobody/quarantine", json={"reason": "x"}), 404, "device_not_found")
    [row] = site.api.get("/audit", params={"subject": "device/nobody"}).json()["items"]
    assert (row["actor"], row["role"], row["token"]) == ("user/some-operator", "operator", "some-operator")
    assert (row["address"], row["interface"], row["outcome"]) == ("127.0.0.1", "http", "refused")
    assert row["code"] == "device_not_found"
    assert "there is no device" in row["reason"]
    site.api.post("/tokens", json={"name": "seen", "role": "viewer"})
    site.api.delete("/tokens/seen")
    revoked, added = site.api.get("/audit", params={"subject": "token/seen"}).json()["items"]
    assert (added["before"], added["after"]["role"], added["after"]["token_sha256"]) == (None, "viewer", "***")
    assert (revoked["action"], revoked["before"]["revoked_at_ms"]) == ("token.revoke", None)
    assert revoked["after"]["revoked_at_ms"]


def test_the_audit_comes_in_pages_and_by_filters(site: Site) -> None:
    everything, cursor = [], None
    while True:
        page = site.api.get("/audit", params={"limit": 7} | ({"cursor": cursor} if cursor else {})).json()
        everything += [item["n"] for item in page["items"]]
        cursor = page["next"]
        if not cursor:
            break
    assert everything == sorted(set(everything), reverse=True)
    assert everything[-1] == 1
    system = site.api.get("/audit", params={"outcome": "automatic"}).json()["items"]
    assert "key.registered" in {item["action"] for item in system}
    keys = site.api.get("/audit", params={"action": "key.", "since_ms": 1}).json()["items"]
    assert {item["action"].partition(".")[0] for item in keys} == {"key"}
    assert site.api.get("/audit", params={"since_ms": 2**53}).json()["items"] == []
    problem(site.api.get("/audit", params={"action": "KEY*"}), 422, "bad_action")
    for path in ("/audit", "/logs", "/runs", "/tasks"):
        assert "none of ours" in problem(site.api.get(path, params={"cursor": "zz"}), 422, "bad_cursor")["detail"]
    assert site.api.get("/runs", params={"cursor": ""}).json() == site.api.get("/runs").json()


# --- retention ----------------------------------------------------------------------------------------------


def test_retention_tells_what_goes_and_a_pass_is_remembered(site: Site) -> None:
    while (before := site.api.get("/retention").json())["running"]:  # one that an earlier test began
        continue
    earlier = len(before["passes"])
    assert before["policy"]["tasksDays"] == 90
    assert before["going"] == dict.fromkeys(before["going"], 0)
    assert before["held"]["audit"] > 0
    begun = site.api.post("/retention")
    assert begun.status_code == 202, begun.text
    while (found := site.api.get("/retention").json())["running"] or len(found["passes"]) == earlier:
        continue
    assert found["passes"][0]["actor"] == "user/first"
    assert found["passes"][0]["problem"] == ""
    assert {item["action"] for item in site.api.get("/audit", params={"subject": "retention"}).json()["items"]} == {
        "retention.record"
    }
    assert site.api.get("/usage", params={"by": "actor", "daily": "true"}).status_code == 200
    problem(site.api.get("/tasks/01KAJD8B00TASK0000000000ZZ"), 404, "not_found")


# --- settings -----------------------------------------------------------------------------------------------


def test_settings_tell_how_it_is_set_and_who_asks_and_nothing_of_the_host(
    site: Site, tokens: dict[str, str]
) -> None:
    answer = site.api.get("/settings")
    found = answer.json()
    versions, kept = site.api.get("/versions").json(), site.api.get("/retention").json()["policy"]
    assert found["retention"] == kept
    assert (found["brokerVersion"], found["schemaVersion"]) == (versions["broker"], versions["schemaVersion"])
    assert found["languages"] == ["ko", "en"]
    assert found["backups"]["keep"] >= 1
    assert found["limits"]["pageItems"] == 1000
    assert site.api.get("/runs", params={"limit": found["limits"]["pageItems"]}).status_code == 200
    problem(site.api.get("/runs", params={"limit": found["limits"]["pageItems"] + 1}), 400, "bad_request")
    with site.client(tokens["viewer"]) as client:
        theirs = client.get("/settings")
    assert theirs.json()["caller"] == {"name": "some-viewer", "role": "viewer", "isToken": True}
    assert {**theirs.json(), "caller": None} == {**found, "caller": None}, "everybody is told the same"
    assert str(site.folder) not in answer.text
    assert site.secret not in answer.text
    assert site.token not in answer.text
    etag = answer.headers["etag"]
    assert site.api.get("/settings", headers={"If-None-Match": etag}).status_code == 304
