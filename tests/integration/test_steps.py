"""Steps that need a device, over the whole way: recipes that are shipped, a real adb server, simulated phones."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apk.builder import make_apk
from tests.integration.installed import Up, up

CAMERA = "android.permission.CAMERA"
EVERYTHING = """
workflow: everything
params: {app: {type: string}}
timeout: 5m
steps:
  - {id: restart, use: device.reboot, with: {within: 60s}}
  - {id: ready, use: device.bootstrap}
  - {id: calm, use: device.set, with: {animation_scale: 0, brightness_percent: 30}}
  - {id: allow, use: app.grant, with: {package: com.example.login, permissions: [android.permission.CAMERA]}}
  - {id: put, use: file.push, with: {file: "${params.app}", path: /sdcard/Download/copy.apk}}
  - {id: back, use: file.pull, with: {path: /sdcard/Download/copy.apk}, expect: "sha256 == steps.put.sha256"}
  - {id: tests, use: app.install, with: {file: "${params.app}"}}
  - {id: tested, use: app.instrument, with: {package: com.example.login.test, tests: [com.example.Good]}}
  - {id: hold, use: ui.long_press, with: {text: Chrome}}
  - {id: menu, use: ui.assert_visible, with: {text: App info}}
  - {id: settings, use: app.launch, with: {package: com.android.settings}}
  - {id: about, use: ui.scroll_to, with: {text: About phone}}
  - {id: up, use: ui.swipe, with: {direction: down, distance: 80%}}
  - {id: gone, use: ui.assert_absent, with: {text: About phone}}
  - {id: tree, use: ui.dump}
  - {id: log, use: log.collect, with: {since: 10m}, expect: "lines > 1"}
  - {id: keep, use: artifact.upload, with: {artifact: "${steps.log.artifact}"}}
  - {id: remove, use: app.uninstall, with: {package: com.example.login.test}, expect: "removed"}
  - {id: bad, use: app.uninstall, with: {package: com.example.login.test, missing_ok: false}}
outputs: {passed: "${steps.tested.passed}"}
"""
TESTS = "com.example.Good#one passed\ncom.example.Good#two passed\ncom.example.Bad#three failed 0.1 no"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("site") / "data", phones=2) as installation:
        installation.wait_for_phones(2)
        yield installation


def put(site: Up, folder: Path, name: str, version: str, data: bytes, ending: str = "apk") -> None:
    path = folder / f"{name}.{ending}"
    path.write_bytes(data)
    site.doai("files", "put", str(path), "--version", version)


def outputs(site: Up, result: Any) -> list[Any]:
    """Return the outputs of each task of a run."""
    return [site.json("tasks", task["taskId"])["outputs"] for task in result["tasks"]]


def failure(result: Any) -> Any:
    [task] = result["tasks"]
    return task["failure"]


@pytest.mark.slow
def test_an_app_is_installed_and_started_on_every_phone_and_never_put_back(site: Up, tmp_path: Path) -> None:
    put(site, tmp_path, "shop", "1", make_apk("com.example.shop", label="Shop", permissions=(CAMERA,)))
    put(site, tmp_path, "shop", "2", make_apk("com.example.shop", version_code=2, version_name="1.1", label="Shop"))
    run = ("run", "install-and-launch", "--wait")
    result = site.json(*run, "--on", "all", "--param", "file=shop@2", "--param", "grant=true")
    assert result["run"]["outcome"] == "passed"
    assert all(result["artifacts"][task["taskId"]] for task in result["tasks"])
    for told in outputs(site, result):
        assert (told["version_name"], told["previous_version_code"]) == ("1.1", None)
    older = failure(site.json(*run, "--on", "SIM0001", "--param", "file=shop@1", code=1))
    assert (older["errorClass"], older["code"]) == ("user", "install_failed_version_downgrade")
    site.json(*run, "--on", "SIM0001", "--param", "file=shop@1", "--param", "downgrade=true")


@pytest.mark.slow
def test_a_file_that_is_no_app_fails_with_a_sentence_and_changes_nothing(site: Up, tmp_path: Path) -> None:
    put(site, tmp_path, "notes", "1", b"these are no app", ending="txt")
    found = failure(
        site.json("run", "install-and-launch", "--on", "SIM0001", "--param", "file=notes@1", "--wait", code=1)
    )
    assert (found["errorClass"], found["code"], found["step"]) == ("user", "not_an_apk", "install")
    assert found["message"] == "The file notes@1 is no app that can be installed: it is no zip file."


@pytest.mark.slow
def test_health_of_all_phones(site: Up) -> None:
    result = site.json("run", "health-sweep", "--on", "all", "--wait")
    for told in outputs(site, result):
        assert 0 < told["battery_percent"] <= 100
        assert told["network"] == "wifi"
    found = failure(
        site.json("run", "health-sweep", "--on", "SIM0001", "--param", "storage_min_mb=1000000", "--wait", code=1)
    )
    assert (found["errorClass"], found["step"]) == ("app", "storage")


@pytest.mark.slow
def test_a_login_stays_and_a_wrong_password_does_not(site: Up) -> None:
    done = site.json("run", "app-login", "--on", "SIM0001", "--wait")
    assert outputs(site, done) == [{"greeting": "Welcome, demo"}]
    found = failure(
        site.json(
            "run", "app-login", "--on", "SIM0001", "--param", "password=wrong", "--wait", "--no-retry", code=1
        )
    )
    assert (found["code"], found["step"]) == ("element_present", "no_error")
    assert "Wrong username or password" in found["message"]


@pytest.mark.slow
def test_every_step_that_needs_a_device_and_a_restart_in_the_middle_of_a_task(site: Up, tmp_path: Path) -> None:
    tests = make_apk("com.example.login.test", instruments="com.example.login", tests=TESTS)
    put(site, tmp_path, "login-tests", "1", tests)
    (tmp_path / "everything.yaml").write_text(EVERYTHING)
    site.doai("workflows", "add", str(tmp_path / "everything.yaml"))
    run = ("run", "everything", "--on", "SIM0002", "--param", "app=login-tests@1", "--wait", "--no-retry")
    result = site.json(*run, code=1)
    found = failure(result)
    assert (found["errorClass"], found["code"], found["step"]) == ("app", "app_not_installed", "bad"), found
    site.doai("artifacts", "get", result["run"]["runId"], "--out", str(tmp_path / "out"))
    [junit] = (tmp_path / "out").rglob("*tests-1.xml")
    assert ET.parse(junit).getroot().get("tests") == "2"
    [log] = (tmp_path / "out").rglob("*.log")
    assert b"ActivityTaskManager" in log.read_bytes()
