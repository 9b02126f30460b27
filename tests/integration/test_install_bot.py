"""The install-bot as a process, on simulated phones behind real daemons: killed in the middle, and put back."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.apk.builder import make_apk
from tests.apk.keys import OTHER_KEY
from tests.integration.installed import COMMAND_S, FREE_PORTS, START_S, Up, environment, up

pytestmark = pytest.mark.slow
SHOP, CAMERA = "com.example.shop", "android.permission.CAMERA"
ALL = {"kind": "all"}
PHONES = [f"SIM000{number}" for number in range(1, 7)]


class Api:
    """The installation over HTTP: a command line a look would take longer than what is looked at."""

    def __init__(self, up: Up) -> None:
        self.up = up
        self.folder = up.data_dir.parent
        place = json.loads((up.data_dir / "cli.json").read_text())
        headers = {"Authorization": f"Bearer {place['token']}"}
        self.client = httpx.Client(base_url=place["url"] + "/api/v1", headers=headers, timeout=90, trust_env=False)

    def get(self, path: str, **query: Any) -> Any:
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ask(self, file: str, on: dict[str, Any], **wish: Any) -> str:
        """Ask for an installation; return the id of its task."""
        return self.run_bot("app.install", {"file": file, "targets": on, **wish})

    def run_bot(self, kind: str, params: dict[str, Any]) -> str:
        targets = {"kind": "bot", "bot": kind}
        answer = self.client.post("/runs", json={"workflow": "", "targets": targets, "params": params})
        assert answer.status_code == 201, answer.text
        [task_id] = answer.json()["taskIds"]
        return str(task_id)

    def end(self, task_id: str) -> dict[str, Any]:
        """Return a task when it has ended; counts of its report add up."""
        until = time.monotonic() + COMMAND_S
        while (task := self.get(f"/tasks/{task_id}"))["endedAtMs"] is None:
            assert time.monotonic() < until, task
        if "groups" in (report := task["outputs"]):
            phones = sum(group["phones"] for group in report["groups"])
            assert sum(report["counts"].values()) == phones == report["phones"]
        return dict(task)

    def install(self, file: str, on: dict[str, Any], **wish: Any) -> dict[str, Any]:
        return self.end(self.ask(file, on, **wish))

    def versions(self) -> list[int | None]:
        """What each phone has, by a run that looks."""
        wish = {"workflow": "app-look", "targets": ALL, "params": {"package": SHOP}}
        made = self.client.post("/runs", json=wish).json()
        tasks = [self.end(task_id) for task_id in made["taskIds"]]
        return [
            task["outputs"]["version_code"] for task in sorted(tasks, key=lambda task: str(task["deviceSerial"]))
        ]

    def made(self) -> list[str]:
        """Workflows of all runs."""
        return [run["workflow"] for run in self.get("/runs", limit=100)["items"]]

    def order(self, **request: Any) -> None:
        """Tell simulated phones to do something."""
        said = (self.up.data_dir / "log" / "phones.log").read_text()
        port = int(re.findall(r"control port (\d+)", said)[-1])
        with socket.create_connection(("127.0.0.1", port)) as control, control.makefile("rw") as stream:
            stream.write(json.dumps(request) + "\n")
            stream.flush()
            answer = json.loads(stream.readline())
        assert answer["ok"], answer


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("install-bot")
    with up(folder / "data", phones=len(PHONES), words=FREE_PORTS) as installation:
        installation.wait_for_phones(len(PHONES))
        api = Api(installation)
        about: dict[str, dict[str, Any]] = {
            "1.3": {"version_code": 13},
            "1.4": {"version_code": 14, "abis": ("arm64-v8a",)},
            "1.5": {"version_code": 15, "key": OTHER_KEY},
            "1.6": {"version_code": 16},
        }
        for version, fields in about.items():
            data = make_apk(SHOP, permissions=(CAMERA,), **fields)
            assert api.client.put(f"/files/shop@{version}", content=data).status_code == 201
        installation.doai("bots", "enroll", "install-bot", "--dir", str(folder / "bot"))
        yield api
        api.client.close()


@contextmanager
def bot(site: Api) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-m", "doai.cli.bot", "--config", str(site.folder / "bot/bot.toml")]
    with (site.folder / "bot.err").open("ab") as errors:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=errors, env=environment(site.folder))
    try:
        yield process
    finally:
        process.kill()
        process.wait(START_S)


def named(report: dict[str, Any]) -> dict[str, str]:
    return {serial: group["code"] for group in report["groups"] for serial in group["serials"]}


def test_a_bot_that_is_killed_in_the_middle_goes_on_where_it_was(site: Api) -> None:
    site.order(op="fault", serial="SIM0002", fault="install_fails", text="INSTALL_FAILED_VERIFICATION_FAILURE")
    # The canary takes some seconds, in which the bot is killed.
    site.order(op="fault", serial="SIM0001", fault="dribble", match="pm install", delay_s=0.3)
    with bot(site) as process:
        task_id = site.ask("shop@1.3", ALL, canary=3, wave=2, stopRate=0.5)
        while "app-install" not in site.made():
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait(START_S)
    with bot(site):
        task = site.end(task_id)
        again = site.install("shop@1.3", ALL, permissions=[CAMERA])["outputs"]
    assert task["state"] == "passed", task
    assert task["outputs"]["counts"]["installed"] == 5
    assert named(task["outputs"])["SIM0002"] == "install_failed_verification_failure"
    assert site.made().count("app-look") == site.made().count("app-install") == 2, "each of the two tasks once"
    assert (again["counts"]["skipped"], again["counts"]["installed"]) == (5, 1)
    assert site.versions() == [13] * 6


def test_what_was_changed_is_put_back_and_half_the_phones_may_have_another_signers(site: Api) -> None:
    for serial in PHONES[:2]:
        site.order(op="fault", serial=serial, fault="install_fails", text="INSTALL_FAILED_VERIFICATION_FAILURE")
    with bot(site) as process:
        task = site.install("shop@1.4", ALL, canary=6, wave=4)
        assert task["state"] == "failed"
        report = task["outputs"]
        assert report["stopped"] == "2 of 6 phones that were tried failed, more than 20%"
        counts = report["counts"]
        assert (counts["rolled_back"], counts["failed"]) == (4, 2)
        assert site.versions() == [13] * 6
        removed = {"workflow": "app-remove", "targets": devices(PHONES[3:]), "params": {"package": SHOP}}
        for task_id in site.client.post("/runs", json=removed).json()["taskIds"]:
            site.end(task_id)
        report = site.install("shop@1.5", ALL)["outputs"]
        assert (report["counts"]["refused"], report["counts"]["installed"]) == (3, 3)
        assert {named(report)[serial] for serial in PHONES[:3]} == {"signature_differs"}
        nobody = site.install("shop", {"kind": "all", "selector": {"groups": ["no"]}})
        assert "has the group 'no'" in nobody["failure"]["message"]
        shown = site.up.doai("apps", "install", "shop@1.6", "--on", "SIM0001,SIM0002", "--wait").stdout
        assert re.search(r"^SIM0001 +installed ", shown, re.MULTILINE), shown
        assert site.versions() == [16, 16, 13, 15, 15, 15]
        process.send_signal(signal.SIGTERM)
        assert process.wait(START_S) == 0
    assert "there is no file 'gone'" in site.up.refused("apps", "install", "gone", "--on", "all")


def test_a_new_phone_is_taken_in_and_others_wait_until_it_has_passed(site: Api) -> None:
    serial = "SIM0006"
    site.order(op="fault", serial=serial, fault="dribble", match="pm install", delay_s=0.2)
    with bot(site):
        wish = {"serial": serial, "apps": ["shop@1.5"], "tags": ["taken-in"], "smoke": "identify"}
        task = site.run_bot("device.onboard", wish | {"smokeParams": {"text": "hello", "seconds": 1}})
        wait = {"workflow": "app-look", "targets": devices([serial]), "params": {"package": SHOP}}
        [waits] = site.client.post("/runs", json=wait).json()["taskIds"]
        ended, other = site.end(task), site.end(waits)
        assert (ended["state"], other["state"]) == ("passed", "passed"), ended
        [held] = site.get(f"/story/{serial}", type="device.held", limit=10)["items"]
        assert held["actor"].startswith("install-bot/")
        assert site.get(f"/devices/{serial}")["hold"] is None
        assert "taken-in" in site.get(f"/devices/{serial}")["description"]["tags"]
        failed = site.end(site.run_bot("device.onboard", {"serial": serial, "smoke": "no-such-workflow"}))
        assert "there is no workflow 'no-such-workflow'" in failed["failure"]["message"]
        assert "no-such-workflow" in site.get(f"/devices/{serial}")["quarantine"]["reason"]


def devices(serials: list[str]) -> dict[str, Any]:
    return {"kind": "devices", "serials": serials}
