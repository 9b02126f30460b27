"""Every type that crosses the mesh with its payload: the one table from which `proto/` is generated (all steps)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from doai import topics
from doai.codec import Kind
from doai.envelope import Envelope, Message
from doai.messages import commands as c
from doai.messages import enrolment, holds, link, work
from doai.messages import events as e

EVENTS: Final[Mapping[str, type[Message]]] = {
    topics.DEVICE_ONLINE: e.DeviceOnline,
    topics.DEVICE_OFFLINE: e.DeviceOffline,
    topics.DEVICE_ERROR: e.DeviceError,
    topics.DEVICE_DESCRIBED: e.DeviceDescribed,
    topics.DEVICE_QUARANTINED: e.DeviceQuarantined,
    topics.DEVICE_HELD: e.DeviceHeld,
    topics.DEVICE_RELEASED: e.DeviceReleased,
    topics.NODE_REGISTERED: e.NodeOnline,
    topics.NODE_ONLINE: e.NodeOnline,
    topics.NODE_LATE: e.NodeStatus,
    topics.NODE_OFFLINE: e.NodeStatus,
    topics.NODE_QUARANTINED: e.NodeQuarantined,
    topics.NODE_RELEASED: e.NodeReleased,
    topics.NODE_ENROLLED: e.NodeEnrolled,
    topics.NODE_JOINED: e.NodeJoined,
    topics.NODE_REVOKED: e.NodeRevoked,
    topics.NODE_REKEYED: e.NodeRekeyed,
    topics.BOT_REGISTERED: e.BotRegistered,
    topics.BOT_STATUS_CHANGED: e.BotStatusChanged,
    topics.TASK_QUEUED: e.TaskQueued,
    topics.TASK_DISPATCHED: e.TaskDispatched,
    topics.TASK_STARTED: e.TaskStarted,
    topics.TASK_COMPLETED: e.AttemptEnded,
    topics.TASK_FAILED: e.AttemptEnded,
    topics.TASK_RETRIED: e.AttemptEnded,
    topics.TASK_RELEASED: e.AttemptEnded,
    topics.TASK_LATE: e.AttemptEnded,
    topics.TASK_CANCELLING: e.TaskStatus,
    topics.TASK_CANCELLED: e.TaskStatus,
    topics.TASK_EXPIRED: e.TaskStatus,
    topics.TASK_UNKNOWN: e.TaskStatus,
    topics.TASK_UNPROVEN: e.TaskStatus,
    topics.TASK_PROVEN: e.TaskStatus,
    topics.ATTEMPT_ENDED: e.AttemptEnded,
    topics.STEP_STARTED: e.StepStarted,
    topics.STEP_COMPLETED: e.StepCompleted,
    topics.STEP_FAILED: e.StepFailed,
    topics.RUN_CREATED: e.RunCreatedEvent,
    topics.RUN_COMPLETED: e.RunCompleted,
    topics.CAMPAIGN_CREATED: e.CampaignCreated,
    topics.CAMPAIGN_COMPLETED: e.CampaignCompleted,
    topics.ARTIFACT_STORED: e.ArtifactStored,
    topics.HEALTH_CHECK_COMPLETED: e.HealthCheckCompleted,
    topics.SYSTEM_ERROR: e.SystemNotice,
    topics.SYSTEM_ALERT: e.SystemNotice,
    topics.FILE_STORED: e.FileStoredEvent,
    topics.FILE_REMOVED: e.FileRemovedEvent,
    topics.WORKFLOW_STORED: e.WorkflowStoredEvent,
    topics.WORKFLOW_ACTIVATED: e.WorkflowStateChanged,
    topics.WORKFLOW_ARCHIVED: e.WorkflowStateChanged,
    topics.SECRET_STORED: e.SecretStored,
    topics.SECRET_REMOVED: e.SecretRemoved,
}
"""Event type -> payload. Where a node's fact and the broker's own words share a type (task.failed,
task.cancelled), the payload has the fields of the one that made it; both carry task_id and run_id."""

COMMANDS: Final[Mapping[str, tuple[type[Message], type[Message]]]] = {
    c.CREATE_RUN: (c.CreateRun, c.RunCreated),
    c.CANCEL_RUN: (c.CancelRun, c.Cancelled),
    c.CANCEL_TASK: (c.CancelTask, c.Cancelled),
    c.STORE_WORKFLOW: (c.StoreWorkflow, c.WorkflowStored),
    c.ACTIVATE_WORKFLOW: (c.ActivateWorkflow, c.WorkflowVersion),
    c.ARCHIVE_WORKFLOW: (c.ArchiveWorkflow, c.WorkflowVersion),
    c.RECORD_ARTIFACT: (c.RecordArtifact, c.ArtifactRecorded),
    c.STORE_FILE: (c.StoreFile, c.FileStored),
    c.REMOVE_FILE: (c.RemoveFile, c.FileRemoved),
    c.ADD_KEY: (c.AddKey, c.KeyAdded),
    c.REVOKE_KEY: (c.RevokeKey, c.KeyAdded),
    c.ADD_TOKEN: (c.AddToken, c.TokenAdded),
    c.REVOKE_TOKEN: (c.RevokeToken, c.TokenAdded),
    c.DESCRIBE_DEVICES: (c.DescribeDevices, c.DevicesDescribed),
    c.QUARANTINE_DEVICE: (c.QuarantineDevice, c.Service),
    c.RELEASE_DEVICE: (c.ReleaseDevice, c.Service),
    c.QUARANTINE_NODE: (c.QuarantineNode, c.Service),
    c.RELEASE_NODE: (c.ReleaseNode, c.Service),
    holds.HOLD_DEVICE: (holds.HoldDevice, holds.DeviceHold),
    holds.UNHOLD_DEVICE: (holds.UnholdDevice, holds.DeviceHold),
    enrolment.ENROL_NODES: (enrolment.EnrolNodes, enrolment.NodesEnrolled),
    enrolment.JOIN_NODE: (enrolment.JoinNode, enrolment.NodeAccepted),
    enrolment.STORE_SECRET: (enrolment.StoreSecret, enrolment.SecretKept),
    enrolment.REMOVE_SECRET: (enrolment.RemoveSecret, enrolment.SecretKept),
}
"""Command type -> payload, answer."""

BODIES: Final[Mapping[Kind, type | None]] = {
    Kind.HELLO: link.Hello,
    Kind.HEARTBEAT: link.Heartbeat,
    Kind.RECORDS: link.Records,
    Kind.HOLDINGS: work.Holdings,
    Kind.COMMAND: Envelope,
    Kind.BYE: link.Bye,
    Kind.FORWARD: None,
    Kind.WELCOME: link.Welcome,
    Kind.HELLO_REQUIRED: None,
    Kind.FENCED: link.Fenced,
    Kind.ACK: None,
    Kind.DISPATCH: work.Dispatches,
    Kind.CANCEL: work.Cancels,
    Kind.RELEASE: work.Releases,
    Kind.REPLY: c.Reply,
    Kind.RECIPE: work.Recipe,
    Kind.BEAT: link.Beat,
}
"""Frame kind -> body; None = the body is empty or not looked at."""
