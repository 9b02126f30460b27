"""Kills of real processes in the middle of a run: every task ends once, no result and no screenshot is lost."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import msgspec
import pytest
import trio

from doai.cli import exits
from doai.cli.child import ChildFailed
from doai.phone.journal import read_journal
from doai.states import TaskState
from tests.integration.fleet import NODE, Fleet, open_fleet
from tests.integration.reconcile import reconcile

pytestmark = pytest.mark.slow
PHONES = 6

REPEATABLE = """
workflow: kill-check
retry: {attempts: 6, backoff: 100ms, factor: 1, on: [device, infrastructure]}
steps:
  - {id: ready, use: device.bootstrap}
  - {id: open, use: app.open_url, with: {url: "https://www.youtube.com/watch?v=dQw4w9WgXcQ"}}
  - {id: shot1, use: screen.capture, with: {name: one}}
  - {id: keep1, use: artifact.upload, with: {artifact: "${steps.shot1.artifact}"}, needs: [shot1]}
  - {id: nap1, use: wait, with: {for: 300ms}, needs: [shot1]}
  - {id: look, use: device.shell, with: {command: sleep 0.2}, idempotent: true}
  - {id: shot2, use: screen.capture, with: {name: two}}
  - {id: keep2, use: artifact.upload, with: {artifact: "${steps.shot2.artifact}"}, needs: [shot2]}
  - {id: nap2, use: wait, with: {for: 300ms}, needs: [shot2]}
  - {id: shot3, use: screen.capture, with: {name: three}}
  - {id: keep3, use: artifact.upload, with: {artifact: "${steps.shot3.artifact}"}, needs: [shot3]}
always:
  - {id: bye, use: app.stop, with: {package: com.example.app}}
outputs: {screenshot: "${steps.keep3.path}"}
"""

ONCE = """
workflow: kill-once
retry: {attempts: 6, backoff: 100ms, on: [device, infrastructure]}
steps:
  - {id: tap, use: device.shell, with: {command: sleep 120}, if: "device.serial == 'SIM0001'"}
  - {id: shot, use: screen.capture}
  - {id: keep, use: artifact.upload, with: {artifact: "${steps.shot.artifact}"}}
