"""What is stored beside tasks: versions of workflows, and the artifacts the admin keeps (steps 2 and 13)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from doai import topics
from doai.broker.core.decision import Decision
from doai.broker.core.state import State
from doai.changes.ops import InsertArtifact, InsertWorkflow
from doai.changes.rows import ArtifactRow, WorkflowRow
from doai.envelope import Envelope
from doai.errors import UserError
from doai.messages.commands import ArtifactRecorded, RecordArtifact, StoreWorkflow, WorkflowStored
from doai.messages.events import ArtifactStored, WorkflowStoredEvent
from doai.workflow.model import content_hash, parse_workflow, to_stored

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Library:
    """Stores workflows and notes artifacts."""

    def __init__(self, state: State) -> None:
        self._state = state

    def store_workflow(self, decision: Decision, command: Envelope, store: StoreWorkflow) -> WorkflowStored:
        """Store a text as the next version of its workflow; the same content again stores nothing."""
        recipes = self._state.recipes
        workflow = parse_workflow(store.source)
        body = to_stored(workflow)
        digest = content_hash(body)
        newest = recipes.newest(workflow.name)
        is_same = newest is not None and newest.content_hash == digest
        if newest is not None and is_same and (newest.active or not store.activate):
            return WorkflowStored(name=newest.name, version=newest.version, content_hash=digest, new=False)
        version = newest.version + 1 if newest is not None else 1
        actor = command.actor or command.source
        row = WorkflowRow(
            name=workflow.name,
            version=version,
            content_hash=digest,
            body=body,
            created_at_ms=decision.now.utc_ms,
            created_by=actor,
            active=store.activate,
        )
        recipes.add(row)
        decision.ops.append(InsertWorkflow(row))
        decision.event(
            topics.WORKFLOW_STORED,
            f"workflow/{row.name}",
            WorkflowStoredEvent(name=row.name, version=version, content_hash=digest, actor=actor),
            trace_id=command.trace_id,
            causation_id=command.event_id,
        )
        return WorkflowStored(name=row.name, version=version, content_hash=digest, new=True)

    def record_artifact(self, decision: Decision, command: Envelope, record: RecordArtifact) -> ArtifactRecorded:
        """Note that a file is durably on disk; the same path and content again changes nothing that is seen."""
        if _SHA256.fullmatch(record.sha256) is None or record.size_bytes < 0 or not record.path:
            raise UserError(
                "an artifact needs a path, a SHA-256 of 64 hexadecimal digits and a size", code="bad_artifact"
            )
        fields = msgspec.structs.asdict(record)
        decision.ops.append(InsertArtifact(ArtifactRow(**fields, stored_at_ms=decision.now.utc_ms)))
        run = self._state.runs.get(record.run_id)
        decision.event(
            topics.ARTIFACT_STORED,
            topics.task_subject(record.task_id),
            ArtifactStored(**fields),
            trace_id=run.trace_id if run is not None else command.trace_id,
            causation_id=command.event_id,
        )
        return ArtifactRecorded(path=record.path)
