"""Enrolment and secrets on real processes: a second host joins with a token and runs a task that needs a secret."""

from __future__ import annotations

import base64
import json
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import httpx
import pytest

from doai.admin.adb_key import make_adb_key
from doai.cli.main import main as doai
from doai.enrolment_token import key_sha256, read_token, write_token
from doai.tls import fingerprint_of
from doai.wire.keys import load_public_key, make_keypair
from tests.certificates import make_certificate
from tests.integration.admin_site import Program, Site
from tests.integration.fleet import command_of

CANARY = 'k4nary/ of "mine"&5%'
WITHIN_S = 90.0
RECIPE = """
workflow: login
steps:
  - {id: quiet, use: device.shell, with: {command: "echo nothing"}}
  - {id: say, use: device.shell, with: {command: "echo 'I am ${secret.canary}'"}}
  - {id: fail, use: device.shell, with: {command: "ls '${secret.canary}'"}, optional: true}
  - {id: tell, use: report, with: {values: {said: "${steps.say.stdout}"}}}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("enrolment"))
    try:
        yield found
        assert found.admin.stop() == 0
        assert '"level":"error"' not in found.admin.log, "nothing that was asked of it was a fault of ours"
    finally:
        found.close()


@pytest.fixture
def cli(site: Site, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command line with the site's address and first token."""
    monkeypatch.setenv("DOAI_TOKEN", site.token)
    monkeypatch.setenv("DOAI_URL", site.url)
    return lambda *words: doai([str(word) for word in words])


def token_for(site: Site, *names: str, **body: object) -> list[str]:
    answer = site.api.post("/enrolments", json={"names": list(names), **body})
    assert answer.status_code == 201, answer.text
    return [item["token"] for item in answer.json()["items"]]


def join(token: str, folder: Path, *more: object) -> subprocess.CompletedProcess[str]:
    """`bin/node --join` as a person calls it."""
    command = [sys.executable, "-m", "doai.cli.node", "--join", token, "--data-dir", str(folder), *map(str, more)]
    return subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)


def wait_for(what: str, condition: Callable[[], object]) -> None:
    until = time.monotonic() + WITHIN_S
    while not condition():
        # Every condition asks the admin, which takes its time.
        assert time.monotonic() < until, f"not within {WITHIN_S:.0f} s: {what}"


def forms(value: str) -> list[bytes]:
    """All that could be left of a secret in a file."""
    texts = {value, quote(value), quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]}
    data = value.encode()
    encoded = [base64.b64encode(b"\0" * shift + data)[4:-4] for shift in range(3)]
    return [text.encode() for text in texts] + encoded + [data.hex().encode()]


def leaks(folder: Path, value: str) -> list[str]:
    """Files that hold a secret in any form."""
    wanted = forms(value)
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and any(form in path.read_bytes() for form in wanted)
    ]


def test_a_second_host_joins_and_runs_a_task_that_needs_a_secret(site: Site, cli: Callable[..., int]) -> None:
    (site.folder / "value").write_text(CANARY + "\n")
    assert cli("secrets", "set", "canary", "--from-file", site.folder / "value") == 0
    (site.folder / "value").unlink()
    assert cli("adb-key") == 0
    first, second = token_for(site, "host-1", "host-2")
    nodes = []
    try:
        for name, token, prefix in (("host-1", first, "A"), ("host-2", second, "B")):
            done = join(token, site.folder / name, "--drivers", "fake", "--fake-count", 1, "--fake-prefix", prefix)
            assert done.returncode == 0, done.stderr
            config_path = site.folder / name / "node.toml"
            assert f"Start it: bin/node --config {config_path}" in done.stdout
            config = tomllib.loads(config_path.read_text())
            assert (config["name"], config["endpoint"], config["admin_url"]) == (name, site.endpoint, site.url)
            assert (config["fake_prefix"], config["drivers"]) == (prefix, ["fake"])
            assert config["secret"] not in done.stdout + done.stderr
            key = site.folder / name / "adb" / ".android" / "adbkey"
            for private in (config_path, key, site.folder / name / "keys" / "node.key"):
                assert stat.S_IMODE(private.stat().st_mode) == 0o600
            assert not (site.folder / name / "join.pending").exists()
            nodes.append(Program("node", ["--config", str(config_path)], site.folder / name))
        keys = {(site.folder / f"host-{n}" / "adb" / ".android" / "adbkey").read_text() for n in (1, 2)}
        assert len(keys) == 1, "a phone that trusts one host trusts both"
        site.api.post("/workflows", content=RECIPE).raise_for_status()

        def online() -> bool:
            devices = site.api.get("/devices").json()["items"]
            return {item["serial"] for item in devices if item["state"] == "online"} == {"A0001", "B0001"}

        wait_for("both devices", online)
        body = {"workflow": "login", "targets": {"kind": "devices", "serials": ["A0001", "B0001"]}}
        created = site.api.post("/runs", json=body).json()
        seen: set[str] = set()

        def ended() -> bool:
            seen.update(command_of(int(path.name)) for path in Path("/proc").glob("[0-9]*"))
            return bool(site.api.get(f"/runs/{created['runId']}").json()["state"] == "completed")

        wait_for("the run", ended)
        assert site.api.get(f"/runs/{created['runId']}").json()["outcome"] == "passed"
        for task_id in created["taskIds"]:
            assert site.api.get(f"/tasks/{task_id}").json()["outputs"] == {"said": "I am ***"}
            story = site.api.get(f"/story/{task_id}").text
            assert "***" in story, "the failure of a step is told, masked"
            assert not any(form.decode() in story for form in forms(CANARY))
        assert not any(form.decode() in line for form in forms(CANARY) for line in seen)
    finally:
        codes = [node.stop() for node in nodes]
    assert codes == [0, 0]
    assert leaks(site.folder, CANARY) == []


