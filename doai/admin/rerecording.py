"""Artifacts whose record a restore took back are recorded again (step 10).

A backup is older than the uploads that came after it: their files lie in the folder, and the restored store does
not name them. So once for each store that a restore began, the folder is looked through. A file that has no row and
that a step of the log promised, with these bytes, is recorded as its upload was. Nodes tell again what ended since
the backup, so that is done for a while. What no step has promised then is recorded as its task's (a file has its
name only once it is whole), and what is of no task that the store knows is named in the log.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from doai import topics
from doai.admin.mesh import BrokerUnavailable
from doai.admin.problems import CommandRefused
from doai.admin.receiving import digest_of
from doai.artifact_path import ArtifactPath, BadArtifactPathError, parse_artifact_path
from doai.codec import decode
from doai.errors import StoreUnavailable
from doai.media_types import media_type_of
from doai.messages.commands import RecordArtifact
from doai.messages.events import StepCompleted
from doai.store.reader import StoreReader

MARK: Final = ".store"
"""In the folder of artifacts: the id of the store that it was last compared with. No path of a file begins so."""
LOOK_S: Final = 5.0
"""How often it is looked whether the store is another: one row is read."""
AGAIN_S: Final = (0, 1, 2, 4, 8, 15, 30, 60, 60, 120)
"""Five minutes in all: nodes that were there at the restore have told by then what they hold."""
_SLICE: Final = 500
_NAMED: Final = 5
_log: Final = logging.getLogger(__name__)

Record = Callable[[RecordArtifact], Coroutine[Any, Any, object]]
"""Has the broker record an artifact; raises CommandRefused, BrokerUnavailable."""


class Promise(msgspec.Struct, frozen=True):
    """What a step said of a file that it handed over; empty strings are what is not known of it."""

    task_id: str
    step_id: str
    sha256: str


def record_key(record: RecordArtifact) -> str:
    """Return the idempotency key of a record. It is the content's: one that comes again is one event."""
    return "artifact-" + hashlib.sha256(f"{record.path}\0{record.sha256}".encode()).hexdigest()


class Rerecording:
    """Compares the folder with the store after each restore."""

    def __init__(self, reader: StoreReader, root: Path, record: Record) -> None:
        self._reader = reader
        self._root = root
        self._record = record

    async def run(self) -> None:
        """Look after each store that takes the place of another, until it is cancelled."""
        while True:
            try:
                await self.look()
            except (StoreUnavailable, BrokerUnavailable, CommandRefused, OSError) as error:
                _log.warning("files that the restored store does not name are looked for again later: %s", error)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Compare the folder with the store if that is another than the last time."""
        identity = await self._reader.artifact_names.identity()
        mark = self._root / MARK
        if mark.is_file() and mark.read_text("ascii", "replace") == identity.store_id:
            return
        if identity.generation > 1:
            await self._record_again()
        mark.write_text(identity.store_id, "ascii")

    async def _record_again(self) -> None:
        left = await self._unnamed()
        found, recorded = len(left), 0
        for after_s in AGAIN_S:
            await asyncio.sleep(after_s)
            done = await self._record_promised(left)
            recorded += len(done)
            left = await self._still_missing([path for path in left if path not in done])
            if not left:
                break
        done = await self._record_of_tasks(left)
        recorded += len(done)
        left = [path for path in left if path not in done]
        if found:
            _log.info("%d of %d files that the restored store did not name were recorded again", recorded, found)
        if left:
            shown = ", ".join(left[:_NAMED]) + (", ..." if len(left) > _NAMED else "")
            _log.warning(
                "%d files in %s are of no task that the restored store knows: %s; they are shown nowhere, remove "
                "them by hand if nobody needs them",
                len(left),
                self._root,
                shown,
            )

    async def _unnamed(self) -> list[str]:
        paths = stored_files(self._root)
        unnamed: list[str] = []
        while slice_ := await asyncio.to_thread(lambda: list(islice(paths, _SLICE))):
            unnamed += await self._reader.artifact_names.missing(slice_)
        return unnamed

    async def _still_missing(self, paths: list[str]) -> list[str]:
        missing: list[str] = []
        for begin in range(0, len(paths), _SLICE):
            missing += await self._reader.artifact_names.missing(paths[begin : begin + _SLICE])
        return missing

    async def _record_promised(self, paths: list[str]) -> set[str]:
        """Record what the log promises of these files; return their paths."""
        by_run: dict[str, list[ArtifactPath]] = defaultdict(list)
        for path in paths:
            where = parse_artifact_path(path)
            by_run[where.run_id].append(where)
        done: set[str] = set()
        for run_id, files in by_run.items():
            promises = await self._promises(run_id)
            for where in files:
                promise = promises.get(str(where))
                if promise is not None and await self._record_one(where, promise):
                    done.add(str(where))
        return done

    async def _record_of_tasks(self, paths: list[str]) -> set[str]:
        """Record files of which only their path tells: of the one task that the run had on that phone."""
        done: set[str] = set()
        for path in paths:
            where = parse_artifact_path(path)
            tasks = (await self._reader.tasks(run_id=where.run_id, device=where.device_serial, limit=2)).items
            if len(tasks) == 1 and await self._record_one(where, Promise(tasks[0].task_id, "", "")):
                done.add(path)
        return done

    async def _record_one(self, where: ArtifactPath, promise: Promise) -> bool:
        file = self._root / str(where)
        try:
            sha256, size_bytes = await asyncio.to_thread(lambda: (digest_of(file), file.stat().st_size))
        except FileNotFoundError:
            return False  # retention took it meanwhile
        if promise.sha256 not in ("", sha256):
            return False
        record = RecordArtifact(
            path=str(where),
            sha256=sha256,
            size_bytes=size_bytes,
            node_id=where.node_id,
            device_serial=where.device_serial,
            run_id=where.run_id,
            task_id=promise.task_id,
            step_id=promise.step_id,
            media_type=media_type_of(where.extension),
        )
        await self._record(record)
        return True

    async def _promises(self, run_id: str) -> dict[str, Promise]:
        promises: dict[str, Promise] = {}
        cursor: str | None = None
        while True:
            events, cursor = await self._reader.steps_of_run(run_id, cursor=cursor)
            for event in events:
                if event.envelope.type == topics.STEP_COMPLETED:
                    step = decode(event.envelope.payload, StepCompleted)
                    path, sha256 = step.outputs.get("path"), step.outputs.get("sha256")
                    if isinstance(path, str) and isinstance(sha256, str):
                        promises[path] = Promise(step.task_id, step.step_id, sha256)
            if cursor is None:
                return promises


def stored_files(root: Path) -> Iterator[str]:
    """Yield the paths of the files below a folder of artifacts, relative to it; blocks."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = (Path(folder) / name).relative_to(root).as_posix()
            try:
                parse_artifact_path(path)
            except BadArtifactPathError:
                continue
            yield path
