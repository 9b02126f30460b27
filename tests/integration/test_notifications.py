"""notify-bot as a process, with a real broker, admin and receiver: signed, under one id, secrets nowhere else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from doai.wire.keys import load_or_make_keypair
from tests.integration.admin_site import Site, problem
from tests.integration.installed import environment
from tests.unit.bots.notify.receivers import HANG, Hook, hook

BOT = "notify-bot"
WITHIN_S = 90.0
KEY = "a key that is nowhere else 9f8e7d"
OTHER = "another secret 1a2b3c"


class Place:
    """A site whose notify-bot can be started and killed."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.folder = folder
        keys = load_or_make_keypair(folder / "bot/keys/bot.key")
        added = site.api.post("/keys", json={"name": BOT, "role": "bot", "publicKey": keys.public}).json()
        self.secret: str = added["secret"]
        settings = {
            "endpoint": site.endpoint,
            "broker_public_key": added["brokerPublicKey"],
            "bot_dir": str(folder / "bot"),
            "admin_url": site.url,
            "secret": self.secret,
            "log_level": "debug",
        }
        (folder / "bot.toml").write_text(
            "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
        )

    @contextmanager
    def bot(self) -> Iterator[subprocess.Popen[bytes]]:
        words = ["-m", "doai.cli.bot", "--config", str(self.folder / "bot.toml"), BOT]
        with (self.folder / "bot.err").open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, *words], stdin=subprocess.DEVNULL, stderr=errors, env=environment(self.folder)
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait(WITHIN_S)

    def configure(self, **channel: Any) -> httpx.Response:
        config = {"channels": [{"name": "ops", "kind": "webhook", "gather": "0s", "about": ["runs"], **channel}]}
        return self.site.api.put(f"/bots/{BOT}/config", json=config)

    def run_ends(self, received: Hook, *answers: int) -> str:
        """Let a run end, what is sent of it gets these answers; return its id.

        What is sent of others meanwhile takes none of them: a bot that was killed while it sent does so again.
        """
        run = {"workflow": "", "targets": {"kind": "bot", "bot": "some.kind", "count": 1}}
        run_id: str = self.site.api.post("/runs", json=run).json()["runId"]
        received.about = run_id.encode()
        received.answers += [(answer, {}) for answer in answers]
        assert self.site.api.post(f"/runs/{run_id}/cancel", json={}).is_success
        return run_id

    def test(self) -> dict[str, Any]:
        """Test the channel; return what came of it."""
        run_id = self.site.api.post("/notifications/ops/test").json()["runId"]
        wait(lambda: self.site.api.get(f"/runs/{run_id}").json()["state"] == "completed")
        [task] = self.site.api.get("/tasks", params={"run_id": run_id}).json()["items"]
        outputs: dict[str, Any] = self.site.api.get(f"/tasks/{task['taskId']}").json()["outputs"]
        return outputs


def wait(condition: Callable[[], bool]) -> None:
    ends, pause = threading.Event(), 0.05
    for _ in range(round(WITHIN_S / pause)):
        if condition():
            return
        ends.wait(pause)
    raise AssertionError("it did not become so")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        yield Place(site, tmp_path_factory.mktemp("notify"))
    finally:
        site.close()


@pytest.fixture
def received() -> Iterator[Hook]:
    with hook() as found:
        yield found


def signature(headers: dict[str, str], body: bytes) -> str:
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(KEY.encode(), signed, hashlib.sha256).digest()).decode()


@pytest.mark.slow
def test_killed_in_the_middle_of_sending_it_sends_again_under_the_same_id(place: Place, received: Hook) -> None:
    api = place.site.api
    for name, value in (("hook-key", KEY), ("other", OTHER)):
        assert api.put(f"/secrets/{name}", json={"value": value}).is_success
    with place.bot() as bot:
        wait(lambda: api.get(f"/bots/{BOT}").is_success)
        refused = place.configure(url=received.url, key="${secret.hook-kee}")
        assert "did you mean" in problem(refused, 404, "secret_not_found")["detail"]
        assert place.configure(url=received.url, key="${secret.hook-key}").is_success
        assert place.test() == {"channel": "ops", "sent": True, "problem": ""}
        run_id = place.run_ends(received, HANG)
        wait(lambda: told_of(received, run_id) != [])
        bot.send_signal(signal.SIGKILL)
        bot.wait(WITHIN_S)
    tried = len(told_of(received, run_id))
    with place.bot():
        wait(lambda: len(told_of(received, run_id)) > tried)
    [(first, body), *others] = told_of(received, run_id)
    for headers, same_body in others:
        assert (headers["webhook-id"], same_body) == (first["webhook-id"], body)
    for headers, data in received.requests:
        assert headers["webhook-signature"] == signature(headers, data)
    _secrets_are_nowhere(place)


