"""A plug-in from a folder to a task that passed: broker, node and its process, which is killed in the middle."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import trio

from doai.messages import commands as c
from doai.states import TaskState
from tests.integration.test_broker_node import Admin, Plant, wait_ended

WITHIN_S = 90.0
LOOK_S = 0.02
RECIPE = """
workflow: reset
retry: {attempts: 3, backoff: 10ms, on: [infrastructure]}
steps:
  - {id: r, use: acme.reset, with: {account: "${device.serial}"}}
  - {id: s, use: device.shell, with: {command: "echo ${steps.r.account}"}}
outputs: {account: "${steps.r.account}"}
"""
MODULE = """
import os
from pathlib import Path
import trio
from doai.plugins import Arguments, Context, Outputs, step

class Reset(Arguments, frozen=True, kw_only=True):
    account: str

class Done(Outputs, frozen=True, kw_only=True):
    account: str

@step("acme.reset", idempotent=True)
async def reset(arguments: Reset, ctx: Context) -> Done:
    place = Path("PLACE")
    await ctx.device.shell("am start acme")
    if not (place / "go").exists():
        (place / str(os.getpid())).touch()
        await trio.sleep_forever()
    return Done(account=arguments.account)
"""


def write_plugin(folder: Path, place: Path) -> Path:
    plugin = folder / "acme"
    plugin.mkdir(parents=True)
    place.mkdir()
    (plugin / "acme_steps.py").write_text(MODULE.replace("PLACE", str(place)))
    manifest = 'name: acme\nversion: "1"\nsteps: [{name: acme.reset, module: acme_steps}]\n'
    (plugin / "plugin.yaml").write_text(manifest)
    return folder


async def run(admin: Admin, serial: str) -> list[str]:
    """Store the recipe as soon as the node offers its step, and run it."""
    targets = c.Targets(kind=c.TargetKind.DEVICES, serials=[serial])
    while True:
        stored = await admin.ask(c.STORE_WORKFLOW, c.StoreWorkflow(source=RECIPE))
        reply = await admin.ask(c.CREATE_RUN, c.CreateRun(workflow="reset", targets=targets))
        if stored.problem is None and reply.problem is None:
            return list(reply.result["taskIds"])
        await trio.sleep(LOOK_S)


async def test_a_process_that_is_killed_in_the_middle_of_a_step_costs_one_attempt(tmp_path: Path) -> None:
    place = tmp_path / "place"
    plant = Plant(tmp_path, 2, write_plugin(tmp_path / "plugins", place))
    with trio.fail_after(WITHIN_S):
        async with plant.node():
            async with plant.broker(), plant.admin() as admin:
                tasks = await run(admin, "FAKE0001")
                while not (begun := [path.name for path in place.iterdir()]):  # noqa: ASYNC110 - a file of a process
                    await trio.sleep(LOOK_S)
                (place / "go").touch()
                os.kill(int(begun[0]), signal.SIGKILL)
                assert await wait_ended(plant, tasks) == {TaskState.PASSED}
            async with plant.broker(), plant.admin() as admin:  # one that starts anew knows what nodes offer
                assert await wait_ended(plant, await run(admin, "FAKE0002")) == {TaskState.PASSED}
    assert plant.attempts() == {1, 2}
    tagged = [entry for entry in plant.driver.journal if "am start acme" in entry.command][:2]
    assert [entry.tag.partition("/")[0] for entry in tagged] == tasks * 2, "commands have the tag of their task"
