"""Every command of `doai` against a real installation, as a newcomer, an operator and a program use it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import httpx
import pytest

from doai.cli import exits
from doai.ports import free_port
from doai.wire.keys import make_keypair
from tests.integration.installed import COMMAND_S, FREE_PORTS, Up, environment, processes_of, up

Waited = dict[str, Any]
LOGIN = ("run", "login-and-screenshot", "--on")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("site") / "data", phones=3) as installation:
        installation.wait_for_phones(3)
        yield installation


@pytest.fixture(scope="module")
def passed(site: Up) -> Waited:
    """A run on all three phones, as `run --wait --json` tells it."""
    return site.json(*LOGIN, "all", "--param", "username=demo", "--wait")


def test_up_says_what_a_newcomer_needs(site: Up) -> None:
    text = "\n".join(site.said)
    assert re.search(r"doai is up: http://127\.0\.0\.1:\d+", text)
    assert "token, shown once" in text
    assert "playback-check@1" in text
    assert (site.data_dir / "cli.json").stat().st_mode & 0o077 == 0


def test_a_run_waited_for_prints_one_json_document(site: Up, passed: Waited) -> None:
    assert passed["run"]["outcome"] == "passed"
    assert [task["state"] for task in passed["tasks"]] == ["passed"] * 3
    assert passed["url"] == f"{address(site)}/runs/{passed['run']['runId']}"
    assert all(passed["artifacts"][task["taskId"]] for task in passed["tasks"])


def address(site: Up) -> str:
    found: str = json.loads((site.data_dir / "cli.json").read_text())["url"]
    return found


def test_what_commands_tell_is_seen_on_pages_of_the_dashboard(site: Up, passed: Waited) -> None:
    run_id = passed["run"]["runId"]
    for words, page in (
        (("tasks", "--run", run_id), f"/tasks?run={run_id}"),
        (("devices", "--state", "online"), "/devices?state=online"),
    ):
        url = site.doai(*words).stdout.splitlines()[-1]
        assert url == address(site) + page
        # Whoever is not signed in is asked to, and comes there then: a page that is not there would say so.
        answer = httpx.get(url, trust_env=False)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={quote(page, safe='')}")


def test_the_overview_tells_what_the_first_page_tells(site: Up, passed: Waited) -> None:
    lines = [line.rstrip() for line in site.doai("overview").stdout.splitlines()]
    told = dict(re.split(r"  +", line, maxsplit=1) for line in lines[1 : lines.index("")])
    found = site.json("overview")
    assert told["devices online"] == "3 of 3"
    assert told["nodes online"] == f"{found['nodesOnline']} of {found['nodesTotal']}"
    assert {"tasks running", "tasks waiting", "tasks a minute", "success in 24 h", "open incidents"} <= told.keys()
    assert any(line.startswith("default ") for line in lines), "queues are told with their counts"
    assert lines[-1] == f"{address(site)}/"


def test_settings_are_told_in_words_and_whole(site: Up) -> None:
    lines = site.doai("settings").stdout.splitlines()
    told = dict(re.split(r"  +", line.rstrip(), maxsplit=1) for line in lines[1:-1])
    found = site.json("settings")
    assert told["you"] == f"{found['caller']['name']}, admin (token)"
    assert told["items a page"] == "1000"
    assert told["backups"] == "every 24 h, the newest 7 stay"
    assert re.search(r"\(UTC[+-]\d\d:\d\d\)$", told["time zone"])
    assert lines[-1] == f"{address(site)}/api/v1/settings"


def test_a_run_waited_for_by_a_person(site: Up) -> None:
    done = site.doai(*LOGIN, "SIM0001,SIM0002", "--wait")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["device", "outcome", "duration", "screenshot"]
    assert re.match(r"SIM0001 +passed +[\d.]+ s +login/node-1/SIM0001/.*\.png", lines[1])
    assert re.match(r"run \w+ passed in .*: http://", lines[-1])
    assert "2/2 SIM000" in done.stderr


def wait_ended(site: Up, run_id: str) -> None:
    """Return when a run is over: the next test's tasks wait behind nothing of it."""
    while site.json("runs", run_id)["state"] != "completed":
        continue


