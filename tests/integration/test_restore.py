"""A broker restored from a backup: nodes notice, what ended since is told again, and work goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from doai.cli import exits
from tests.integration.fleet import Fleet, open_fleet

pytestmark = pytest.mark.slow
RECIPE = """
workflow: restore-check
retry: {attempts: 3, backoff: 100ms, on: [device, infrastructure]}
steps:
  - {id: tap, use: device.shell, with: {command: sleep 0.1}}
  - {id: shot, use: screen.capture}
  - {id: keep, use: artifact.upload, with: {artifact: "${steps.shot.artifact}"}}
"""


async def doai(*words: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "doai.cli.main", *words]
    done: subprocess.CompletedProcess[bytes] = await trio.run_process(
        command, capture_stdout=True, capture_stderr=True, check=False
    )
    return done


def place(fleet: Fleet) -> tuple[str, ...]:
    return "--url", fleet.children["admin"].ready["X_DOAI_URL"], "--token-file", str(fleet.data_dir / "token")


async def back_up(fleet: Fleet) -> Path:
    done = await doai("backup", *place(fleet), "--json")
    assert done.returncode == exits.PASSED, done.stderr
    return Path(json.loads(done.stdout)["folder"])


async def restore(fleet: Fleet, backup: Path) -> dict[str, Any]:
    done = await doai("restore", str(backup), "--to", str(fleet.data_dir / "broker"), "--json")
    assert done.returncode == exits.PASSED, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def not_stored(fleet: Fleet) -> set[str]:
    """Return the paths of artifacts that steps handed over and the broker has not as stored."""
    return fleet.store.promised().keys() - fleet.store.stored().keys()


async def test_what_ended_after_the_backup_is_told_again_and_nothing_is_done_twice(tmp_path: Path) -> None:
    with trio.fail_after(300):
        async with open_fleet(tmp_path / "fleet", phones=4, slots=2) as fleet:
            before = await fleet.run_on_all(RECIPE)
            await fleet.wait_ended(before)
            during = await fleet.run_on_all(RECIPE)
            await fleet.wait_more("task.started", 1, during)
            backup = await back_up(fleet)
            await fleet.wait_ended(during)
            await fleet.wait_artifacts()
            held = await doai("restore", str(backup), "--to", str(fleet.data_dir / "broker"))
            assert held.returncode == exits.UNAVAILABLE
            assert b"is in use by process" in held.stderr
            await fleet.kill("broker")
            done = await restore(fleet, backup)
            assert (done["generation"], done["keysKept"]) == (2, [])
            await fleet.start("broker")
            await fleet.wait_ended(during)
            after = await fleet.run_on_all(RECIPE)
            await fleet.wait_ended(after)
            await fleet.wait("all artifacts", lambda: not not_stored(fleet))
            assert fleet.store.ask("SELECT DISTINCT outcome FROM runs") == [("passed",)]
            assert fleet.wrong(one_command=["tap"]) == []
            listed = await doai("backups", *place(fleet))
            assert backup.name in listed.stdout.decode()
            (backup / "broker.db").write_bytes(b"other")
            checked = await doai("backups", backup.name, *place(fleet))
            assert checked.returncode == exits.NOT_PASSED
            assert b"is not the file that was backed up" in checked.stderr
