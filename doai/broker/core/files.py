"""Stores and removes files that steps use: names and versions here, the bytes with the admin (steps 2 and 3)."""

from __future__ import annotations

import re
from typing import Final

from doai import topics
from doai.broker.core.decision import Decision
from doai.broker.core.state import State
from doai.broker.core.tables import Run
from doai.changes.ops import DeleteFile, InsertFile
from doai.changes.rows import FileRow
from doai.envelope import Envelope
from doai.errors import ConflictError, NotFoundError, UserError
from doai.file_reference import parse_file_reference
from doai.messages.commands import FileRemoved, FileStored, RemoveFile, StoreFile
from doai.messages.events import FileRemovedEvent, FileStoredEvent

MEDIA_TYPE_CHARACTERS_MAX: Final = 127
ORIGIN_CHARACTERS_MAX: Final = 600
"""A path of an artifact and a word."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MEDIA_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+")
"""RFC 6838, 4.2; without parameters."""


class Files:
    """Executes the commands about files."""

    def __init__(self, state: State) -> None:
        self._state = state

    def store(self, decision: Decision, command: Envelope, store: StoreFile) -> FileStored:
        """Let a name and version stand for bytes, for ever."""
        parse_file_reference(f"{store.name}@{store.version}" if store.version else store.name)
        if _SHA256.fullmatch(store.sha256) is None or store.size_bytes < 0:
            raise UserError("a file needs a SHA-256 of 64 hexadecimal digits and a size", code="bad_file")
        if len(store.media_type) > MEDIA_TYPE_CHARACTERS_MAX or _MEDIA_TYPE.fullmatch(store.media_type) is None:
            raise UserError(
                f"{store.media_type[:80]!r} is no media type: write one such as application/octet-stream",
                code="bad_file",
            )
        if len(store.origin) > ORIGIN_CHARACTERS_MAX or not store.origin.isprintable():
            raise UserError("the origin of a file is one line of text", code="bad_file")
        files = self._state.files
        known = files.find(store.name, store.version or None)
        if known is not None and known.sha256 == store.sha256:
            return _stored(known, new=False)
        if known is not None and store.version:
            raise ConflictError(
                f"{store.name}@{store.version} has other bytes, and a version never changes: put it as another "
                "version",
                code="file_exists",
            )
        return self._insert(decision, command, store, store.version or files.next_number(store.name))

    def _insert(self, decision: Decision, command: Envelope, store: StoreFile, version: str) -> FileStored:
        actor = command.actor or command.source
        position = decision.event(
            topics.FILE_STORED,
            topics.file_subject(store.name),
            FileStoredEvent(
                name=store.name,
                version=version,
                sha256=store.sha256,
                size_bytes=store.size_bytes,
                media_type=store.media_type,
                actor=actor,
                origin=store.origin,
            ),
            trace_id=command.trace_id,
            causation_id=command.event_id,
            actor=actor,
        )
        row = FileRow(
            name=store.name,
            version=version,
            sha256=store.sha256,
            size_bytes=store.size_bytes,
            media_type=store.media_type,
            position=position,
            created_at_ms=decision.now.utc_ms,
            created_by=actor,
        )
        newest = self._state.files.find(store.name, None)
        self._state.files.add(row)
        decision.ops.append(InsertFile(row))
        decision.changed(topics.file_subject(row.name), _version(newest), _version(row))
        return _stored(row, new=True)

    def remove(self, decision: Decision, command: Envelope, remove: RemoveFile) -> FileRemoved:
        """Forget a version that no open run needs."""
        files = self._state.files
        row = files.find(remove.name, remove.version)
        if row is None:
            raise NotFoundError(files.why_not(remove.name[:300], remove.version[:80]), code="file_not_found")
        needing = [run for run in self._state.runs.values() if _needs(run, row)]
        if needing:
            first = f"run {needing[0].row.run_id} of {needing[0].row.workflow}@{needing[0].row.version}"
            more = f" and {len(needing) - 1} more" if len(needing) > 1 else ""
            raise ConflictError(
                f"{row.name}@{row.version} is needed by {first}{more}: wait until they have ended, or cancel them",
                code="file_needed",
            )
        files.remove(row)
        actor = command.actor or command.source
        decision.ops.append(DeleteFile(row.name, row.version))
        decision.event(
            topics.FILE_REMOVED,
            topics.file_subject(row.name),
            FileRemovedEvent(name=row.name, version=row.version, sha256=row.sha256, actor=actor),
            trace_id=command.trace_id,
            causation_id=command.event_id,
            actor=actor,
        )
        decision.changed(topics.file_subject(row.name), _version(row), None)
        unused = not files.has_bytes(row.sha256)
        return FileRemoved(name=row.name, version=row.version, sha256=row.sha256, unused=unused)


def _version(row: FileRow | None) -> dict[str, object] | None:
    """A version of a file, for the audit."""
    return None if row is None else {"version": row.version, "sha256": row.sha256, "size_bytes": row.size_bytes}


def _needs(run: Run, row: FileRow) -> bool:
    return any(pin.version == row.version and pin.reference.partition("@")[0] == row.name for pin in run.files)


def _stored(row: FileRow, *, new: bool) -> FileStored:
    return FileStored(name=row.name, version=row.version, sha256=row.sha256, size_bytes=row.size_bytes, new=new)
