"""What goes wrong for people: one sentence that says what, where and what to do, and nothing half-done."""

from __future__ import annotations

import importlib
import json
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from doai.cli import exits
from doai.wire.keys import make_keypair
from tests.integration.installed import FREE_PORTS, START_S, Up, environment, up

SHOT = """workflow: shot
steps:
  - {id: shot, use: screen.capture}
  - {id: keep, use: artifact.upload, with: {artifact: "${steps.shot.artifact}"}}
"""

CYCLE = """workflow: w
steps:
  - {id: a, use: device.bootstrap, needs: [b]}
  - {id: b, use: device.bootstrap, needs: [a]}
"""


IN_ALL_S = 300.0
"""For everything that is done beside one daemon; it only ends a hang."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("bad") / "data", phones=2) as installation:
        installation.wait_for_phones(2)
        yield installation


def bare(**variables: str) -> dict[str, str]:
    """Return an environment without any setting of doai but these."""
    kept = environment(Path(), **variables)
    del kept["DOAI_DATA_DIR"]
    return kept


@contextmanager
def program(name: str, *words: object, **limits: int) -> Iterator[subprocess.Popen[str]]:
    """Run a daemon whose log can be read; it is killed at the end, or when it says nothing for too long."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"doai.cli.{name}", *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=bare(DOAI_LOG_FORM="json"),
        preexec_fn=lambda: [resource.setrlimit(getattr(resource, key), (n, n)) for key, n in limits.items()],
    )
    too_late = threading.Timer(IN_ALL_S, process.kill)
    too_late.start()
    try:
        yield process
    finally:
        too_late.cancel()
        too_late.join()
        process.kill()
        process.communicate()


