"""Records what this release says and stores, for the tests of those after it: `python -m tests.compat.record`.

Recordings of a release that is out never change. That of the release in the making may be made anew, as long as
nobody has it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import trio

from doai import __version__
from doai.codec import Kind
from doai.messages import campaigns, holds, queues
from doai.messages import commands as c
from doai.schedule import Schedule
from doai.states import TaskState
from doai.store.database import BROKER, OUTBOX
from doai.store.sql_files import load_migrations
from doai.wire_versions import SPOKEN
from tests.compat.recording import FOLDER, Act, Recording, dump_store, write_frames
from tests.compat.site import NAP, NODE, PHONES, SHOT, RunningBroker, RunningNode, Site, Speaker

DRAIN = "drain"


async def go_the_way(broker: RunningBroker, node: RunningNode, admin: Speaker) -> int:
    """Run tasks that pass, are cancelled, are given back; return after how many frames the node was drained."""
    wait, core = broker.tap.wait, broker.core
    await admin.greet()
    for source in (SHOT, NAP):
        await admin.ask(c.STORE_WORKFLOW, c.StoreWorkflow(source=source))
    await wait(lambda: len(broker.phones()) == len(PHONES))

    async def begin(workflow: str, serial: str, state: TaskState) -> str:
        run_id = await admin.run_on(workflow, serial)
        (task,) = (task for task in core.state.tasks.values() if task.run.row.run_id == run_id)
        await wait(lambda: task.state is state)
        return run_id

    await begin("shot", PHONES[0], TaskState.PASSED)
    run_id = await begin("nap", PHONES[1], TaskState.RUNNING)
    (task,) = core.state.tasks.values()
    await admin.ask(c.CANCEL_RUN, c.CancelRun(run_id=run_id, reason="enough"))
    await wait(lambda: task.state is TaskState.CANCELLED)
    await begin("nap", PHONES[0], TaskState.RUNNING)
    await admin.ask(queues.PUT_QUEUE, queues.PutQueue(name="night", priority=3, rate_per_min=60))
    await admin.ask(queues.PAUSE_QUEUE, queues.PauseQueue(name="night", reason="by day"))
    await admin.ask(holds.HOLD_DEVICE, holds.HoldDevice(serial=PHONES[1], reason="it is looked at"))
    again = c.CreateRun(workflow="nap", targets=c.Targets(kind=c.TargetKind.ALL), queue="night")
    plan = campaigns.CampaignPlan(run=again, schedule=Schedule(every_s=3600.0), project="lab")
    await admin.ask(campaigns.PUT_CAMPAIGN, campaigns.PutCampaign(name="hourly", plan=plan))
    await admin.ask(c.CREATE_RUN, again)
    drained_at = len(broker.tap.frames)
    node.shell.drain("it is upgraded")
    await node.stopped.wait()
    await wait(lambda: bool(broker.frames(NODE, Kind.BYE, to_broker=True)))
    return drained_at


async def record(folder: Path) -> Recording:
    """Go the way once; the files of broker and node stay in the folder."""
    site = Site(folder)
    async with site.broker() as broker, site.node() as node, site.admin() as admin:
        at = await go_the_way(broker, node, admin)
        frames = broker.tap.frames
        return Recording(SPOKEN.highest, __version__, [*frames[:at], Act(DRAIN), *frames[at:]])


def main() -> int:
    """Record anew what there is of this release."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recording = trio.run(record, folder)
        write_frames(recording)
        print(f"{recording.stem}: {len(recording.steps)} steps")
        for kind, file in ((BROKER, "broker.db"), (OUTBOX, "node.db")):
            version = len(load_migrations(kind.folder))
            for older in FOLDER.glob(f"{kind.folder}-*-{__version__}.sql"):
                older.unlink()
            path = FOLDER / f"{kind.folder}-{version:03}-{__version__}.sql"
            path.write_text(dump_store(folder / file))
            print(f"{path.name}: {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