@pytest.mark.parametrize(
    ("targets", "tasks"), [("any:2", 2), ("node:node-1", 3), ("sdk:>=31", 1), ("model:LM-G710N", 1), ("all", 3)]
)
def test_every_form_of_targets(site: Up, targets: str, tasks: int) -> None:
    created = site.json(*LOGIN, targets)
    assert len(created["taskIds"]) == tasks
    assert created["url"].endswith(created["runId"])
    wait_ended(site, created["runId"])


def test_a_failed_run_says_why_and_exits_with_1(site: Up, tmp_path: Path) -> None:
    recipe = tmp_path / "absent.yaml"
    recipe.write_text(
        "workflow: absent\nretry: {attempts: 1}\nsteps:\n"
        "  - {id: see, use: ui.assert_visible, with: {text: nowhere to be seen}}\n"
    )
    done = site.doai("run", str(recipe), "--on", "SIM0003", "--wait", code=exits.NOT_PASSED)
    assert re.search(r"SIM0003 +failed +.*nowhere to be seen", done.stdout)
    run_id = done.stdout.splitlines()[-1].split()[1]
    assert "nowhere to be seen" in site.doai("tasks", "--run", run_id).stdout
    assert site.json("tasks", "--state", "failed", "--run", run_id)[0]["failure"]["message"]