"""

DAMAGES = {
    "DELETE FROM events WHERE position = 2": "positions are not",
    "UPDATE tasks SET state = 'running'": "is running",
    "UPDATE tasks SET state = 'failed'": "its ends in the log",
    "UPDATE events SET type = 'task.queued' WHERE type = 'task.dispatched'": "while it was queued",
    "UPDATE events SET type = 'task.completed' WHERE type = 'task.started'": "its ends in the log",
    "DELETE FROM attempts": "attempts in the store",
    "UPDATE attempts SET attempt = 2": "where 1 is next",
    "UPDATE runs SET outcome = 'failed'": "told",
    "DELETE FROM artifacts": "was promised",
    "UPDATE artifacts SET sha256 = 'no'": "was promised",
    "UPDATE events SET type = 'step.started' WHERE type = 'step.completed'": "began 2 times",
    "UPDATE events SET type = 'step.completed' WHERE type = 'step.started'": "before its start",
}
"""SQL that breaks a store whose run ended, and words of the sentence that must name it."""


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    with trio.fail_after(300):
        async with open_fleet(tmp_path / "fleet", phones=PHONES) as fleet:
            yield fleet


async def test_nothing_is_killed(fleet: Fleet) -> None:
    run_id = await fleet.run_on_all(REPEATABLE)
    await fleet.wait_ended(run_id)
    await fleet.wait_artifacts()
    assert fleet.store.states(run_id) == {TaskState.PASSED: PHONES}
    assert len(fleet.store.stored()) == 3 * PHONES
    assert fleet.wrong() == []


async def end(fleet: Fleet, run_id: str) -> None:
    """The run ends, every screenshot is there, and nothing in the store contradicts what is promised."""
    await fleet.wait_ended(run_id)
    await fleet.wait_artifacts()
    assert fleet.wrong() == []


async def test_the_node_dies_with_facts_in_its_outbox(fleet: Fleet) -> None:
    run_id = await fleet.run_on_all(REPEATABLE)
    await fleet.wait_more("step.started", PHONES, run_id)
    async with fleet.frozen("broker"):
        await fleet.wait_outbox(8)
        await fleet.kill("node")
        assert fleet.unacknowledged() >= 8
    await fleet.start("node")
    await end(fleet, run_id)
    assert fleet.store.states(run_id) == {TaskState.PASSED: PHONES}
    await fleet.wait("every fact taken", lambda: fleet.taken() == fleet.recorded())


async def test_the_node_dies_again_and_again(fleet: Fleet) -> None:
    run_id = await fleet.run_on_all(REPEATABLE)
    for _ in range(3):
        await fleet.wait_more("step.started", 9, run_id)
        await fleet.kill_and_start("node")
    await end(fleet, run_id)
    assert fleet.store.states(run_id) == {TaskState.PASSED: PHONES}


async def test_the_node_dies_in_a_step_that_must_not_be_repeated(fleet: Fleet) -> None:
    """Nobody can know whether it took effect: unknown, and not tried again."""
    run_id = await fleet.run_on_all(ONCE)
    await fleet.wait("a phone that is tapped", lambda: "tap" in fleet.begun())
    await fleet.kill_and_start("node")
    await end(fleet, run_id)
    states = fleet.store.states(run_id)
    assert states == {TaskState.UNKNOWN: 1, TaskState.PASSED: PHONES - 1}
    sql = "SELECT DISTINCT json_extract(failure, '$.code'), attempt FROM tasks WHERE state = 'unknown'"
    assert fleet.store.ask(sql) == [("node_restarted", 1)]


@pytest.mark.parametrize("writer", ["adaptive", "process"])
async def test_the_broker_dies(tmp_path: Path, writer: str) -> None:
    with trio.fail_after(300):
        async with open_fleet(tmp_path / "fleet", phones=PHONES, writer=writer) as fleet:
            run_id = await fleet.run_on_all(REPEATABLE)
            for _ in range(2):
                await fleet.wait_more("step.started", 9, run_id)
                await fleet.kill_and_start("broker")
            await end(fleet, run_id)
            # The attempts went on meanwhile: a broker that comes back burns none.
            assert fleet.store.states(run_id) == {TaskState.PASSED: PHONES}
            assert fleet.store.ask("SELECT DISTINCT attempt FROM tasks") == [(1,)]


async def test_the_broker_is_stopped_and_started(fleet: Fleet) -> None:
    run_id = await fleet.run_on_all(REPEATABLE)
    await fleet.wait_more("step.started", 9, run_id)
    second = fleet.make_child("broker", log="second")
    with pytest.raises(ChildFailed) as refused:
        await second.start()
    words = second.log_path.read_text().splitlines()
    assert refused.value.exit_code == exits.UNAVAILABLE
    assert len(words) == 1
    assert "broker.db" in words[0]
    await fleet.children["broker"].stop()
    assert await fleet.children["broker"].wait() == 0
    await fleet.start("broker")
    await end(fleet, run_id)
    assert fleet.store.states(run_id) == {TaskState.PASSED: PHONES}


async def test_the_adb_server_dies(fleet: Fleet) -> None:
    run_id = await fleet.run_on_all(REPEATABLE)
    await fleet.wait_more("step.started", 9, run_id)
    os.kill(fleet.adb_server_pid(), signal.SIGKILL)
    await end(fleet, run_id)
    assert fleet.store.states(run_id) == {TaskState.PASSED: PHONES}
    retried = fleet.store.events(pattern="task.retried")
    assert {event.payload["failure"]["errorClass"] for event in retried} <= {"device", "infrastructure"}
    await fleet.wait_online()


async def test_the_admin_dies_while_artifacts_arrive(fleet: Fleet) -> None:
    run_id = await fleet.run_on_all(REPEATABLE)
    for _ in range(2):
        await fleet.wait_more("artifact.stored", 2, run_id)
        await fleet.kill_and_start("admin")
    await end(fleet, run_id)
    assert fleet.store.states(run_id) == {TaskState.PASSED: PHONES}
    assert len(fleet.store.stored()) == 3 * PHONES


async def test_everything_dies_at_once(fleet: Fleet) -> None:
    run_id = await fleet.run_on_all(REPEATABLE)
    await fleet.wait_more("artifact.stored", 2, run_id)
    for name in ("broker", "admin", "node"):
        await fleet.kill(name)
    for name in ("node", "broker", "admin"):
        await fleet.start(name)
    await end(fleet, run_id)
    assert fleet.store.states(run_id) == {TaskState.PASSED: PHONES}


async def test_the_node_is_frozen_for_a_while(fleet: Fleet) -> None:
    run_id = await fleet.run_on_all(REPEATABLE)
    await fleet.wait_more("step.started", 9, run_id)
    async with fleet.frozen("node"):
        await trio.sleep(3)  # time itself is what passes here
    await end(fleet, run_id)
    assert fleet.store.states(run_id) == {TaskState.PASSED: PHONES}
    assert fleet.store.ask("SELECT DISTINCT attempt FROM tasks") == [(1,)]


async def test_what_the_check_finds(tmp_path: Path) -> None:
    """A check that finds nothing proves nothing: each damage to a sound store is named."""
    with trio.fail_after(300):
        async with open_fleet(tmp_path / "fleet", phones=2) as fleet:
            await end(fleet, await fleet.run_on_all(REPEATABLE))
    steps = [entry for entry in read_journal(tmp_path / "fleet/phones/journal.jsonl") if entry.step is not None]
    assert len(steps) > 2 * 5
    path = next(iter(fleet.store.stored()))
    for number, (damage, named) in enumerate(DAMAGES.items()):
        copy = tmp_path / f"copy{number}"
        shutil.copytree(tmp_path / "fleet", copy, ignore=shutil.ignore_patterns("*.notify"))
        connection = apsw.Connection(str(copy / "broker" / "broker.db"))
        connection.execute(damage)
        connection.close()
        assert any(named in text for text in reconcile(copy)), damage
    (tmp_path / "fleet/broker/artifacts" / path).write_bytes(b"other")
    assert any("other bytes" in text for text in reconcile(tmp_path / "fleet"))
    (tmp_path / "fleet/broker/artifacts" / path).unlink()
    assert any("no file" in text for text in reconcile(tmp_path / "fleet"))
    again = next(entry for entry in reversed(steps) if any(e.step == entry.step and e is not entry for e in steps))
    killed = [again.wall_ms - 1]
    journal = tmp_path / "fleet/phones/journal.jsonl"
    # A command that was on its way when its node died came over the connection of before: that is no second life.
    assert not [text for text in reconcile(tmp_path / "fleet", kills_ms={NODE: killed}) if "a kill" in text]
    with journal.open("ab") as file:
        file.write(msgspec.json.encode(msgspec.structs.replace(again, connection=again.connection + 1)) + b"\n")
    assert any("before and after a kill" in text for text in reconcile(tmp_path / "fleet", kills_ms={NODE: killed}))