def test_secrets_go_to_nobody_but_the_holder_of_the_task(site: Site) -> None:
    secret = site.add_node("outsider")
    headers = {"X-Node-Id": "outsider", "X-Node-Auth": secret, "X-Task-Token": "1.1"}
    task = site.api.get("/tasks").json()["items"][0]
    for given, status in ((headers, 403), ({**headers, "X-Node-Auth": "wrong"}, 401), ({}, 401)):
        answer = httpx.get(f"{site.url}/api/v1/tasks/{task['taskId']}/secrets", headers=given, trust_env=False)
        assert answer.status_code == status
        assert CANARY not in answer.text
    assert site.api.get("/secrets").json()["items"][0].keys() == {
        *("name", "createdAtMs", "createdBy", "changedAtMs", "changedBy")
    }
    assert site.api.get("/secrets/canary").status_code == 405, "there is no way to read one"


def test_a_run_that_names_an_unknown_secret_is_refused(site: Site, cli: Callable[..., int]) -> None:
    site.api.post("/workflows", content=RECIPE.replace("login", "other").replace("secret.canary", "secret.canari"))
    body = {"workflow": "other", "targets": {"kind": "all"}}
    answer = site.api.post("/runs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "secret_not_found")
    assert "did you mean 'canary'?" in answer.json()["detail"]


def test_a_key_is_rotated_and_secrets_survive_a_new_key(
    site: Site, cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (site.data_dir / "keys" / "secrets.key").read_text()
    assert cli("secrets", "rotate") == 0
    after = (site.data_dir / "keys" / "secrets.key").read_text()
    assert (len(after.split()), after == before) == (1, False)
    assert cli("adb-key") == 0, "it can still be decrypted"
    public = site.api.get("/keys").json()["items"]
    old = next(item["publicKey"] for item in public if item["name"] == "host-2")
    capsys.readouterr()
    assert cli("nodes", "rotate", "host-2") == 0
    token = capsys.readouterr().out.split("--join ")[1].split()[0]
    assert join(token, site.folder / "host-2").returncode == 78, "the configuration is in the way"
    done = join(token, site.folder / "host-2", "--force")
    assert done.returncode == 0, done.stderr
    assert "Start the node again" in done.stdout
    config = tomllib.loads((site.folder / "host-2" / "node.toml").read_text())
    assert (config["fake_prefix"], config["drivers"]) == ("B", ["fake"]), "what a person set stays"
    keys = {item["name"]: item for item in site.api.get("/keys").json()["items"]}
    assert keys["host-2"]["publicKey"] == old, "until the new one is used"
    node = Program("node", ["--config", str(site.folder / "host-2" / "node.toml")], site.folder / "host-2")
    try:

        def changed() -> bool:
            found = {item["name"]: item for item in site.api.get("/keys").json()["items"]}["host-2"]
            return bool(found["publicKey"] != old and found["nextPublicKey"] is None)

        wait_for("the new key", changed)
    finally:
        assert node.stop() == 0


def test_wrong_used_expired_and_revoked_tokens_have_a_sentence_and_leave_nothing(
    site: Site, cli: Callable[..., int], tmp_path: Path
) -> None:
    [used, revoked, expired] = [token_for(site, name)[0] for name in ("used", "revoked", "expired")]
    [expired] = token_for(site, "expired", expiresInS=0.001)
    assert join(used, tmp_path / "first", "--drivers", "fake").returncode == 0
    assert cli("nodes", "revoke", "revoked") == 0
    pinned = read_token(used)
    stranger = write_token(type(pinned)(name="x", url=site.url, secret="no", broker_sha256=pinned.broker_sha256))
    for token, code, sentence in (
        (used, 77, "the token of used was used already"),
        (revoked, 77, "the token of revoked was revoked"),
        (expired, 77, "the token of expired has expired"),
        (stranger, 77, "this token is not known"),
        (used[:-20], 78, "this token is damaged"),
        ("doai_hello", 78, "this is no token to join with"),
    ):
        done = join(token, tmp_path / "again")
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert sentence in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not (tmp_path / "again").exists(), "nothing is left half-done"
    done = join(used, tmp_path / "first")
    assert done.returncode == 78
    assert "this host has joined" in done.stderr


def test_an_admin_that_is_not_the_one_of_the_token_is_refused(site: Site, tmp_path: Path) -> None:
    [text] = token_for(site, "pinned")
    token = read_token(text)
    assert token.broker_sha256 == key_sha256(load_public_key(site.data_dir / "keys" / "broker.key.pub"))
    certificate, key = make_certificate(tmp_path)
    other, _ = make_certificate(tmp_path, "other")
    admin = site.start_admin("--tls-cert", str(certificate), "--tls-key", str(key))
    try:
        url = admin.wait_for("X_DOAI_URL")
        kind = type(token)
        about = {"name": "pinned", "url": url, "secret": token.secret}
        in_between = kind(**about, broker_sha256=token.broker_sha256, tls_sha256=fingerprint_of(other))
        done = join(write_token(in_between), tmp_path / "x")
        assert (done.returncode, "not the pinned one" in done.stderr) == (77, True), done.stderr
        assert not (tmp_path / "x").exists()
        other_broker = kind(
            **about, broker_sha256=key_sha256(make_keypair().public), tls_sha256=fingerprint_of(certificate)
        )
        done = join(write_token(other_broker), tmp_path / "x")
        assert (done.returncode, "names another broker" in done.stderr) == (77, True), done.stderr
        assert not (tmp_path / "x").exists()
        assert admin.stop() == 0
    finally:
        admin.close()
    done = join(text, tmp_path / "y", "--admin-url", "http://127.0.0.1:9")
    assert (done.returncode, "does not answer" in done.stderr) == (69, True), done.stderr
    assert "can be used again" in done.stderr
    done = join(text, tmp_path / "y", "--admin-url", "http://10.0.0.5:7700")
    assert (done.returncode, "unencrypted" in done.stderr) == (78, True), done.stderr


def test_the_shared_adb_key_can_be_one_that_phones_trust(
    site: Site, cli: Callable[..., int], tmp_path: Path
) -> None:
    key = make_adb_key()
    (tmp_path / "adbkey").write_text(key.private_pem)
    assert cli("adb-key", "--from-file", tmp_path / "adbkey") == 1, "there is one"
    assert cli("adb-key", "--from-file", tmp_path / "adbkey", "--replace") == 0
    assert site.api.get("/adb-key").json()["fingerprint"] == key.fingerprint
    (tmp_path / "adbkey").write_text("no key")
    assert cli("adb-key", "--from-file", tmp_path / "adbkey", "--replace") == 1


def test_a_fleet_is_enrolled_at_once(
    site: Site, cli: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli("nodes", "enroll", "--count", 15, "--prefix", "shelf", "--out", tmp_path / "t.csv") == 0
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert (len(lines), lines[0], lines[15].partition(",")[0]) == (16, "name,token", "shelf-15")
    assert stat.S_IMODE((tmp_path / "t.csv").stat().st_mode) == 0o600
    assert "doai-join-" not in capsys.readouterr().out
    assert cli("nodes", "enroll", "more", "--out", tmp_path / "t.csv") == 74
    (tmp_path / "names.csv").write_text("shelf,name\n1,left\n2,right\n")
    assert cli("nodes", "enroll", "--csv", tmp_path / "names.csv") == 0
    assert "left: bin/node --join doai-join-" in capsys.readouterr().out
    assert cli("nodes", "enroll", "host-1") == 1
    assert "host-1 has joined already" in capsys.readouterr().err
    assert cli("nodes", "enrolments") == 0
    states = {item["name"]: item["state"] for item in site.api.get("/enrolments").json()["items"]}
    assert (states["shelf-15"], states["host-1"], states["revoked"]) == ("open", "used", "revoked")
    for words in (
        ("--count", 3),
        ("--csv", tmp_path / "gone.csv"),
        ("--csv", tmp_path / "t.csv", "--expires", "x"),
        (),
    ):
        assert cli("nodes", "enroll", *words) == 2
