"""Releases before this one, as they were recorded: their nodes, their brokers, their stores.

What fails here breaks peers or stores that are out there. It is mended in the code, never in the recording.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trio

from doai.broker.app import read_clocks
from doai.broker.core.core import BrokerCore
from doai.broker.core.settings import CoreSettings
from doai.codec import Kind, decode
from doai.envelope import Envelope
from doai.ids import RandomIds
from doai.messages.events import AttemptEnded
from doai.store.database import BROKER, OUTBOX
from doai.store.outbox import open_outbox
from doai.store.sql_files import load_migrations
from doai.store.sqlite_writer import open_writer
from doai.wire.keys import KeyTable
from doai.wire_versions import SPOKEN
from tests.compat.playing import PlayedBroker, PlayedPeers, facts_of
from tests.compat.record import DRAIN
from tests.compat.recording import Act, Recording, make_store, read_frames, recordings, stores
from tests.compat.site import ADMIN, ENDPOINT, NODE, Site

FRAMES = [pytest.param(read_frames(path), id=path.stem) for path in recordings()]
TASK_COUNTS = "SELECT state, count(*) FROM tasks GROUP BY state ORDER BY state"
TOLD = (
    "SELECT type, count(*) FROM events WHERE type NOT LIKE 'incident.%' AND type NOT LIKE 'system.%' "
    "AND type NOT LIKE 'campaign.%' GROUP BY type"
)


def rows(path: Path, sql: str) -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_there_is_a_recording_of_every_wire_version_that_is_spoken() -> None:
    spoken = {read_frames(path).wire_version for path in recordings()}
    assert {version for version in spoken if version in SPOKEN} == set(range(SPOKEN.lowest, SPOKEN.highest + 1)), (
        "record it: python -m tests.compat.record"
    )


@pytest.mark.parametrize("recording", FRAMES)
async def test_a_recorded_node_and_admin_are_served(tmp_path: Path, recording: Recording) -> None:
    site = Site(tmp_path)
    with trio.fail_after(180):
        async with (
            site.broker(seed=99) as broker,
            site.mesh.open_dealer(ENDPOINT, site.node_keys, site.broker_keys.public) as node,
            site.mesh.open_dealer(ENDPOINT, site.admin_keys, site.broker_keys.public) as admin,
        ):
            await PlayedPeers(recording, {NODE: node, ADMIN: admin}).play()
            await broker.tap.wait(lambda: bool(broker.frames(NODE, Kind.BYE, to_broker=True)))
    (then,) = [path for path in stores(BROKER) if path.stem.endswith(f"-{recording.release}")]
    make_store(then.read_text(), tmp_path / "then.db")
    now = tmp_path / "broker.db"
    assert rows(now, TASK_COUNTS) == rows(tmp_path / "then.db", TASK_COUNTS)
    missing = Counter(dict(rows(tmp_path / "then.db", TOLD))) - Counter(dict(rows(now, TOLD)))
    assert not missing, f"events are missing: {missing}"
    assert rows(now, "SELECT count(*) FROM events WHERE type LIKE 'system.error%'") == [(0,)]
    assert rows(now, "SELECT count(*) FROM dead_letters WHERE kind != 'task'") == [(0,)]


@pytest.mark.parametrize("recording", FRAMES)
async def test_a_recorded_broker_is_served(tmp_path: Path, recording: Recording) -> None:
    site = Site(tmp_path)
    with trio.fail_after(180):
        async with (
            site.mesh.open_router(ENDPOINT, site.broker_keys, KeyTable({site.node_keys.public: NODE})) as router,
            trio.open_nursery() as nursery,
            site.node() as node,
        ):
            broker = PlayedBroker(recording, router)
            nursery.start_soon(broker.listen)
            await broker.play(node, DRAIN)
            await node.stopped.wait()
            nursery.cancel_scope.cancel()
    assert node.stop is not None
    assert node.stop.exit_code == 0, node.stop.reason
    recorded = [step for step in recording.steps if not isinstance(step, Act)]
    then = [fact for step in recorded if step.to_broker and step.kind == Kind.RECORDS for fact in facts_of(step)]
    assert ends(broker.facts) == ends(then)


def ends(facts: list[Envelope]) -> list[tuple[str, str, Any]]:
    """What became of attempts: by task, outcome and what they gave out."""
    told = [decode(fact.payload, AttemptEnded) for fact in facts if fact.type == "attempt.ended"]
    return sorted((end.task_id, end.outcome.value, end.outputs.get("said")) for end in told)


@pytest.mark.parametrize("recorded", [pytest.param(path, id=path.stem) for path in stores(BROKER)])
def test_a_recorded_store_is_brought_up_to_date(tmp_path: Path, recorded: Path) -> None:
    path = tmp_path / "broker.db"
    make_store(recorded.read_text(), path)
    counts = rows(path, TASK_COUNTS)
    (schema,) = rows(path, "PRAGMA user_version")[0]
    assert schema == int(recorded.stem.split("-")[1])
    writer = open_writer(path, new_store_id="another", now_ms=1)
    try:
        snapshot = writer.load()
        now = trio.run(read_now)
        core = BrokerCore(snapshot, RandomIds(lambda bits: 1), CoreSettings(), now)
    finally:
        writer.close()
    assert rows(path, "PRAGMA user_version") == [(len(load_migrations(BROKER.folder)),)]
    assert snapshot.store_id == "s1", "the store of then, not a new one"
    assert rows(path, TASK_COUNTS) == counts
    assert {task.status.state.value for task in snapshot.tasks} == {"queued"}
    assert core.state.queues["night"].priority == 3
    assert core.state.devices["FAKE0002"].row is not None
    assert [row.name for row in snapshot.campaigns] == ["hourly"]


@pytest.mark.parametrize("recorded", [pytest.param(path, id=path.stem) for path in stores(OUTBOX)])
def test_a_recorded_outbox_is_brought_up_to_date(tmp_path: Path, recorded: Path) -> None:
    path = tmp_path / "node.db"
    make_store(recorded.read_text(), path)
    outbox = open_outbox(path, new_incarnation="another")
    try:
        state = outbox.load()
        kept = outbox.read_facts(state.trimmed_seq, 1000, 1 << 20)
    finally:
        outbox.close()
    assert rows(path, "PRAGMA user_version") == [(len(load_migrations(OUTBOX.folder)),)]
    assert (state.incarnation, state.store_id) == ("I1", "s1")
    assert [seq for seq, _ in kept] == list(range(state.trimmed_seq + 1, state.highest_seq + 1))
    assert {decode(fact, Envelope).source for _, fact in kept} == {"n1/main"}


async def read_now() -> Any:
    return read_clocks()
