"""After a restore: files that lie in the folder and were promised are recorded again, once for each store."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from doai import topics
from doai.admin import rerecording
from doai.admin.rerecording import MARK, Rerecording, stored_files
from doai.changes.rows import TaskRow
from doai.codec import raw
from doai.envelope import Envelope
from doai.ids import Token
from doai.messages.commands import RecordArtifact
from doai.messages.events import StepCompleted
from doai.states import TaskState
from doai.store.artifact_reader import ArtifactNames, StoreIdentity
from doai.store.reader import StoreReader
from doai.store.views import EventView, Page
from tests.unit.admin.task_rows import task_row

KEPT, LATER, NEVER, OTHER = (f"video/n1/A1/r1/20261121T084500.{n}23Z-shot.png" for n in range(4))
OF_TASK = KEPT.replace("A1", "B2")


class Names(ArtifactNames):
    def __init__(self) -> None:
        self.which = StoreIdentity("s2", 2)
        self.known: set[str] = set()

    async def identity(self) -> StoreIdentity:
        return self.which

    async def missing(self, paths: Sequence[str]) -> list[str]:
        return [path for path in paths if path not in self.known]


class Reader(StoreReader):
    """A log whose second look has more: a node told again what it had told after the backup."""

    def __init__(self) -> None:
        self.artifact_names = Names()
        self.looks: list[str | None] = []

    async def tasks(self, *, run_id: str | None = None, device: str | None = None, **_: Any) -> Page[TaskRow]:
        return Page(
            [task_row(TaskState.PASSED, "t2", device_serial=device, node_id="n1")] if device == "B2" else [], None
        )

    async def steps_of_run(
        self, run_id: str, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[EventView], str | None]:
        self.looks.append(cursor)
        told = [(KEPT, KEPT), (OTHER, "not its bytes"), *([(LATER, LATER)] if len(self.looks) > 2 else [])]
        if cursor is None:
            return [], "more"
        return [self._told(path, text) for path, text in told], None

    def _told(self, path: str, text: str) -> EventView:
        step = StepCompleted(
            task_id="t1",
            run_id="r1",
            token=Token(1, 1),
            device_serial="A1",
            step_id="keep",
            try_number=1,
            duration_ms=1,
            outputs={"path": path, "sha256": hashlib.sha256(text.encode()).hexdigest()},
        )
        envelope = Envelope(
            event_id="e",
            type=topics.STEP_COMPLETED,
            subject="task/t1",
            source="node/n1",
            trace_id="",
            occurred_at_ms=1,
            payload=raw(step),
        )
        return EventView(position=1, recorded_at_ms=1, envelope=envelope)


def place(root: Path) -> None:
    for path in (KEPT, LATER, NEVER, OTHER, OF_TASK):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    (root / ".incoming").mkdir()
    (root / ".incoming" / "half").write_text("half")
    (root / "notes.txt").write_text("of a person")


def test_what_a_restore_took_back_is_recorded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rerecording, "AGAIN_S", (0, 0))
    caplog.set_level(logging.INFO)
    place(tmp_path)
    assert list(stored_files(tmp_path)) == [KEPT, LATER, NEVER, OTHER, OF_TASK]
    reader, recorded = Reader(), list[RecordArtifact]()

    async def record(command: RecordArtifact) -> None:
        recorded.append(command)
        assert isinstance(reader.artifact_names, Names)
        reader.artifact_names.known.add(command.path)

    async def twice() -> None:
        for _ in range(2):
            await Rerecording(reader, tmp_path, record).look()

    asyncio.run(twice())
    assert [command.path for command in recorded] == [KEPT, LATER, OF_TASK]
    assert recorded[0] == RecordArtifact(
        path=KEPT,
        sha256=hashlib.sha256(KEPT.encode()).hexdigest(),
        size_bytes=len(KEPT),
        node_id="n1",
        device_serial="A1",
        run_id="r1",
        task_id="t1",
        step_id="keep",
        media_type="image/png",
    )
    assert (recorded[2].task_id, recorded[2].step_id, recorded[2].device_serial) == ("t2", "", "B2")
    assert (tmp_path / MARK).read_text() == "s2"
    assert "3 of 5 files" in caplog.text
    assert NEVER in caplog.text
    assert len(reader.looks) == 4  # the second start compared nothing


def test_a_store_that_was_never_restored_is_not_compared(tmp_path: Path) -> None:
    place(tmp_path)
    reader = Reader()
    assert isinstance(reader.artifact_names, Names)
    reader.artifact_names.which = StoreIdentity("s1", 1)

    async def record(command: RecordArtifact) -> None:
        raise AssertionError(command)

    asyncio.run(Rerecording(reader, tmp_path, record).look())
    assert reader.looks == []
    assert (tmp_path / MARK).read_text() == "s1"