def test_a_failed_run_whose_output_nobody_reads_has_its_exit_code_and_its_files(site: Up, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [
        "run",
        "screenshot-baseline",
        "--on",
        "SIM0003",
        "--wait",
        "--no-retry",
        "--junit",
        str(tmp_path / "r.xml"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "doai.cli.main", *words],
        stdout=writer, stderr=subprocess.PIPE, text=True, env=environment(site.data_dir),
    )  # fmt: skip
    os.close(writer)
    assert "baseline_missing" in (tmp_path / "r.xml").read_text()
    assert (done.returncode, "Traceback" in done.stderr) == (exits.NOT_PASSED, False), done.stderr


def test_the_same_idempotency_key_makes_one_run(site: Up) -> None:
    words = (*LOGIN, "SIM0001", "--idempotency-key", "nightly-7")
    run_id = site.json(*words)["runId"]
    assert site.json(*words)["runId"] == run_id
    wait_ended(site, run_id)


def test_lists_and_single_things(site: Up, passed: Waited) -> None:
    run_id, task_id = passed["run"]["runId"], passed["tasks"][0]["taskId"]
    assert run_id in {run["runId"] for run in site.json("runs", "--limit", "100")}
    assert len(site.json("runs", "--limit", "1")) == 1
    assert site.json("runs", run_id)["url"].endswith(run_id)
    assert {task["deviceSerial"] for task in site.json("tasks", "--run", run_id)} == {
        "SIM0001",
        "SIM0002",
        "SIM0003",
    }
    assert site.json("tasks", task_id)["attempts"][0]["outcome"] == "passed"
    assert [device["serial"] for device in site.json("devices")] == ["SIM0001", "SIM0002", "SIM0003"]
    while site.json("devices", "SIM0002")["proofs"]["answer"]["atMs"] is None:  # the node's first heartbeat: 10 s
        continue
    assert site.json("nodes")[0]["nodeId"] == "node-1"
    assert site.json("nodes", "node-1")["state"] == "online"
    for words in (("runs",), ("tasks",), ("devices",), ("nodes",), ("workflows", "list")):
        shown = site.doai(*words).stdout
        assert "http://127.0.0.1:" in shown.splitlines()[-1], words
        assert all(item["url"].startswith("http://") for item in site.json(*words))


def test_a_person_reads_local_times_and_words(site: Up, passed: Waited) -> None:
    shown = site.doai("runs", passed["run"]["runId"]).stdout
    made = datetime.fromtimestamp(passed["run"]["createdAtMs"] / 1000, ZoneInfo("Asia/Seoul"))
    assert re.search(rf"created at +{made:%Y-%m-%d %H:%M:%S}", shown)
    story = site.doai("story", passed["run"]["runId"]).stdout
    assert story.startswith(f"{made:%Y-%m-%d %H:%M:%S}")
    assert "{" not in shown.replace("{}", "")


@pytest.mark.parametrize("of", ["run", "task", "device"])
def test_the_story_of(site: Up, passed: Waited, of: str) -> None:
    task = passed["tasks"][0]
    name = {"run": task["runId"], "task": task["taskId"], "device": task["deviceSerial"]}[of]
    text = site.doai("story", name).stdout
    assert text.splitlines()[-1] == f"{address(site)}/{of}s/{name}"
    if of != "device":
        assert "Step log_in (ui.tap) started on SIM" in text
        events = site.json("story", name)
        assert [event["position"] for event in events] == sorted(event["position"] for event in events)


def test_a_device_out_of_service_has_its_tasks_say_why_they_wait(site: Up) -> None:
    out = site.json("quarantine", "SIM0002", "--for", "10m", "--why", "its screen is changed")
    assert (out["name"], out["state"]) == ("SIM0002", "quarantined")
    first, second = (site.json(*LOGIN, "SIM0002", "--no-retry")["taskIds"][0] for _ in range(2))
    because = r"device SIM0002 is quarantined for another \d+ s: its screen is changed"
    waiting = site.json("tasks", second)
    assert re.fullmatch(because, waiting["waitingBecause"])
    assert waiting["position"] == 2
    story = site.doai("story", first).stdout.splitlines()
    assert re.fullmatch(rf"now: Queued, waiting because {because} \(number 1 in line\)", story[-2])
    assert re.search(r"SIM0002 +online +quarantined ", site.doai("devices").stdout)
    assert site.json("devices", "SIM0002")["quarantine"]["by"].startswith("user/")
    told = site.doai("story", "SIM0002").stdout
    assert "Device SIM0002 is given no tasks until" in told
    assert "now: Device SIM0002 is quarantined for another" in told
    shown = site.doai("unquarantine", "SIM0002", "--why", "changed").stdout
    assert shown.startswith("SIM0002 is given tasks as before: http://")
    for task in (first, second):
        wait_ended(site, site.json("tasks", task)["runId"])
    ended = site.json("tasks", second)
    assert (ended["state"], ended["waitingBecause"], ended["position"]) == ("passed", None, None)
    assert "not quarantined" in site.refused("unquarantine", "SIM0002")


def test_incidents_that_there_are_not(site: Up) -> None:
    assert site.json("incidents") == []
    assert "no incident 'x' is open" in site.refused("incidents", "resolve", "x")
    assert "NODE_DOWN" in site.refused("incidents", "--type", "NODE_UP", code=2)


def test_the_doctor_of_a_running_installation(site: Up) -> None:
    api = site.doai("nodes").stdout.split("http://127.0.0.1:")[1].split("/")[0]
    found = site.json("doctor", "--port", api, "--broker-port", str(free_port()), "--adb-port", str(free_port()))
    verdicts = {item["check"]: item["verdict"] for item in found}
    for check in ("admin port", "api", "clock", "versions", "keys", "adb", "python"):
        assert verdicts[check] == "ok", found
    assert any("Private keys in order: " in item["message"] for item in found)
    key = next(site.data_dir.glob("*/keys/node.key"))
    key.chmod(0o644)
    try:
        out = site.doai("doctor", "--port", api, "--adb-port", str(free_port()), code=exits.NOT_PASSED).stdout
    finally:
        key.chmod(0o600)
    assert f"FAIL  keys: the private key {key} may be read by others (mode 0644)" in out


def test_a_phone_for_a_person(site: Up) -> None:
    held = site.json("hold", "SIM0002", "--for", "10m", "--why", "its screen is looked at")
    assert (held["held"], held.get("tasksLeft", 0)) == (True, 0)
    task = site.json(*LOGIN, "SIM0002")["taskIds"][0]
    because = r"held by user/\S+ until [-0-9]+ [:0-9]+ UTC because its screen is looked at"
    assert re.fullmatch(rf"device SIM0002 is {because}", site.json("tasks", task)["waitingBecause"])
    assert re.search(rf"SIM0002 +online +{because} ", site.doai("devices").stdout)
    assert re.search(rf"now: Device SIM0002 is {because}", site.doai("story", "SIM0002").stdout)
    assert re.search(rf"now: Queued, waiting because device SIM0002 is {because}", site.doai("story", task).stdout)
    korean = r"기기 SIM0002, [-0-9]+ [:0-9]+ UTC까지 user/\S+ 사용 \(이유: its screen is looked at\)"
    assert re.fullmatch(korean, site.json("tasks", task, "--lang", "ko")["waitingBecause"])
    told = site.doai("story", task, "--lang", "ko").stdout
    assert re.search(rf"^지금: 대기, 기다리는 이유: {korean} \(순서 1\)$", told, re.MULTILINE)
    assert "작업이 대기열 default에서 대기 (기기 SIM0002)" in told
    longer = site.json("hold", "SIM0002", "--for", "20m")
    assert longer["untilMs"] > held["untilMs"]
    assert longer["reason"] == "its screen is looked at"
    assert "7 days at most" in site.refused("hold", "SIM0002", "--for", "0s")
    assert "no device 'nope'" in site.refused("hold", "nope")
    assert site.doai("release", "SIM0002").stdout.startswith("SIM0002 is given tasks again: http://")
    while site.json("tasks", task)["state"] != "passed":
        continue
    assert site.json("devices", "SIM0002")["hold"] is None
    wait_ended(site, site.json("tasks", task)["runId"])
    assert "is not held" in site.refused("release", "SIM0002")
    assert "Device SIM0002 is given back by user/" in site.doai("story", "SIM0002").stdout


def test_what_gave_up(site: Up, tmp_path: Path) -> None:
    recipe = tmp_path / "hopeless.yaml"
    recipe.write_text(
        "workflow: hopeless\nsteps:\n  - {id: tap, use: ui.tap, with: {text: Nowhere}, timeout: 2s}\n"
    )
    site.doai("workflows", "add", str(recipe))
    ran = site.json("run", "hopeless", "--on", "SIM0001,SIM0002", "--no-retry", "--wait", code=exits.NOT_PASSED)
    old = {task["taskId"]: task["deviceSerial"] for task in ran["tasks"]}
    listed = site.json("dead", "list", "--workflow", "hopeless")
    assert {letter["taskId"] for letter in listed} == set(old)
    assert {(letter["reason"], letter["state"]) for letter in listed} == {("failed", "open")}
    assert re.search(
        r"failed +hopeless@1 +SIM000", site.doai("dead", "list", "--run", ran["tasks"][0]["runId"]).stdout
    )
    one, other = sorted(old)
    shown = site.doai("dead", "show", one).stdout
    assert f"its story: doai story {one}" in shown
    again = site.json("dead", "retry", one)
    assert (again["retried"], len(again["runIds"])) == (1, 1)
    wait_ended(site, again["runIds"][0])
    task = site.json("tasks", one)
    assert task["retriedAs"] in {each["taskId"] for each in site.json("tasks", "--run", again["runIds"][0])}
    assert site.json("tasks", task["retriedAs"])["retryOf"] == one
    assert f"as task {task['retriedAs']}" in site.doai("story", one).stdout
    assert "no open dead letter" in site.refused("dead", "retry", one)
    assert "no dead letter is named" in site.refused("dead", "discard", code=exits.USAGE)
    assert "say --yes" in site.refused("dead", "discard", other, code=exits.USAGE)
    assert site.json("dead", "discard", other, "--why", "seen", "--yes") == {"discarded": 1}
    site.doai("queues", "put", "hopeless")
    words = ("--on", "SIM0002", "--no-retry", "--queue", "hopeless", "--wait")
    third = site.json("run", "hopeless", *words, code=exits.NOT_PASSED)
    more = site.json("queues", "retry-failed", "hopeless")
    assert (more["retried"], more["refused"]) == (1, [])
    assert site.json("tasks", third["tasks"][0]["taskId"])["retriedAs"]
    assert "no queue 'defalut'" in site.refused("queues", "retry-failed", "defalut")
    assert "5 minutes ago stays" in site.refused("queues", "clean", "default", "--older-than", "1s")
    cleaned = site.json("queues", "clean", "default", "--older-than", "1d", "--outcome", "failed")
    assert (cleaned["runs"], cleaned["done"], len(cleaned["confirm"])) == (0, False, 32)
    [gone] = site.json("dead", "list", "--state", "discarded", "--device", old[other])
    assert (gone["settledWhy"], gone["taskId"]) == ("seen", other)


def test_which_phone_is_this(site: Up, tmp_path: Path) -> None:
    shown = site.doai("devices", "set", "SIM0001", "--label", "갤럭시 7", "--shelf", "A3-12", "--tag", "lab").stdout
    assert shown.startswith("SIM0001 is described anew: http://")
    site.doai("devices", "set", "SIM0001", "--group", "night", "--untag", "lab")
    assert re.search(r"SIM0001 +갤럭시 7 +A3-12 +online .*night", site.doai("devices").stdout)
    assert "described by user/" in site.doai("story", "SIM0001").stdout
    assert "nothing is said" in site.refused("devices", "set", "SIM0001", code=exits.USAGE)
    assert "no device 'SIM9999'" in site.refused("devices", "set", "SIM9999", "--label", "x")

    file = tmp_path / "shelf.csv"
    site.doai("devices", "export", str(file))
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    assert lines[1].startswith("SIM0001,갤럭시 7,A3-12,,,night,node-1,")
    file.write_text("serial,label\nSIM0002,two\nSIM9999,x\nSIM0003,a\tb\n", encoding="utf-8")
    said = site.refused("devices", "import", str(file))
    assert "nothing was changed" in said
    assert f"{file}:3: SIM9999: there is no such device" in said
    assert f"{file}:4: SIM0003: label has a character" in said
    file.write_text("serial,label\nSIM0002,two\n", encoding="utf-8")
    assert "1 would change (dry run)" in site.doai("devices", "import", str(file), "--dry-run").stdout
    assert site.json("devices", "SIM0002")["description"]["label"] == ""
    assert "1 changed" in site.doai("devices", "import", str(file)).stdout
    assert site.json("devices", "SIM0002")["description"]["label"] == "two"

    run = site.json("run", "login-and-screenshot", "--on", "group:night", "--wait")
    assert [task["deviceSerial"] for task in run["tasks"]] == ["SIM0001"]
    found = site.json("identify", "SIM0001", "--for", "1s")
    assert (found["state"], found["text"]) == ("passed", "갤럭시 7 · A3-12")
    assert found["textShown"] is (site.json("devices", "SIM0001")["sdk"] >= 29), "Android 9 only shines"


def test_the_log_of_a_phone(site: Up) -> None:
    said = site.doai("logcat", "SIM0002", "--grep", "Android system").stdout.splitlines()
    assert "SystemServer: Entered the Android system server!" in said[0]
    assert said[-1].endswith("/devices/SIM0002")
    lines = site.json("logcat", "SIM0002", "-n", "1")
    assert [line["kind"] for line in lines] == ["line"]
    assert "Nothing was logged that fits." in site.doai("logcat", "SIM0002", "--grep", "no such words").stdout
    assert "is no regular expression" in site.refused("logcat", "SIM0002", "--grep", "(", code=exits.USAGE)
    assert "there is no device 'SIM9999'" in site.refused("logcat", "SIM9999")


def test_a_node_out_of_service_until_it_is_released(site: Up) -> None:
    assert "untilMs" not in site.json("quarantine", "node-1", "--why", "rewired")
    assert site.json("nodes", "node-1")["service"] == "quarantined"
    task = site.json(*LOGIN, "SIM0001")["taskIds"][0]
    because = site.json("tasks", task)["waitingBecause"]
    assert re.fullmatch(r"node node-1 is quarantined by user/\S+ until it is released: rewired", because)
    site.doai("cancel", task)
    site.doai("unquarantine", "node-1")
    assert "there is no device or node 'nope'" in site.refused("quarantine", "nope")
    assert "is no duration" in site.refused("quarantine", "node-1", "--for", "soon", code=exits.USAGE)


def test_what_has_ended_can_not_be_cancelled_and_says_how_it_ended(site: Up, passed: Waited) -> None:
    for name in (passed["run"]["runId"], passed["tasks"][0]["taskId"]):
        assert f"{name} had ended before (passed): nothing was cancelled" in site.refused("cancel", name)


def test_cancel_a_run_and_a_task(site: Up) -> None:
    words = ("run", "playback-check", "--on", "SIM0001", "--param", "seconds=300")
    created = site.json(*words)
    answer = site.json("cancel", created["runId"], "--reason", "enough")
    assert answer["cancelled"] + answer["cancelling"] == 1
    task_id = site.json(*words)["taskIds"][0]
    shown = site.doai("cancel", task_id).stdout
    assert task_id in shown
    assert "there is no run or task 'nope'" in site.refused("cancel", "nope")


def test_ctrl_c_while_waiting_leaves_the_run_and_says_how_to_look(site: Up) -> None:
    words = ("run", "playback-check", "--on", "SIM0003", "--param", "seconds=300", "--idempotency-key", "ctrl-c")
    with subprocess.Popen(
        [sys.executable, "-m", "doai.cli.main", *words, "--wait"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(site.data_dir),
    ) as waiting:
        try:
            assert waiting.stderr is not None
            began = re.fullmatch(r"run (\w+) of playback-check@1: 1 task; http://\S+\n", waiting.stderr.readline())
            assert began is not None
            waiting.send_signal(signal.SIGINT)
            out, err = waiting.communicate(timeout=COMMAND_S)
        finally:
            waiting.kill()
    run_id = began[1]
    assert (waiting.returncode, out) == (exits.INTERRUPTED, "")
    found = re.search(r"run (\w+) goes on: `doai runs \w+` shows it, `doai cancel \w+` ends it", err)
    assert found, err
    assert found[1] == run_id
    assert "Traceback" not in err
    assert site.json("runs", run_id)["state"] == "active"
    site.doai("cancel", run_id)


def test_workflows(site: Up, tmp_path: Path) -> None:
    recipe = tmp_path / "two.yaml"
    recipe.write_text("workflow: two\nsteps:\n  - {id: pause, use: wait, with: {for: 10ms}}\n")
    first = site.json("workflows", "add", str(recipe))
    assert (first[0]["version"], first[0]["new"]) == (1, True)
    assert "two@1 was stored already: http://" in site.doai("workflows", "add", str(recipe)).stdout
    recipe.write_text(recipe.read_text().replace("10ms", "20ms"))
    assert "two@2 stored" in site.doai("workflows", "add", str(recipe)).stdout
    assert "login-and-screenshot" in site.doai("workflows", "list").stdout
    assert json.loads(site.doai("workflows", "show", "two@1").stdout)["workflow"] == "two"
    assert site.json("workflows", "show", "two")["versions"] == [1, 2]


def test_artifacts(site: Up, passed: Waited, tmp_path: Path) -> None:
    run_id, task_id = passed["run"]["runId"], passed["tasks"][0]["taskId"]
    assert len(site.json("artifacts", "list", "--run", run_id)) == 3
    [one] = site.json("artifacts", "list", "--task", task_id)
    fetched = site.json("artifacts", "get", run_id, "--out", str(tmp_path / "pictures"))
    assert len(fetched) == 3
    assert all(Path(found["file"]).read_bytes().startswith(b"\x89PNG") for found in fetched)
    done = site.doai("artifacts", "get", one["path"], "--out", str(tmp_path))
    assert Path(done.stdout.strip()).stat().st_size == one["sizeBytes"]
    assert "one of the arguments --run --task is required" in site.refused("artifacts", "list", code=exits.USAGE)
    (tmp_path / "file").write_text("")
    message = site.refused("artifacts", "get", one["path"], "--out", str(tmp_path / "file"), code=exits.IO_ERROR)
    assert "name another folder with --out" in message


def test_keys(site: Up, tmp_path: Path) -> None:
    key = make_keypair().public
    added = site.json("keys", "add", "lab-2", key)
    assert added["secret"]
    assert added["brokerEndpoint"].startswith("tcp://")
    (tmp_path / "bot.pub").write_text(make_keypair().public + "\n")
    shown = site.doai("keys", "add", "a-bot", str(tmp_path / "bot.pub"), "--role", "bot").stdout
    assert 'secret = "' in shown, "by which the admin knows a bot that asks for its secrets"
    secret_file = tmp_path / "secret"
    secret_file.write_text("of a key before")
    shown = site.doai("keys", "add", "lab-3", make_keypair().public, "--secret-file", str(secret_file)).stdout
    assert secret_file.stat().st_mode & 0o777 == 0o600
    assert secret_file.read_text().strip() not in shown
    assert secret_file.read_text() != "of a key before"
    assert [each.name for each in tmp_path.glob(".*")] == []
    nowhere = site.refused(
        *("keys", "add", "lab-4", make_keypair().public, "--secret-file", "/proc/x"), code=exits.IO_ERROR
    )
    assert "nothing was changed" in nowhere
    assert "lab-4" not in site.doai("keys", "list").stdout
    site.doai("keys", "revoke", "lab-2")
    states = {item["name"]: item["revokedAtMs"] for item in site.json("keys", "list")}
    assert states["lab-2"]
    assert states["lab-3"] is None


def completed(site: Up, *words: str) -> list[str]:
    shown: str = site.doai("_complete", "fish", *words, XDG_CACHE_HOME=str(site.data_dir / "cache")).stdout
    return shown.splitlines()


def test_completion_knows_the_names_of_the_installation(site: Up) -> None:
    assert "_complete bash" in site.doai("completion", "bash").stdout
    for words, name in (
        (["run", "--", "log"], "login-and-screenshot"),
        (["devices", "--", "SIM"], "SIM0001"),
        (["run", "x", "--on", "--", "node:"], "node:node-1"),
        (["story", "--", ""], "node-1"),
    ):
        # Who presses Tab waits for a second at most: what a busy machine does not tell by then comes at the next.
        while name not in [line.partition("\t")[0] for line in completed(site, *words)]:
            continue


def test_a_reader_that_has_seen_enough_is_no_failure(site: Up, passed: Waited) -> None:
    command = f"{sys.executable} -m doai.cli.main story {passed['run']['runId']} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=environment(site.data_dir), check=True
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "0"


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("runs", "nope"), exits.NOT_PASSED, "there is no run 'nope'"),
        (("tasks", "nope"), exits.NOT_PASSED, "there is no task 'nope'"),
        (("story", "nope"), exits.NOT_PASSED, "there is no task, run, device or node 'nope'"),
        (("devices", "SIM0009"), exits.NOT_PASSED, "there is no device 'SIM0009': did you mean"),
        (("nodes", "node-2"), exits.NOT_PASSED, "there is no node 'node-2': did you mean 'node-1'?"),
        (("artifacts", "get", "nope"), exits.NOT_PASSED, "there is no run 'nope'"),
        (("keys", "revoke", "node-11"), exits.NOT_PASSED, "did you mean 'node-1'?"),
        (("tasks", "--state", "foo"), exits.USAGE, "choose one of queued"),
        (("runs", "--limit", "0"), exits.USAGE, "'0' is no whole number above 0"),
        (("run", "playback-check"), exits.USAGE, "doai run: --on is needed"),
        (("runs", "--token-file", "/nope"), exits.CONFIG, "cannot read the token file /nope: No such file"),
        (("runs", "--url", "http://127.0.0.1:1"), exits.UNAVAILABLE, "does not answer"),
    ],
)
def test_refusals_are_one_sentence_with_an_exit_code(
    site: Up, words: tuple[str, ...], code: int, sentence: str
) -> None:
    assert sentence in site.refused(*words, code=code)


