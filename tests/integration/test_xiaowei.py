"""Broker, admin and a node with the driver xiaowei, as processes, over a stand-in for the vendor's program."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import trio

from doai import topics
from doai.phone.journal import JournalEntry, read_journal
from doai.states import TaskState
from tests.documents import ROOT
from tests.integration.fleet import Fleet, open_fleet

pytestmark = pytest.mark.slow
PHONES = 3

ONCE = """
workflow: once
retry: {attempts: 6, backoff: 100ms, on: [device, infrastructure]}
steps:
  - {id: act, use: device.shell, with: {command: sleep 30}}
  - {id: shot, use: screen.capture}
  - {id: keep, use: artifact.upload, with: {artifact: "${steps.shot.artifact}"}}
"""

REPEATABLE = """
workflow: repeatable
retry: {attempts: 9, backoff: 300ms, factor: 1, on: [device, infrastructure]}
steps:
  - {id: look, use: device.shell, with: {command: sleep 0.5}, idempotent: true}
  - {id: shot, use: screen.capture}
  - {id: keep, use: artifact.upload, with: {artifact: "${steps.shot.artifact}"}}
"""

SCRIPT = """
workflow: script
steps:
  - {id: script, use: host.run, with: {script: any.sh}}
"""


def journal(fleet: Fleet, step_id: str = "") -> list[JournalEntry]:
    """What phones were told, by a step."""
    entries = read_journal(fleet.data_dir / "phones" / "journal.jsonl")
    return [entry for entry in entries if not step_id or (entry.step is not None and entry.step.step_id == step_id)]


def came_online(fleet: Fleet) -> int:
    """How often phones came, until now."""
    return int(fleet.store.ask("SELECT count(*) FROM events WHERE type = ?", topics.DEVICE_ONLINE)[0][0])


async def ended(fleet: Fleet, run_id: str) -> dict[TaskState, int]:
    await fleet.wait_ended(run_id)
    await fleet.wait_artifacts()
    assert fleet.wrong() == []
    return fleet.store.states(run_id)


async def test_a_run_passes_and_a_killed_program_leaves_nothing_twice(tmp_path: Path) -> None:
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "any.sh").write_text("#!/bin/sh\nexit 0\n")
    (scripts / "any.sh").chmod(0o755)
    with trio.fail_after(300):
        async with open_fleet(tmp_path / "fleet", phones=PHONES, vendor=True, host_scripts=scripts) as fleet:
            source = (ROOT / "workflows" / "login-and-screenshot.yaml").read_text()
            assert await ended(fleet, await fleet.run_on_all(source)) == {TaskState.PASSED: PHONES}
            assert len(fleet.store.stored()) == PHONES
            assert {entry.service for entry in read_journal(fleet.data_dir / "phones" / "journal.jsonl")} == {
                "vendor:"
            }

            # What the driver can not do fails by its name, on the first try.
            run_id = await fleet.run_on_all(SCRIPT)
            assert await ended(fleet, run_id) == {TaskState.FAILED: PHONES}
            sql = "SELECT DISTINCT json_extract(failure, '$.code'), attempt FROM tasks WHERE run_id = ?"
            assert fleet.store.ask(sql, run_id) == [("driver_cannot", 1)]

            # The program dies while phones act: nobody can know what came of it, so nothing is done again.
            run_id = await fleet.run_on_all(ONCE)
            await fleet.wait("phones that act", lambda: len(journal(fleet, "act")) == PHONES)
            before = came_online(fleet)
            await fleet.kill_and_start("phones")
            assert await ended(fleet, run_id) == {TaskState.UNKNOWN: PHONES}
            sql = "SELECT DISTINCT json_extract(failure, '$.code') FROM tasks WHERE state = 'unknown'"
            assert fleet.store.ask(sql) == [("xiaowei_cut",)]
            told = Counter(entry.step.task_id for entry in journal(fleet, "act") if entry.step is not None)
            assert list(told.values()) == [1] * PHONES

            # What may be repeated is, until it passes.
            # That they are online may be from before the program died.
            await fleet.wait("phones that came back", lambda: came_online(fleet) >= before + PHONES)
            run_id = await fleet.run_on_all(REPEATABLE)
            await fleet.wait("a phone that is looked at", lambda: bool(journal(fleet, "look")))
            await fleet.kill_and_start("phones")
            assert await ended(fleet, run_id) == {TaskState.PASSED: PHONES}
