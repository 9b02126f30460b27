"""What is stored beside tasks: versions of workflows, and the artifacts the admin keeps (steps 2 and 13)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from doai import topics
from doai.broker.core.decision import Decision
from doai.broker.core.plugins import KnownSteps
from doai.broker.core.state import State
from doai.changes.ops import InsertArtifact, InsertWorkflow, SetWorkflowState
from doai.changes.rows import ArtifactRow, WorkflowRow
from doai.envelope import Envelope
from doai.errors import UserError
from doai.messages.commands import (
    ActivateWorkflow,
    ArchiveWorkflow,
    ArtifactRecorded,
    RecordArtifact,
    StoreWorkflow,
    WorkflowStored,
    WorkflowVersion,
)
from doai.messages.events import ArtifactStored, WorkflowStateChanged, WorkflowStoredEvent
from doai.states import WorkflowState
from doai.workflow.model import content_hash, parse_workflow, to_stored

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Library:
    """Stores workflows and notes artifacts."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._steps = KnownSteps(state)

    def store_workflow(self, decision: Decision, command: Envelope, store: StoreWorkflow) -> WorkflowStored:
        """Store a text as the next version of its workflow; the same content again stores nothing."""
        recipes = self._state.recipes
        workflow = parse_workflow(
            store.source,
            self._steps.types(),
            find=lambda workflow: recipes.called_by(workflow, activate=store.activate),
        )
        body = to_stored(workflow)
        digest = content_hash(body)
        newest = recipes.newest(workflow.name)
        is_same = newest is not None and newest.content_hash == digest
        if newest is not None and is_same and (newest.state is WorkflowState.ACTIVE or not store.activate):
            return WorkflowStored(name=newest.name, version=newest.version, content_hash=digest, new=False)
        active_before = recipes.active_version(workflow.name) if newest is not None else None
        version = newest.version + 1 if newest is not None else 1
        actor = command.actor or command.source
        row = WorkflowRow(
            name=workflow.name,
            version=version,
            content_hash=digest,
            body=body,
            created_at_ms=decision.now.utc_ms,
            created_by=actor,
            state=WorkflowState.ACTIVE if store.activate else WorkflowState.DRAFT,
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
        decision.changed(
            f"workflow/{row.name}",
            None if newest is None else {"version": newest.version, "active_version": active_before},
            {"version": version, "active_version": recipes.active_version(row.name), "content_hash": digest},
        )
        return WorkflowStored(name=row.name, version=version, content_hash=digest, new=True)

    def activate_workflow(
        self, decision: Decision, command: Envelope, activate: ActivateWorkflow
    ) -> WorkflowVersion:
        """Make a version active; one that is so already stays as it is."""
        return self._set_state(decision, command, activate.name, activate.version, WorkflowState.ACTIVE)

    def archive_workflow(self, decision: Decision, command: Envelope, archive: ArchiveWorkflow) -> WorkflowVersion:
        """Archive a version; its runs go on. One that is archived already stays as it is."""
        return self._set_state(decision, command, archive.name, archive.version, WorkflowState.ARCHIVED)

    def _set_state(
        self, decision: Decision, command: Envelope, name: str, version: int, state: WorkflowState
    ) -> WorkflowVersion:
        recipes = self._state.recipes
        row = recipes.row(name, version)
        before = {"version": version, "state": row.state, "active_version": recipes.active_version(name)}
        if row.state is not state:
            recipes.add(msgspec.structs.replace(row, state=state))
            decision.ops.append(SetWorkflowState(name, version, state))
            decision.event(
                topics.WORKFLOW_ACTIVATED if state is WorkflowState.ACTIVE else topics.WORKFLOW_ARCHIVED,
                f"workflow/{name}",
                WorkflowStateChanged(
                    name=name, version=version, state=state, actor=command.actor or command.source
                ),
                trace_id=command.trace_id,
                causation_id=command.event_id,
            )
        active_version = recipes.active_version(name)
        after = {"version": version, "state": state, "active_version": active_version}
        decision.changed(f"workflow/{name}", before, after)
        return WorkflowVersion(name=name, version=version, state=state, active_version=active_version)

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
        after = {"path": record.path, "size_bytes": record.size_bytes, "media_type": record.media_type}
        decision.changed(topics.task_subject(record.task_id), None, after)
        return ArtifactRecorded(path=record.path)
