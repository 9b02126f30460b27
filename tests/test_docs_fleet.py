"""Documents on several hosts are true: what they show is run, on nodes that join as the tutorial says."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import ROOT, blocks, commands, in_checkout, run, variables
from tests.integration.installed import FREE_PORTS, START_S, Up, processes_of, up
from tests.integration.service_units import command_of

TUTORIAL = ROOT / "docs/tutorials/first-fleet.md"
ENROL = ROOT / "docs/how-to/enrol-hosts.md"
JOIN = re.compile(r"\| bin/node --join -")
HOSTS = 3
"""In place of fifteen: each takes two seconds here."""
SSH = """#!/bin/sh
[ "$1" != -n ] || shift
host=${1#root@}
shift
case $1 in
  systemctl) echo "$host: $*" >>HOSTS/started ;;
  *) DESTDIR=HOSTS/$host exec sh -c "$(echo "$*" | sed s#/opt/doai#ROOT#)" ;;
esac
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The installation of the tutorial with its two nodes, each joined by the line that is shown."""
    folder = tmp_path_factory.mktemp("fleet")
    shown = commands(TUTORIAL)
    assert shown[:2] == [
        "bin/doai up --phones 3 --no-usb --data-dir /tmp/doai-tutorial",
        "export DOAI_DATA_DIR=/tmp/doai-tutorial",
    ]
    joins = [line for line in shown if JOIN.search(line)]
    nodes: list[subprocess.Popen[bytes]] = []
    with up(folder / "data", phones=3, words=FREE_PORTS) as installation:
        for command in shown[2 : shown.index(joins[0])]:
            run(command, folder, installation.data_dir)
        assert stat.S_IMODE((folder / "tokens.csv").stat().st_mode) == 0o600
        try:
            for line in joins:
                command = line.replace("/tmp/doai-desk", f"{folder}/desk")
                with (folder / "nodes.log").open("ab") as log:
                    nodes.append(
                        subprocess.Popen(
                            ["sh", "-c", in_checkout(command)],
                            cwd=folder, env=variables(installation.data_dir), stdout=log, stderr=log,
                            start_new_session=True,
                        )
                    )  # fmt: skip
            installation.wait_for_phones(13)
            yield installation
        finally:
            for node in nodes:
                os.killpg(node.pid, signal.SIGTERM)
            for node in nodes:
                node.wait(START_S)
    for number in (1, 2):
        assert processes_of(folder / f"desk-0{number}") == []


def test_the_fleet_of_the_tutorial(site: Up, tmp_path: Path) -> None:
    shown = commands(TUTORIAL)
    [nodes, devices, go, unauthorized] = shown[max(i for i, line in enumerate(shown) if JOIN.search(line)) + 1 :]
    listed = run(nodes, tmp_path, site.data_dir)
    assert all(re.search(rf"^{name}\s.*online", listed, re.MULTILINE) for name in ("node-1", "desk-01", "desk-02"))
    assert run(devices, tmp_path, site.data_dir).count("A000") == 5
    assert run(go, tmp_path, site.data_dir).count("passed") == 6
    assert "Every phone trusts" in run(unauthorized, tmp_path, site.data_dir)
    states = {item["name"]: item["state"] for item in site.json("nodes", "enrolments")}
    assert states == {"desk-01": "used", "desk-02": "used"}


def test_fifteen_hosts(site: Up, tmp_path: Path) -> None:
    [loop] = blocks(TUTORIAL, "bash")
    assert "--count 15 " in loop
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin/ssh"
    ssh.write_text(SSH.replace("HOSTS", str(tmp_path / "hosts")).replace("ROOT", str(ROOT)))
    ssh.chmod(0o755)
    (tmp_path / "hosts").mkdir()
    path = f"{ssh.parent}:{os.environ['PATH']}"
    shown = run(loop.replace("--count 15", f"--count {HOSTS}"), tmp_path, site.data_dir, "bash", PATH=path)
    assert shown.count(" has joined.") == HOSTS
    names = [f"shelf-{number:02d}" for number in range(1, HOSTS + 1)]
    started = (tmp_path / "hosts/started").read_text().splitlines()
    assert started == [f"{name}: systemctl enable --now doai-node@{name}" for name in names]
    states = {item["name"]: item["state"] for item in site.json("nodes", "enrolments")}
    assert {states[name] for name in names} == {"used"}
    keys = set()
    for name in names:
        host = tmp_path / "hosts" / name
        settings = tomllib.loads((host / f"etc/doai/node-{name}.toml").read_text())
        assert settings["secret"] not in shown
        key = host / f"var/lib/doai/node-{name}/adb/.android/adbkey"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        keys.add(key.read_text())
        command = [*command_of("doai-node@.service", name, host), "--check-config"]
        done = subprocess.run(command, env=variables(site.data_dir), capture_output=True, text=True, check=True)
        # The unit says where: as root it would be below /var/lib/doai.
        assert tomllib.loads(done.stdout)["adb_home"] == str(key.parents[1])
    assert len(keys) == 1, "a phone that trusts one host trusts all"
    assert not (tmp_path / "tokens.csv").exists()


def test_the_installer_joins_one_node_with_a_good_token(tmp_path: Path) -> None:
    def install(*words: str, token: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(ROOT / "deploy/install.sh"), "--join", *words],
            env=variables(tmp_path, DESTDIR=str(tmp_path)), input=token, capture_output=True, text=True,
        )  # fmt: skip

    for words in (("broker",), ("node@a", "node@b"), ("broker", "node@a")):
        done = install(*words)
        assert (done.returncode, "--join is for one node" in done.stderr) == (2, True), done
    assert list(tmp_path.iterdir()) == []
    done = install("node@a", token="doai-join-x")
    assert (done.returncode, "this token is damaged" in done.stderr, "a has not joined" in done.stderr) == (
        78,
        True,
        True,
    )
    assert not (tmp_path / "etc/doai/node-a.toml").exists()


def test_the_settings_of_the_centre(tmp_path: Path) -> None:
    openssl = next(line for line in TUTORIAL.read_text().splitlines() if line.startswith("sudo openssl "))
    if shutil.which("openssl") is None:
        pytest.skip("SKIPPED LOUDLY: there is no openssl here")
    (tmp_path / "etc/doai").mkdir(parents=True)
    command = openssl.removeprefix("sudo ").replace("/etc/doai", f"{tmp_path}/etc/doai")
    subprocess.run(["sh", "-c", command], capture_output=True, check=True)
    for program, text in zip(("broker", "admin"), blocks(TUTORIAL, "toml"), strict=True):
        path = tmp_path / f"etc/doai/{program}.toml"
        path.write_text(text.replace("/etc/doai", f"{tmp_path}/etc/doai"))
        shown = run(f"bin/{program} --config {path} --check-config", tmp_path, tmp_path)
        assert '"https://doai.example:7700"' in shown if program == "admin" else "0.0.0.0" in shown


def test_enrolment_as_the_document_says(site: Up, tmp_path: Path) -> None:
    # The last one: it shuts a node out.
    [enroll, several, listing, rotate, revoke, key, unauthorized] = commands(ENROL)
    assert "bench-1: bin/node --join doai-join-" in run(enroll, tmp_path, site.data_dir)
    assert "3 token(s)" in run(several, tmp_path, site.data_dir)
    assert run(listing, tmp_path, site.data_dir).count("rack-0") == 3
    assert "desk-01: bin/node --join doai-join-" in run(rotate, tmp_path, site.data_dir)
    assert "desk-01 can not connect any more" in run(revoke, tmp_path, site.data_dir)
    assert "fingerprint" in run(key, tmp_path, site.data_dir)
    run(unauthorized, tmp_path, site.data_dir)
    deadline = time.monotonic() + START_S
    while any(item["nodeId"] == "desk-01" and item["state"] == "online" for item in site.json("nodes")):
        assert time.monotonic() < deadline, "it is shut out"
