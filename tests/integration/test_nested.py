"""Loops, calls and scripts of the host, over broker, admin, node, adb and a simulated phone as real processes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from doai.messages import commands as c
from tests.integration.fleet import Fleet, open_fleet, processes_with

INNER = """
workflow: greet
params: {name: {type: string}}
steps:
  - {id: say, use: device.shell, with: {command: "echo hello ${params.name}"}, idempotent: true}
outputs: {said: "${steps.say.stdout}"}
"""
OUTER = """
workflow: nested
steps:
  - {id: greet, use: workflow.call, with: {workflow: greet, params: {name: kim}}}
  - id: count
    use: flow.until
    until: "round.number >= 2"
    with: {times: 5}
    steps:
      - {id: look, use: device.shell, with: {command: "getprop ro.build.version.sdk"}, idempotent: true}
  - {id: script, use: host.run, with: {script: look.sh, args: ["a b"], input: {round: "${steps.count.rounds}"}}}
outputs: {said: "${steps.greet.said}", rounds: "${steps.count.rounds}", script: "${steps.script.json}"}
"""
HANG = """
workflow: hang
timeout: 60s
retry: {attempts: 1}
steps:
  - {id: script, use: host.run, with: {script: hang.sh}, timeout: TIMEOUT}
"""
LOOK = """#!/bin/sh
read input
echo left > $DOAI_FILES/left.txt
there=$(adb shell getprop ro.serialno)
echo "{\\"there\\": \\"$there\\", \\"serial\\": \\"$DOAI_SERIAL\\", \\"arg\\": \\"$1\\", \\"input\\": $input}"
"""
HANG_SH = """#!/bin/sh
trap '' TERM
setsid sh -c 'trap "" TERM HUP; sleep 1000; true' left-over FOLDER &
sh -c 'sleep 1000; true' &
echo started
echo x > FOLDER/started
wait
"""


@pytest.mark.slow
async def test_a_recipe_that_calls_loops_and_runs_a_script(tmp_path: Path) -> None:
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    for name, text in (
        ("look.sh", LOOK),
        ("hang.sh", HANG_SH.replace("FOLDER", str(tmp_path))),
    ):
        (scripts / name).write_text(text)
        (scripts / name).chmod(0o755)
    async with open_fleet(tmp_path / "fleet", phones=1, slots=1, host_scripts=scripts) as fleet:
        await _all_passes(fleet)
        await _a_script_that_hangs_is_gone_with_all_it_forked(fleet, tmp_path)
        await _a_script_ends_with_its_node(fleet, tmp_path)
        assert fleet.wrong() == []


async def _all_passes(fleet: Fleet) -> None:
    await fleet.command(c.STORE_WORKFLOW, c.StoreWorkflow(source=INNER))
    run_id = await fleet.run_on_all(OUTER)
    await fleet.wait_ended(run_id)
    [(state, outputs)] = fleet.store.ask("SELECT state, outputs_body FROM tasks WHERE run_id = ?", run_id)
    assert state == "passed", fleet.last_words()
    told = msgspec.json.decode(outputs)
    assert (told["said"], told["rounds"]) == ("hello kim", 2)
    assert (told["script"]["arg"], told["script"]["input"]) == ("a b", {"round": 2})
    assert told["script"]["there"] == told["script"]["serial"] != ""
    wanted = ["left-1.txt", "script-stdout-1.txt"]
    await fleet.wait("both files", lambda: _stored(fleet, run_id) == wanted)


def _stored(fleet: Fleet, run_id: str) -> list[str]:
    paths = fleet.store.ask("SELECT path FROM artifacts WHERE run_id = ?", run_id)
    return sorted(path.rpartition("Z-")[2] for (path,) in paths)


async def _a_script_that_hangs_is_gone_with_all_it_forked(fleet: Fleet, folder: Path) -> None:
    run_id = await fleet.run_on_all(HANG.replace("TIMEOUT", "5s"))
    await fleet.wait_ended(run_id)
    assert (folder / "started").exists()
    assert not _left(folder)
    [(state, failure)] = fleet.store.ask("SELECT state, failure FROM tasks WHERE run_id = ?", run_id)
    assert state == "unknown"
    assert "hang.sh was stopped with all of its processes (hang.sh" in failure
    assert "nobody can know whether step script took effect" in failure
    (folder / "started").unlink()


async def _a_script_ends_with_its_node(fleet: Fleet, folder: Path) -> None:
    run_id = await fleet.run_on_all(HANG.replace("TIMEOUT", "50s"))
    await fleet.wait("what the script left behind", lambda: bool(_left(folder)))
    await fleet.kill("node")
    await fleet.wait("the end of the script", lambda: not _left(folder))
    await fleet.start("node")
    await fleet.wait_ended(run_id)
    [(state,)] = fleet.store.ask("SELECT state FROM tasks WHERE run_id = ?", run_id)
    assert state == "unknown"


def _left(folder: Path) -> dict[int, str]:
    return processes_with(f"left-over {folder}")