def told_of(received: Hook, run_id: str) -> list[tuple[dict[str, str], bytes]]:
    """What was sent of a run, without test messages and those of other runs alone."""
    return [
        found
        for found in received.requests
        if any(notice["id"] == run_id for notice in json.loads(found[1])["notices"])
    ]


def _secrets_are_nowhere(place: Place) -> None:
    api = place.site.api
    pages = [
        api.get(path, params={"limit": 500}).text for path in ("/events", "/audit", "/bots", "/runs", "/secrets")
    ]
    texts = {"broker": place.site.broker.log, "admin": place.site.admin.log, "pages": "".join(pages)}
    texts["bot"] = (place.folder / "bot.err").read_text()
    texts["state"] = (place.folder / "bot/state.db").read_bytes().decode("latin-1")
    for secret in (KEY, place.secret, OTHER):
        assert [where for where, text in texts.items() if secret in text] == []


@pytest.mark.slow
def test_what_is_given_up_is_a_dead_letter_that_a_person_sends_again(place: Place, received: Hook) -> None:
    api = place.site.api
    assert api.put("/secrets/hook-key", json={"value": KEY}).is_success
    with place.bot():
        wait(lambda: api.get(f"/bots/{BOT}").is_success)
        assert place.configure(url=received.url, key="${secret.hook-key}").is_success
        assert place.test()["sent"]
        _test_from_the_page(place)
        run_id = place.run_ends(received, 410, 410)

        def letters() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = api.get("/dead-letters").json()["items"]
            return [letter for letter in found if letter["code"] == "undelivered"]

        wait(lambda: len(letters()) == 1)
        assert "to ops was given up: the receiver answered HTTP 410" in letters()[0]["message"]
        assert api.post("/dead-letters/retry", json={"which": {"ids": [letters()[0]["letterId"]]}}).is_success
        wait(lambda: len(told_of(received, run_id)) == 3)
    assert len({headers["webhook-id"] for headers, _ in told_of(received, run_id)}) == 1


def _test_from_the_page(place: Place) -> None:
    made = place.site.api.post("/users", json={"name": "ann", "role": "operator"}).json()
    with httpx.Client(base_url=place.site.url, trust_env=False) as browser:
        assert browser.post("/login", data={"name": "ann", "password": made["password"]}).status_code == 303
        page = browser.get(f"/bots/{BOT}").text
        assert 'action="/notifications/ops/test"' in page
        [csrf, *_] = re.findall(r'name="csrf" value="([^"]+)"', page)
        assert browser.post("/notifications/ops/test").status_code == 403
        begun = browser.post("/notifications/ops/test", data={"csrf": csrf})
        assert begun.status_code == 303
        task = f"/api/v1{begun.headers['location']}"
        wait(lambda: browser.get(task).json()["state"] == "passed")
        assert browser.get(task).json()["outputs"]["sent"]


@pytest.mark.slow
def test_a_bot_is_given_what_its_configuration_names_and_nothing_else(place: Place, received: Hook) -> None:
    api = place.site.api
    for name, value in (("hook-key", KEY), ("other", OTHER)):
        assert api.put(f"/secrets/{name}", json={"value": value}).is_success
    with place.bot():
        wait(lambda: api.get(f"/bots/{BOT}").is_success)
    assert place.configure(url=received.url, key="${secret.hook-key}").is_success

    def ask(secret: str, auth: str, bot: str = BOT) -> httpx.Response:
        url = f"{place.site.url}/api/v1/bots/{bot}/secrets/{secret}"
        return httpx.get(url, headers={"X-Bot-Auth": auth}, trust_env=False)

    given = ask("hook-key", place.secret)
    assert (given.json(), given.headers["cache-control"]) == ({"value": KEY}, "no-store")
    assert "does not name" in problem(ask("other", place.secret), 403, "forbidden")["detail"]
    node_secret = place.site.add_node("node-7")
    for auth, bot in (
        ("wrong", BOT),
        ("", BOT),
        (node_secret, "node-7"),
        (place.secret, "nobody"),
        (node_secret, BOT),
    ):
        problem(ask("hook-key", auth, bot), 401, "unauthorized")
    assert place.site.put("video/x", b"x", node=BOT, secret=place.secret).status_code == 401, "it is no node"
    assert api.delete("/secrets/hook-key").is_success
    problem(ask("hook-key", place.secret), 404, "secret_not_found")
    changed = [
        row for row in api.get("/audit", params={"limit": 500}).json()["items"] if row["subject"] == f"bot/{BOT}"
    ]
    assert any("${secret.hook-key}" in json.dumps(row) for row in changed), "who gave it is in the audit"
    problem(api.post("/notifications/opps/test"), 404, "not_found")
    assert api.post(f"/bots/{BOT}/status", json={"status": "inactive"}).is_success
    assert "inactive" in problem(api.post("/notifications/ops/test"), 409, "conflict")["detail"]
    assert api.post(f"/bots/{BOT}/status", json={"status": "active"}).is_success