def test_people_are_let_in_changed_and_removed(site: Up, tmp_path: Path) -> None:
    made = site.json("users", "add", "ann", "--role", "viewer")
    assert len(made["password"]) >= 10
    assert "ann is operator now" in site.doai("users", "role", "ann", "operator").stdout
    [ann] = [user for user in site.json("users", "list") if user["name"] == "ann"]
    assert (ann["role"], ann["removedAtMs"]) == ("operator", None)
    out = tmp_path / "password"
    told = site.doai("users", "password", "ann", "--out", str(out)).stdout
    assert out.stat().st_mode & 0o777 == 0o600
    assert out.read_text().strip() not in told
    assert out.read_text().strip() != made["password"]
    assert "nothing was changed" in site.refused("users", "password", "ann", "--out", str(out), code=exits.IO_ERROR)
    typed = with_input(site, "a password of my own\n", "users", "password", "ann", "--ask")
    assert "shown once" not in typed.stdout
    assert "10 to 200" in with_input(site, "short", "users", "password", "ann", "--ask").stderr
    site.doai("users", "remove", "ann")
    assert "ann" not in [user["name"] for user in site.json("users", "list")]


def with_input(site: Up, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "doai.cli.main", *words]
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, env=environment(site.data_dir), timeout=COMMAND_S
    )
    assert "Traceback" not in done.stderr
    return done


