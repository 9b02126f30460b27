"""The services: units that systemd accepts and rates as safe; ready once they serve, watched, and stopped well."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from doai.wire.keys import load_or_make_keypair
from tests.integration.service_units import ROOT, UNITS, Service, command_of, directives, settings

EXPOSURE_MAX = 2.0
BOT = """
import pathlib
import threading
from doai.bots import Bot

bot = Bot("b1")


@bot.every("200ms")
async def hang(ctx):
    while pathlib.Path(__file__).with_suffix(".hangs").exists():
        threading.Event().wait(0.05)


bot.run()
"""
"""It holds its event loop while a file is there."""
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="SKIPPED LOUDLY: there is no systemd-analyze here")


def name(path: Path) -> str:
    return path.name


def test_there_is_a_unit_for_every_daemon() -> None:
    daemons = {"broker", "admin", "node"} | ({"bot"} if (ROOT / "bin/bot").exists() else set())
    assert {re.split(r"[-.@]", path.name)[1] for path in UNITS} == daemons


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=name)
def test_systemd_accepts_the_unit(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/opt/doai/", f"{ROOT}/"))
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "doai" in line]
    assert (done.returncode, ours) == (0, [])


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=name)
def test_the_unit_is_hardened(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"Overall exposure level for .*?: ([\d.]+)", shown)
    assert found is not None, shown
    assert float(found[1]) <= EXPOSURE_MAX, shown


@pytest.mark.parametrize("unit", UNITS, ids=name)
def test_a_stop_has_the_time_it_needs_and_a_mistake_is_not_repeated(unit: Path) -> None:
    said = directives(unit)
    drain_s = {
        "doai-broker.service": 10,
        "doai-admin.service": 3,
        "doai-node@.service": 60,
        "doai-bot@.service": 20,
    }[unit.name]
    assert int(said["TimeoutStopSec"][0]) > drain_s
    assert said["Restart"] == ["on-failure"]
    assert "78" in said["RestartPreventExitStatus"][0].split()
    assert said["Type"] == ["notify"]
    if unit.name != "doai-admin.service":
        assert said["KillMode"] == ["mixed"], "children are still needed while the program ends"


@pytest.mark.parametrize("unit", UNITS, ids=name)
def test_settings_that_are_wrong_end_with_the_code_that_is_not_repeated(unit: Path, tmp_path: Path) -> None:
    (tmp_path / "etc/doai").mkdir(parents=True)
    for program in ("broker", "admin", "node-n1", "bot-n1"):
        (tmp_path / f"etc/doai/{program}.toml").write_text("no_such_setting = 1\n")
    done = subprocess.run(command_of(unit.name, "n1", tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 78, done
    assert "there is no setting no_such_setting" in done.stderr


@contextmanager
def services(tmp_path: Path) -> Iterator[dict[str, Service]]:
    started: dict[str, Service] = {}
    try:
        yield started
    finally:
        for service in started.values():
            service.close()


@pytest.mark.slow
def test_each_service_is_ready_once_it_serves_and_watched_while_its_core_turns(tmp_path: Path) -> None:
    node_keys = tmp_path / "var/lib/doai/node-n1/keys"
    public_key = load_or_make_keypair(node_keys / "node.key").public
    settings(tmp_path, {"broker": {"endpoint": "tcp://127.0.0.1:0", "store_writer": "thread"}})
    with services(tmp_path) as running:
        broker = running["broker"] = Service("doai-broker.service", tmp_path)
        endpoint = broker.wait_for("X_DOAI_ENDPOINT")
        assert broker.told[-1]["READY"] == "1"
        key = broker.told[-1]["X_DOAI_PUBLIC_KEY"]

        (tmp_path / "etc/doai/admin.toml").write_text(f'endpoint = "{endpoint}"\nport = 0\n')
        admin = running["admin"] = Service("doai-admin.service", tmp_path)
        url = admin.wait_for("X_DOAI_URL")
        assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 200, "ready means that it serves"
        token_file = tmp_path / "var/lib/doai/broker/first-token"
        headers = {"Authorization": f"Bearer {token_file.read_text().strip()}"}
        assert headers["Authorization"].split()[1] not in admin.log_path.read_text(), "the journal keeps no secret"
        body = {"name": "n1", "role": "node", "publicKey": public_key}
        added = httpx.post(f"{url}/api/v1/keys", json=body, headers=headers, trust_env=False)
        assert added.status_code == 201, added.text

        (tmp_path / "b1.py").write_text(BOT)
        bot_key = load_or_make_keypair(tmp_path / "var/lib/doai/bot-b1/keys/bot.key").public
        body = {"name": "b1", "role": "bot", "publicKey": bot_key}
        added = httpx.post(f"{url}/api/v1/keys", json=body, headers=headers, trust_env=False)
        assert added.status_code == 201, added.text
        said = {"program": str(tmp_path / "b1.py"), "endpoint": endpoint, "broker_public_key": key}
        lines = [f"{setting} = {json.dumps(value)}" for setting, value in said.items()]
        (tmp_path / "etc/doai/bot-b1.toml").write_text("\n".join(lines) + "\n")
        bot = running["bot"] = Service("doai-bot@.service", tmp_path, instance="b1")
        assert bot.wait_for("READY") == "1"
        assert bot.wait_for("WATCHDOG") == "1"
        (tmp_path / "b1.hangs").touch()
        bot.wait_silent()
        (tmp_path / "b1.hangs").unlink()
        assert bot.wait_for("WATCHDOG") == "1"
        assert bot.stop() == 0

        # The node's HELLO needs a commit of the broker, whose loop turns on while its disk hangs.
        broker.hang_path.touch()
        lines = [f'endpoint = "{endpoint}"', f"broker_public_key = {json.dumps(key)}", 'drivers = ["fake"]']
        (tmp_path / "etc/doai/node-n1.toml").write_text("\n".join(lines) + "\n")
        node = running["node"] = Service("doai-node@.service", tmp_path, instance="n1")
        assert node.wait_for("READY") == "1"
        assert node.wait_for("WATCHDOG") == "1"
        broker.wait_silent()
        broker.hang_path.unlink()
        assert broker.wait_for("WATCHDOG") == "1"

        admin.hang_path.touch()
        admin.wait_silent()
        admin.hang_path.unlink()
        assert admin.wait_for("WATCHDOG") == "1"
        assert admin.stop() == 0

        node.hang_path.touch()
        assert broker.stop() == 0  # the node opens a new connection, and commits its epoch before it greets
        node.wait_silent()
        node.hang_path.unlink()
        assert node.wait_for("WATCHDOG") == "1"
        assert node.stop() == 0

        for service in running.values():
            for line in service.log_path.read_text().splitlines():
                assert re.match(r"<[3467]>{", line), "every line says its severity to the journal, and is JSON"
                json.loads(line[3:])


def test_the_installer_writes_what_the_units_need(tmp_path: Path) -> None:
    command = [str(ROOT / "deploy/install.sh"), "broker", "admin", "node@shelf-1", "bot@thermal"]
    environ = {**os.environ, "DESTDIR": str(tmp_path)}
    shown = subprocess.run(["sh", *command], env=environ, capture_output=True, text=True, check=True).stdout
    assert "systemctl enable --now doai-broker doai-admin doai-node@shelf-1 doai-bot@thermal" in shown
    for unit in UNITS:
        written = tmp_path / "etc/systemd/system" / unit.name
        assert written.read_text() == unit.read_text().replace("/opt/doai/", f"{ROOT}/")
    mine = tmp_path / "etc/doai/node-shelf-1.toml"
    mine.write_text("# my own\n")
    subprocess.run(["sh", *command], env=environ, capture_output=True, check=True)
    assert mine.read_text() == "# my own\n", "settings are never written over"
    for tool in ("systemd-sysusers", "systemd-tmpfiles"):
        if shutil.which(tool) and os.geteuid() == 0:
            words = ["--create"] if tool == "systemd-tmpfiles" else []
            done = subprocess.run([tool, f"--root={tmp_path}", *words, "doai.conf"], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "name what to install"),
        (["--dry-run", "brokr"], 2, "there is no service brokr"),
        (["--dry-run", "node@Shelf 1"], 2, "a node's name is of a-z"),
    ],
)
def test_the_installer_refuses_what_it_does_not_know(words: list[str], code: int, said: str) -> None:
    done = subprocess.run([str(ROOT / "deploy/install.sh"), *words], capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stderr) == (code, True), done


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    command = [str(ROOT / "deploy/install.sh"), "--dry-run", "node@shelf-1"]
    environ = {**os.environ, "DESTDIR": str(tmp_path / "new")}
    subprocess.run(command, env=environ, capture_output=True, check=True)
    assert not (tmp_path / "new").exists()
