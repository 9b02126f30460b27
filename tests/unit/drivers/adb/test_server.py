"""The supervisor's parts: environment, the program, orphans, and what it says when the server ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from doai.drivers.adb.client import AdbClient
from doai.drivers.adb.config import AdbConfig
from doai.drivers.adb.server import OWNER_VARIABLE, AdbServer, environment, find_adb, orphans
from doai.errors import ConfigError, StepError
from doai.ports import free_port

FAKE_ADB = """#!/bin/sh
echo "started $*" >&2
echo "out of luck" >&2
exit 4
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "adb"
    path.write_text(FAKE_ADB)
    path.chmod(0o755)
    return str(path)


def test_the_environment_is_small_and_says_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOAI_NODE_SECRET", "hidden")
    shown = environment(AdbConfig(usb=False, home="/keys"))
    assert shown["ADB_USB"] == "0"
    assert shown["ADB_MDNS"] == "0"
    assert shown["ADB_LOCAL_TRANSPORT_MAX_PORT"] == "5553"
    assert shown["HOME"] == "/keys"
    assert shown[OWNER_VARIABLE] == str(os.getpid())
    assert "hidden" not in shown.values()
    assert environment(AdbConfig())["ADB_USB"] == "1"


def test_the_program_is_the_configured_one_else_the_bundled_one(program: str, tmp_path: Path) -> None:
    assert find_adb(AdbConfig(adb_path=program)) == program
    assert Path(find_adb(AdbConfig())).name == "adb"
    with pytest.raises(ConfigError, match="adb_path"):
        find_adb(AdbConfig(adb_path=str(tmp_path) + "/none"))


async def test_a_first_start_that_fails_is_told_with_the_servers_last_words(program: str) -> None:
    config = AdbConfig(server_port=free_port(), adb_path=program)
    told: list[str] = []
    server = AdbServer(config, AdbClient(config.server_port), lambda code, message: told.append(code))
    with trio.fail_after(90), pytest.raises(StepError) as caught:
        await server.supervise()
    assert caught.value.failure.code == "adb_server_down"
    assert "code 4" in caught.value.failure.message
    assert "out of luck" in caught.value.failure.message
    assert (server.pid, server.starts, told) == (None, 1, [])


def test_no_orphans_on_a_free_port() -> None:
    assert orphans(free_port()) == []