def test_tokens_open_what_they_say_until_they_are_revoked(site: Up, tmp_path: Path) -> None:
    made = site.json("tokens", "create", "ci", "--role", "operator", "--scope", "fleet", "--expires", "90d")
    with_token = {"DOAI_TOKEN": made["token"]}
    assert "SIM0001" in site.doai("devices", **with_token).stdout
    assert "opens fleet only" in site.refused("runs", code=exits.NO_PERMISSION, **with_token)
    listed = site.json("tokens", "list")
    assert made["token"] not in json.dumps(listed)
    [ci] = [token for token in listed if token["name"] == "ci"]
    assert (ci["state"], ci["scopes"], ci["role"]) == ("live", ["fleet"], "operator")
    assert ci["expiresAtMs"] - ci["createdAtMs"] == 90 * 86_400_000
    out = tmp_path / "token"
    site.doai("tokens", "create", "ci-2", "--role", "viewer", "--out", str(out))
    assert "SIM0001" in site.doai("devices", DOAI_TOKEN=out.read_text().strip()).stdout
    again = site.refused("tokens", "create", "ci", "--role", "viewer", "--out", str(tmp_path / "none"))
    assert "another token ci" in again
    assert not (tmp_path / "none").exists(), "nothing came of it, so nothing is left"
    soon = ("tokens", "create", "x", "--role", "viewer", "--expires", "soon")
    assert "duration" in site.refused(*soon, code=exits.USAGE)
    site.doai("tokens", "revoke", "ci")
    assert [t["state"] for t in site.json("tokens", "list", "--all") if t["name"] == "ci"] == ["revoked"]