def says(process: subprocess.Popen[str], pattern: str) -> str:
    """Return the first line of its log in which the pattern is found."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if re.search(pattern, line):
            return line
    raise AssertionError(f"{pattern!r} was not said: {''.join(seen)}")


def address_of(line: str) -> str:
    """Return the address in a log line."""
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert found, line
    return found[0]


def fails(name: str, *words: object, code: int, **variables: str) -> str:
    """Return the one line with which a program refuses to start."""
    done = subprocess.run(
        [sys.executable, "-m", f"doai.cli.{name}", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=START_S,
        env=bare(**variables),
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("playback-chek", "--on", "all"), "there is no workflow 'playback-chek': did you mean 'playback-check'?"),
        (("playback-check@9", "--on", "all"), "workflow playback-check has no version 9: versions are 1"),
        (("playback-check", "--on", "SIM0009"), "there is no device 'SIM0009': did you mean 'SIM000"),
        (("playback-check", "--on", "tag:lab"), "none of the 2 known devices has the tag 'lab': they have none"),
        (("playback-check", "--on", "node:node-2"), "has the node 'node-2': did you mean 'node-1'?"),
        (("playback-check", "--on", "sdk:>=99"), "none of the 2 known devices has an sdk >=99: theirs are"),
        (("playback-check", "--on", "sdk:old"), "'old' compares no Android API level; write such as >=28"),
        (
            ("playback-check", "--on", "all", "--param", "second=5"),
            "has no parameter 'second'; did you mean 'seconds'",
        ),
        (("playback-check", "--on", "all", "--param", "seconds=999"), "seconds: 999 is above the maximum 300"),
        (("playback-check", "--on", "all", "--param", "video_id=x"), "video_id: 'x' does not have the form"),
        (("playback-check", "--on", "all", "--step-timeout", "play=1"), "1s is below the minimum 10s"),
        (("playback-check", "--on", "all", "--queue", "fast"), "there is no queue 'fast': known: default"),
        (("playback-check", "--on", "all", "--attempts", "0"), "0 attempts are not possible; give 1 to 10"),
    ],
)
def test_a_run_that_can_not_be_is_refused_wholly(site: Up, words: tuple[str, ...], sentence: str) -> None:
    before = site.json("runs", "--limit", "1000")
    assert sentence in site.refused("run", *words, code=exits.NOT_PASSED)
    assert len(site.json("runs", "--limit", "1000")) == len(before)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("playback-check", "--on", "all", "--param", "seconds=x"), "--param seconds must be of type integer"),
        (("playback-check", "--on", "all", "--param", "seconds"), "--param 'seconds' must be name=value"),
        (("playback-check", "--on", "all", "--on", "SIM0001"), "--on all is every device"),
        (("playback-check", "--on", "any:0"), "--on any:0 needs a number of devices"),
        (("a@b@c", "--on", "all"), "'a@b@c' names no workflow: write NAME, NAME@VERSION"),
        (("absent.yaml", "--on", "all"), "cannot read the workflow absent.yaml: No such file"),
        (("playback-check", "--on", "all", "--step-timeout", "play"), "must be STEP=SECONDS, such as play=120"),
    ],
)
def test_a_command_line_that_can_not_be_understood(site: Up, words: tuple[str, ...], sentence: str) -> None:
    assert sentence in site.refused("run", *words, code=exits.USAGE)


@pytest.mark.parametrize(
    ("text", "place", "sentence"),
    [
        ("workflow: w\nsteps:\n  - {id: a, use: ui.tapp}\n", "line 3, column 18", "did you mean 'ui.tap'?"),
        ("workflow: w\nsteps:\n\t- {use: wait}\n", "line 3, column 1", "tab"),
        (CYCLE, "line 3, column", "wait for each other"),
        ("workflow: w\nstepps: []\n", "line 2, column 1", "did you mean 'steps'?"),
        ("workflow: w\nsteps:\n  - {use: wait, with: {for: [}\n", "line 3", ""),
    ],
)
def test_a_workflow_with_a_mistake_names_file_line_and_column(
    site: Up, tmp_path: Path, text: str, place: str, sentence: str
) -> None:
    recipe = tmp_path / "w.yaml"
    recipe.write_text(text)
    message = site.refused("workflows", "add", str(recipe))
    assert f"{recipe}: {place}" in message
    assert sentence in message
    assert "w" not in {item["name"] for item in site.json("workflows", "list")}
    address, token = (json.loads((site.data_dir / "cli.json").read_text())[key] for key in ("url", "token"))
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.post(f"{address}/api/v1/workflows", content=text, headers=headers, trust_env=False)
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["mistakes"][0]["line"] >= 1


@pytest.mark.parametrize(
    ("port_flag", "who"), [("--port", "admin"), ("--broker-port", "broker"), ("--adb-port", "node")]
)
def test_a_port_in_use_is_named(tmp_path: Path, port_flag: str, who: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = list(FREE_PORTS)
        words[words.index(port_flag) + 1] = str(port)
        message = fails("main", "up", "--data-dir", tmp_path / "data", *words, code=exits.UNAVAILABLE)
    assert message.startswith(f"doai: {who} ")
    assert str(port) in message
    assert "in use" in message


def node_words(site: Up, folder: Path, name: str, **changed: object) -> list[object]:
    """Flags of a further node with one fake phone of its own."""
    key = site.data_dir / "broker" / "keys" / "broker.key.pub"
    config = (site.data_dir / "node-1" / "node.toml").read_text()
    settings = {
        "name": name,
        "endpoint": re.findall(r'endpoint = "(.*)"', config)[0],
        "broker-public-key": key,
        "data-dir": folder / name,
        "drivers": "fake",
        "fake-count": 1,
        "fake-prefix": name.upper(),
    } | changed
    return [word for flag, value in settings.items() for word in (f"--{flag}", value)]


def test_a_node_whose_key_nobody_knows_says_how_to_let_it_in(site: Up, tmp_path: Path) -> None:
    with program("node", *node_words(site, tmp_path, "lab-1")) as node:
        told = json.loads(says(node, "does not know this key"))["message"]
        words = re.search(r"doai (keys add) NAME '(.{40})'", told)
        assert words, told
        # As it says: the node gets in, without a new start.
        site.doai(*words[1].split(), "lab-1", words[2])
        says(node, "took this node in")


def test_a_node_with_the_wrong_broker_key_says_what_to_compare(site: Up, tmp_path: Path) -> None:
    words = node_words(site, tmp_path, "lab-2", **{"broker-public-key": make_keypair().public})
    with program("node", *words) as node:
        says(node, "does not have the expected server key: compare the configured key")


def test_a_wrong_secret_loses_no_artifact(site: Up, tmp_path: Path) -> None:
    (tmp_path / "shot.yaml").write_text(SHOT)
    key = make_keypair()
    keys = tmp_path / "lab-3" / "keys"
    keys.mkdir(parents=True)
    (keys / "node.key").touch(mode=0o600)
    (keys / "node.key").write_text(key.secret.reveal() + "\n")
    secret = site.json("keys", "add", "lab-3", key.public)["secret"]
    address = json.loads((site.data_dir / "cli.json").read_text())["url"]
    (tmp_path / "wrong").write_text("no secret of anybody")
    (tmp_path / "right").write_text(secret)
    words = node_words(site, tmp_path, "lab-3", **{"admin-url": address})
    with program("node", *words, "--secret-file", tmp_path / "wrong") as node:
        says(node, "took this node in")
        while not site.json("devices", "--node", "lab-3", "--state", "online"):
            assert node.poll() is None
        created = site.json("run", str(tmp_path / "shot.yaml"), "--on", "node:lab-3")
        message = says(node, "answers HTTP 40[13]")
        assert "secret" in message
        assert "no secret of anybody" not in message
        # It is uploaded beside the task, which may not be told yet.
        while site.json("runs", created["runId"])["state"] != "completed":
            assert node.poll() is None
        node.send_signal(signal.SIGTERM)
        assert node.wait(timeout=START_S) == exits.PASSED
    assert site.json("runs", created["runId"])["outcome"] == "passed"
    assert site.json("artifacts", "list", "--run", created["runId"]) == []
    with program("node", *words, "--secret-file", tmp_path / "right") as node:
        says(node, "artifact stored")
    assert len(site.json("artifacts", "list", "--run", created["runId"])) == 1


def test_a_phone_that_vanishes_in_the_middle_of_a_run(site: Up) -> None:
    port = int(re.findall(r"control port (\d+)", (site.data_dir / "log" / "phones.log").read_text())[-1])

    def power(to: str) -> None:
        with socket.create_connection(("127.0.0.1", port)) as control, control.makefile("rw") as stream:
            stream.write(json.dumps({"op": "power", "serial": "SIM0002", "to": to}) + "\n")
            stream.flush()
            assert json.loads(stream.readline())["ok"]

    created = site.json("run", "playback-check", "--on", "SIM0002", "--param", "seconds=60", "--attempts", "1")
    while not site.json("tasks", "--run", created["runId"], "--state", "running"):
        pass
    power("off")
    try:
        while site.json("runs", created["runId"])["state"] == "active":
            pass
        [task] = site.json("tasks", "--run", created["runId"])
        assert task["state"] == "failed"
        assert task["failure"]["errorClass"] == "device"
        assert "SIM0002" in task["failure"]["message"]
        while site.json("devices", "SIM0002")["state"] != "offline":
            pass  # the end of its connection may be told before the phone's
        assert "Task failed" in site.doai("story", created["taskIds"][0]).stdout
    finally:
        power("on")
    site.wait_for_phones(2)


def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """No file may grow beyond 1 MiB, which the store meets as a disk that is full."""
    data_dir = tmp_path / "broker"
    limit = {"RLIMIT_FSIZE": 1024 * 1024}
    with program("broker", "--data-dir", data_dir, "--endpoint", "tcp://127.0.0.1:0", **limit) as broker:
        endpoint = json.loads(says(broker, "ready"))["endpoint"]
        words = ("--data-dir", data_dir, "--endpoint", endpoint, "--port", "0")
        token_file = tmp_path / "token"
        with program("admin", *words, "--first-token-file", token_file) as admin:
            url = address_of(says(admin, "http://127"))
            headers = {"Authorization": f"Bearer {token_file.read_text().strip()}"}
            stored = 0
            with httpx.Client(base_url=f"{url}/api/v1", headers=headers, trust_env=False, timeout=90) as client:
                while True:
                    text = f"workflow: w{stored}\nsteps:\n  - {{use: wait, with: {{for: 1s}}}}\n# {'x' * 20_000}\n"
                    text += "".join(f"  # {n}\n" for n in range(10)) + "description: " + "d" * 1000 + "\n"
                    answer = client.post("/workflows", content=text)
                    if answer.status_code != 201:
                        break
                    stored += 1
                    assert stored < 10_000
            assert answer.status_code in (503, 507), answer.text
            assert answer.json()["detail"]
            assert broker.wait(timeout=START_S) == exits.IO_ERROR
            assert broker.stderr is not None
            last = broker.stderr.read().splitlines()[-1]
            assert last.startswith("broker: ")
            assert "Traceback" not in last
    with program("broker", "--data-dir", data_dir, "--endpoint", endpoint) as broker:
        says(broker, "ready")
        with program("admin", *words) as admin:
            url = address_of(says(admin, "http://127"))
            names, cursor = [], None
            with httpx.Client(base_url=f"{url}/api/v1", headers=headers, trust_env=False, timeout=90) as client:
                while True:
                    query = {"limit": 500} | ({"cursor": cursor} if cursor else {})
                    page = client.get("/workflows", params=query).json()
                    names += [item["name"] for item in page["items"]]
                    cursor = page["next"]
                    if cursor is None:
                        break
    # The one that was answered with an error may be there or not: nobody was told.
    assert {f"w{n}" for n in range(stored)} <= set(names) <= {f"w{n}" for n in range(stored + 1)}


@pytest.mark.parametrize("name", ["broker", "node", "bot", "admin"])
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("# mine\ndata_dri = 'x'\n", ":2: there is no setting data_dri: did you mean data_dir?"),
        ("data_dir = 3\n", ":1: data_dir can not be 3: it must be text"),
        ("log_level = 'loud'\n", ':1: log_level can not be "loud": choose one of debug, info, warning, error'),
        ("data_dir = 'x\n", "is no valid TOML: "),
    ],
)
def test_a_typo_in_a_file_is_named_with_its_line(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    file = tmp_path / f"{name}.toml"
    if name == "bot":
        text, sentence = text.replace("data_", "bot_"), sentence.replace("data_", "bot_")
    file.write_text(text)
    message = fails(name, "--config", file, code=exits.CONFIG)
    assert message.startswith(f"{name}: {file}")
    assert sentence in message


@pytest.mark.parametrize(
    ("name", "words", "sentence"),
    [
        ("broker", ("--data-dir", "x", "--endpoint", "127.0.0.1"), "endpoint can not be"),
        ("broker", ("--data-dir", "x", "--queues", "a b=1"), "queues: 'a b=1' is no queue"),
        (
            "broker",
            ("--store-writer", "fast", "--data-dir", "x"),
            "choose one of adaptive, inline",
        ),
        ("broker", ("--config", "/nope.toml"), "cannot read the configuration /nope.toml: No such file"),
        ("broker", (), "data_dir is needed: give --data-dir"),
        ("admin", ("--data-dir", "x", "--endpoint", "127.0.0.1"), "endpoint can not be"),
        ("admin", ("--data-dir", "x", "--host", "0.0.0.0"), "put a proxy with TLS in front"),
        ("admin", ("--data-dir", "x", "--port", "70000"), "it must be a whole number from 0 to 65535"),
        ("node", ("--name", "Node 1", "--data-dir", "x", "--broker-public-key", "k"), 'name can not be "Node 1"'),
        (
            "node",
            ("--name", "n", "--data-dir", "x", "--broker-public-key", "/nope"),
            "key file /nope cannot",
        ),
        ("node", ("--name", "n", "--data-dir", "x", "--broker-public-key", "k", "--slots", "0"), "from 1 to"),
        ("bot", ("--bot-dir", "x", "--broker-public-key", "k" * 40, "--endpoint", "x"), "endpoint can not be"),
        ("bot", ("--bot-dir", "x", "--broker-public-key", "k" * 40, "--admin-url", "http://10.0.0.5:1"), "token"),
        ("bot", ("--bot-dir", "x"), "broker_public_key is needed: give --broker-public-key"),
    ],
)
def test_check_config_finds_what_a_start_would(name: str, words: tuple[str, ...], sentence: str) -> None:
    message = fails(name, "--check-config", *words, code=exits.CONFIG)
    assert message.startswith(f"{name}: ")
    assert sentence in message


@pytest.mark.parametrize("name", ["broker", "node", "bot", "admin"])
def test_help_has_every_setting_in_three_spellings(name: str) -> None:
    module, settings = {
        "broker": ("doai.broker.config", "BrokerConfig"),
        "node": ("doai.node.config", "NodeConfig"),
        "bot": ("doai.bots.config", "BotConfig"),
        "admin": ("doai.admin.settings", "Settings"),
    }[name]
    command = [sys.executable, "-m", f"doai.cli.{name}", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=bare())
    for field in msgspec.structs.fields(getattr(importlib.import_module(module), settings)):
        assert f"--{field.name.replace('_', '-')}" in done.stdout
        assert f"DOAI_{field.name.upper()}" in " ".join(done.stdout.split()).replace("_ ", "_")
