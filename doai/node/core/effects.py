"""What the node's core wants done, as data, and what it is told (steps 6-11)."""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from doai.changes.outbox import OutboxOp
from doai.errors import Failure
from doai.ids import Token
from doai.limits import DISK_RESERVE_MB
from doai.link.actions import OpenSocket, ReadFacts, SendFrame
from doai.messages.work import FilePin
from doai.wire_versions import SPOKEN, WireVersions


class TryKey(msgspec.Struct, frozen=True):
    """One try of one step of one attempt; it begins at most once, ever."""

    task_id: str
    token: Token
    step_id: str
    try_number: int

    def __str__(self) -> str:
        return f"{self.task_id}/{self.token}/{self.step_id}/{self.try_number}"


class StartStep(msgspec.Struct, frozen=True, kw_only=True):
    """Perform a try; its start is on disk. Tell the end with `NodeCore.step_ended`."""

    key: TryKey
    recipe: str
    """Name of the workflow that has the step: that of the run, or one that it calls."""
    use: str
    provider: str = ""
    """Plug-in that performs the step, ``name@digest``; empty = the node itself."""
    arguments: dict[str, Any]
    timeout_s: float
    act_until_s: float
    """Monotonic time after which no device command may begin, whatever happens."""
    on_device: bool
    sensitive: bool = False
    """No picture may be taken while it runs."""
    device_serial: str
    run_id: str
    trace_id: str
    content_id: str
    files: list[FilePin] = []
    """Stored files that its task may ask for."""


class CancelStep(msgspec.Struct, frozen=True):
    """Cancel a try that was started; its end is still told. One that has ended: nothing."""

    key: TryKey


class StepEnded(msgspec.Struct, frozen=True, kw_only=True):
    """How a try ended."""

    key: TryKey
    outputs: dict[str, Any] = {}
    failure: Failure | None = None
    """None = passed."""
    unobserved: bool = False
    """A device command had begun and its end was not seen: it may or may not have taken effect."""


class DropTaskFiles(msgspec.Struct, frozen=True):
    """The attempt has ended: remove the files its steps made and that were not spooled."""

    task_id: str
    token: Token


class ReadHealth(msgspec.Struct, frozen=True):
    """Read how a device is, beside whatever runs on it; tell it with `NodeCore.health_read`."""

    serial: str


class Level(enum.IntEnum):
    """Levels of log lines, with the numbers of the standard library."""

    INFO = 20
    WARNING = 30
    ERROR = 40


class Log(msgspec.Struct, frozen=True):
    """Write a log line; `fields` are ids of what it is about."""

    level: Level
    message: str
    fields: dict[str, str] = {}


class ReloadOutbox(msgspec.Struct, frozen=True):
    """A new incarnation of the outbox is on disk: load the file and call `NodeCore.renewed`."""


class StopNode(msgspec.Struct, frozen=True):
    """Exit with this code; the sentence is for a person."""

    reason: str
    exit_code: int


NodeEffect = (
    OpenSocket
    | SendFrame
    | ReadFacts
    | StartStep
    | CancelStep
    | DropTaskFiles
    | ReadHealth
    | Log
    | ReloadOutbox
    | StopNode
)


class Changes(msgspec.Struct, frozen=True):
    """What follows from one event: the ops durably and as one, then the effects in order."""

    ops: list[OutboxOp] = []
    effects: list[NodeEffect] = []


class HostNumbers(msgspec.Struct, frozen=True):
    """A sample of the host."""

    cpu_percent: float
    memory_percent: float
    rss_bytes: int


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the core must know of its process."""

    node_id: str
    host: str
    pid: int
    version: str
    started_at_ms: int
    slots: int
    tags: list[str] = []
    capabilities: list[str] = []
    disk_reserve_bytes: int = DISK_RESERVE_MB * 1024 * 1024
    """With less free no task starts."""
    wire: WireVersions = SPOKEN


class Decision:
    """Collects what follows from one event while it is decided."""

    __slots__ = ("effects", "ops")

    def __init__(self) -> None:
        self.ops: list[OutboxOp] = []
        """Facts in it have seq 0 until the stream gives them their place."""
        self.effects: list[NodeEffect] = []