def test_no_command_takes_a_secret_as_a_word(site: Up) -> None:
    words = ("users", "add", "x", "--role", "viewer", "--password", "in the open")
    assert "there is no flag --password" in site.refused(*words, code=exits.USAGE)


def test_a_wrong_token_is_no_permission(site: Up) -> None:
    assert "token is not accepted" in site.refused("runs", code=exits.NO_PERMISSION, DOAI_TOKEN="wrong")


def test_a_second_up_on_the_same_data_is_refused(site: Up) -> None:
    command = [sys.executable, "-m", "doai.cli.main", "up", "--data-dir", str(site.data_dir), *FREE_PORTS]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(site.data_dir), timeout=COMMAND_S
    )
    assert done.returncode == exits.UNAVAILABLE
    last = done.stderr.splitlines()[-1]
    assert re.match(r"doai: broker did not start: the broker's store .* is in use by process \d+: stop that", last)
    assert site.json("nodes")[0]["state"] == "online"


def test_up_again_goes_on_and_leaves_nothing(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with up(data_dir, phones=1) as first:
        first.wait_for_phones(1)
        keys = first.json("keys", "list")
        created = first.json(*LOGIN, "all", "--wait")
        workflows = [(item["name"], item["version"]) for item in first.json("workflows", "list")]
        assert first.stop(signal.SIGINT) == exits.INTERRUPTED
        assert processes_of(data_dir) == []
    token = (data_dir / "token").read_text()
    with up(data_dir, phones=1) as second:
        second.wait_for_phones(1)
        assert not any("token" in line for line in second.said)
        assert (data_dir / "token").read_text() == token
        assert second.json("keys", "list") == keys
        assert [(item["name"], item["version"]) for item in second.json("workflows", "list")] == workflows
        assert second.json("runs")[0]["runId"] == created["run"]["runId"]
        assert second.stop(signal.SIGTERM) == exits.INTERRUPTED


def test_two_runs_are_compared(site: Up, passed: Waited) -> None:
    run_id = passed["run"]["runId"]
    assert f"{len(passed['tasks'])} same" in site.doai("compare", run_id, run_id).stdout
    assert len(site.json("compare", run_id, run_id)["items"]) == len(passed["tasks"])
    assert "no run" in site.refused("compare", run_id, "nowhere", code=exits.NOT_PASSED)
