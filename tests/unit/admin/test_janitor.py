"""The janitor: slices in order until nothing goes, files before rows, an early end that is recorded."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from doai.admin import janitor as janitor_module
from doai.admin.janitor import CLEANINGS_MAX, Janitor, remove_files
from doai.envelope import Message
from doai.errors import ConflictError
from doai.messages.retention import PruneStore, RecordRetention
from doai.store.retention_reader import SLICE, Bounds, Cleaning, Going, Held, Policy, RetentionReader

POLICY = Policy(
    tasks_days=1,
    tasks_max=0,
    events_days=1,
    events_max=0,
    artifacts_days=1,
    artifacts_disk_percent=0,
    audit_days=1,
    audit_max=0,
    samples_hours=24,
    sample_hours_days=90,
)


class FakeReader(RetentionReader):
    """A store of two runs, an artifact, some events and rows; `prune` removes from it."""

    def __init__(self) -> None:
        self.content = {"r1": ["t1", "t2"], "r2": ["t3"]}
        self.slice = SLICE
        self.files = [("video/n/a/r0/x.png", 3)]
        self.positions = [1, 2]
        self.rows = [1, 2, 3]
        self.sampled = [f"d{number:02}" for number in range(12)]

    async def held(self) -> Held:
        return Held(tasks=3, runs=2, events=2, artifacts=1, artifact_bytes=3, audit=3, samples=4, sample_hours=2)

    async def bounds(self, policy: Policy, held: Held, disk_bytes: int, now_ms: int) -> Bounds:
        return Bounds(
            now_ms=now_ms,
            runs_ended_before_ms=1,
            runs_up_to="",
            artifacts_before_ms=1,
            artifacts_up_to="",
            events_before=1,
            audit_up_to=1,
            sample_minute_before=1440,
            sample_hour_before=24,
        )

    async def going(self, bounds: Bounds) -> Going:
        return Going(runs=2, tasks=3, artifacts=1, artifact_bytes=3, events=2, audit=3, samples=0, sample_hours=0)

    async def runs(self, bounds: Bounds, after: str) -> list[str]:
        return [name for name in self.content if name > after]

    async def next_cleanable(self, cleaning: Cleaning, after: str) -> list[str]:
        return [name for name in self.content if name > after and name == cleaning.queue]

    async def tasks_of(self, run_id: str) -> list[str]:
        return self.content.get(run_id, [])[: self.slice]

    async def artifacts_of(self, run_id: str) -> list[tuple[str, int]]:
        return []

    async def artifacts(self, bounds: Bounds) -> list[tuple[str, int]]:
        return self.files

    async def events(self, bounds: Bounds) -> list[int]:
        return self.positions

    async def audit(self, bounds: Bounds) -> list[int]:
        return self.rows

    async def samples(self, bounds: Bounds, after: str) -> list[str]:
        return [serial for serial in self.sampled if serial > after][:10]

    async def close(self) -> None:
        """Nothing is open."""

    def prune(self, what: PruneStore) -> None:
        self.content = {
            name: [task for task in tasks if task not in what.tasks]
            for name, tasks in self.content.items()
            if name not in what.runs
        }
        self.files = [file for file in self.files if file[0] not in what.artifacts]
        self.positions = [position for position in self.positions if position not in what.events]
        self.rows = [row for row in self.rows if row > what.audit_up_to]


async def free() -> None:
    """No backup is being made."""


def janitor(folder: Path, reader: RetentionReader) -> Janitor:
    return Janitor(reader, folder, POLICY, every_h=0, wait_free=free)


def test_a_pass_removes_slice_by_slice_and_is_recorded(tmp_path: Path) -> None:
    reader = FakeReader()
    file = tmp_path / "video/n/a/r0/x.png"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"png")
    asked: list[Message] = []

    async def command(payload: Message) -> None:
        asked.append(payload)
        if isinstance(payload, PruneStore):
            assert not payload.artifacts or not file.exists(), "the file goes before its row"
            reader.prune(payload)

    done = asyncio.run(janitor(tmp_path, reader).sweep(command))
    assert (done.tasks, done.runs, done.events, done.artifacts, done.audit, done.freed_bytes) == (3, 2, 2, 1, 3, 3)
    assert done.problem == ""
    assert asked[-1] == done
    tasks = [payload.tasks for payload in asked if isinstance(payload, PruneStore) and payload.tasks]
    assert tasks == [["t1", "t2", "t3"]], "small runs share a slice"
    assert list(tmp_path.iterdir()) == [], "empty folders go with the last file"
    of_samples = [payload for payload in asked if isinstance(payload, PruneStore) and payload.samples]
    assert [len(payload.samples) for payload in of_samples] == [10, 2], "a few devices at a time"
    assert {(p.sample_minute_before, p.sample_hour_before) for p in of_samples} == {(1440, 24)}


def test_a_large_run_goes_in_several_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(janitor_module, "SLICE", 2)
    reader = FakeReader()
    reader.files, reader.slice = [], 2
    reader.content = {"r1": ["t1", "t2", "t3"], "r2": ["t4"], "r3": ["t5"], "r4": []}
    slices: list[list[str]] = []

    async def command(payload: Message) -> None:
        if isinstance(payload, PruneStore):
            slices.extend([payload.tasks] if payload.tasks else [])
            reader.prune(payload)

    done = asyncio.run(janitor(tmp_path, reader).sweep(command))
    assert slices == [["t1", "t2"], ["t3", "t4"], ["t5"]]
    assert (done.tasks, done.runs, reader.content) == (5, 4, {})


def test_a_refused_slice_ends_the_pass_early_and_that_is_recorded(tmp_path: Path) -> None:
    asked: list[Message] = []

    async def command(payload: Message) -> None:
        asked.append(payload)
        if isinstance(payload, PruneStore) and payload.tasks:
            raise ConflictError("r1 is open: nothing was removed")

    reader = FakeReader()
    reader.files = []
    done = asyncio.run(janitor(tmp_path, reader).sweep(command))
    assert (done.tasks, done.problem) == (0, "r1 is open: nothing was removed")
    assert isinstance(asked[-1], RecordRetention)


def test_one_pass_at_a_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        going_on, may_end = asyncio.Event(), asyncio.Event()
        reader = FakeReader()

        async def command(payload: Message) -> None:
            going_on.set()
            await may_end.wait()
            if isinstance(payload, PruneStore):
                reader.prune(payload)

        found = janitor(tmp_path, reader)
        found.begin(command)
        await going_on.wait()
        assert found.is_running
        with pytest.raises(ConflictError, match="under way"):
            found.begin(command)
        await found.close()
        assert not found.is_running

    asyncio.run(scenario())


def test_what_is_not_there_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"12345")
    (tmp_path / "a" / "kept").write_bytes(b"1")
    assert remove_files(tmp_path, ["a/x", "a/gone", "b/gone"]) == 5
    assert (tmp_path / "a" / "kept").exists()


def test_a_queue_is_cleaned_after_what_is_under_way_and_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        asked: list[Message] = []
        may_go, recorded = asyncio.Event(), asyncio.Semaphore(0)
        reader = FakeReader()
        reader.files = []

        async def command(payload: Message) -> None:
            asked.append(payload)
            await may_go.wait()
            if isinstance(payload, PruneStore):
                reader.prune(payload)
            else:
                recorded.release()

        found = janitor(tmp_path, reader)
        first, second = (Cleaning(queue=name, ended_before_ms=1, outcomes=[]) for name in ("r1", "r9"))
        for cleaning in (first, second, first):
            found.begin_cleaning(command, cleaning)
        assert found.cleaning == [first, second], "the same is done once"
        may_go.set()
        for _ in (first, second):
            await recorded.acquire()
        assert (reader.content, reader.positions, reader.rows) == ({"r2": ["t3"]}, [1, 2], [1, 2, 3])
        done = [payload for payload in asked if isinstance(payload, RecordRetention)]
        assert [(one.queue, one.tasks, one.runs, one.problem) for one in done] == [
            ("r1", 2, 1, ""),
            ("r9", 0, 0, ""),
        ]
        await found.close()
        assert found.cleaning == []

    asyncio.run(scenario())


def test_few_cleanings_wait_for_their_turn(tmp_path: Path) -> None:
    found = janitor(tmp_path, FakeReader())
    found.cleaning = [Cleaning(queue=f"q{n}", ended_before_ms=1, outcomes=[]) for n in range(CLEANINGS_MAX)]
    with pytest.raises(ConflictError, match="being cleaned"):
        found.check_room()
