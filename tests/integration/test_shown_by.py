"""The whole of it on one machine: a host joins, an app goes on twenty phones, a screen is compared, a script runs.

What came of it is a JUnit file and a page that a browser shows.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from doai.cli import exits
from doai.cli.client import Client
from doai.cli.place import read_place
from doai.ports import free_port
from tests.apk.builder import make_apk
from tests.documents import variables
from tests.integration.admin_site import Program
from tests.integration.installed import COMMAND_S, ROOT, Up, up

PHONES = 20
SECOND = [f"SIM{number:04d}" for number in range(11, PHONES + 1)]
SCRIPT = """#!/bin/sh
read -r wanted
echo "found on $ANDROID_SERIAL" > "$DOAI_FILES/found.txt"
echo "{\\"serial\\": \\"$DOAI_SERIAL\\", \\"wanted\\": $wanted}"
"""
BATTERY = """
workflow: battery
steps:
  - {id: look, use: host.run, with: {script: battery.sh, input: {percent: 80}}}
outputs: {serial: "${steps.look.json.serial}", wanted: "${steps.look.json.wanted.percent}"}
"""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def second_host(site: Up, folder: Path) -> Iterator[None]:
    """A host of its own: phones, an adb server on another port, and a node that joins with a token."""
    folder.mkdir()
    site.doai("adb-key")
    [token] = [item["token"] for item in site.json("nodes", "enroll", "second")["items"]]
    (folder / "scripts").mkdir()
    (folder / "scripts/battery.sh").write_text(SCRIPT)
    (folder / "scripts/battery.sh").chmod(0o755)
    with ExitStack() as stack:
        count = str(PHONES - len(SECOND))
        phones = Program("phones", ["--count", count, "--serial-from", "11"], folder)
        stack.callback(phones.close)
        addresses = [f"127.0.0.1:{port}" for port in phones.wait_for("X_DOAI_PHONES").split(",")]
        words = [word for address in addresses for word in ("--adb-connect", address)]
        words += ["--adb-port", str(free_port()), "--no-adb-usb", "--host-scripts", str(folder / "scripts")]
        joined = subprocess.run(
            [ROOT / "bin/node", "--join", "-", "--data-dir", folder / "data", *words],
            input=token,
            env=variables(site.data_dir),
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
        )
        assert joined.returncode == 0, joined.stderr
        assert "second has joined" in joined.stdout
        settings = folder / "data/node.toml"
        assert token not in settings.read_text()
        assert tomllib.loads(settings.read_text())["adb_connect"] == addresses
        node = Program("node", ["--config", str(settings)], folder)
        stack.callback(node.close)
        yield
        assert node.stop() == 0
        assert phones.stop() == 0


def outputs(site: Up, done: dict[str, Any]) -> list[dict[str, Any]]:
    place = read_place(site.data_dir)
    assert place is not None
    with Client(place) as client:
        return [client.get(f"/tasks/{task['taskId']}")["outputs"] for task in done["tasks"]]


@pytest.mark.slow
def test_what_is_promised_is_shown(tmp_path: Path) -> None:
    with ExitStack() as stack:
        site = stack.enter_context(up(tmp_path / "data", phones=PHONES - len(SECOND)))
        stack.enter_context(second_host(site, tmp_path / "second"))
        site.wait_for_phones(PHONES)
        _an_app_is_on_every_phone(site, tmp_path)
        _a_screen_is_compared(site)
        _a_script_of_the_second_host_is_run(site, tmp_path)


def _an_app_is_on_every_phone(site: Up, folder: Path) -> None:
    app = make_apk("com.example.shop", version_code=14, version_name="1.4", padding_bytes=100_000)
    (folder / "shop.apk").write_bytes(app)
    site.doai("files", "put", str(folder / "shop.apk"), "--version", "1.4")
    junit, csv, page = (folder / name for name in ("results.xml", "results.csv", "report.html"))
    done = site.json(
        "run", "install-and-launch", "--on", "all", "--param", "file=shop@1.4", "--wait",
        "--junit", str(junit), "--csv", str(csv), "--report", str(page),
    )  # fmt: skip
    assert [task["state"] for task in done["tasks"]] == ["passed"] * PHONES
    assert {each["version_name"] for each in outputs(site, done)} == {"1.4"}
    suites = ET.parse(junit).getroot()
    assert (suites.attrib["tests"], suites.attrib["failures"], suites.attrib["errors"]) == (str(PHONES), "0", "0")
    assert len(csv.read_text(encoding="utf-8-sig").splitlines()) == PHONES + 1
    text = page.read_text(encoding="utf-8")
    assert all(serial in text for serial in ("SIM0001", *SECOND))
    assert text.count("data:image/png;base64,") == PHONES
    _a_browser_shows(page)


def _a_browser_shows(page: Path) -> None:
    """Without a complaint, and nothing of it has to be fetched."""
    assert not re.search(r"""(?:src=|url\()["']?(?!data:)\w+:""", page.read_text(encoding="utf-8"))
    if CHROMIUM is None:
        return
    picture = page.with_suffix(".png")
    quiet = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")
    shown_so = (
        "--window-size=1200,1600",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        f"--screenshot={picture}",
    )
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", *quiet, *shown_so, page.as_uri()],
        env={"PATH": os.environ["PATH"], "HOME": str(page.parent)},
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
    )
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr
    with Image.open(io.BytesIO(picture.read_bytes())) as shown:
        assert shown.size == (1200, 1600)
        colours = shown.convert("RGB").getcolors(maxcolors=1200 * 1600) or []
    assert len(colours) > 50, "there are words and pictures on it"


def _a_screen_is_compared(site: Up) -> None:
    run = ("run", "screenshot-baseline", "--on", "SIM0001,SIM0011", "--wait", "--no-retry")
    first = site.json(*run, code=exits.NOT_PASSED)
    assert {task["failure"]["code"] for task in first["tasks"]} == {"baseline_missing"}
    site.doai("baseline", "accept", first["run"]["runId"])
    assert site.json(*run)["run"]["outcome"] == "passed"


def _a_script_of_the_second_host_is_run(site: Up, folder: Path) -> None:
    (folder / "battery.yaml").write_text(BATTERY)
    done = site.json("run", str(folder / "battery.yaml"), "--on", "node:second", "--wait")
    told = outputs(site, done)
    assert sorted(each["serial"] for each in told) == SECOND
    assert {each["wanted"] for each in told} == {80}
    site.doai("artifacts", "get", done["run"]["runId"], "--out", str(folder / "left"))
    notes = [path.read_text() for path in (folder / "left").rglob("*found*")]
    assert len(notes) == len(SECOND)
    assert all(note.startswith("found on 127.0.0.1:") for note in notes), "adb means that phone"
