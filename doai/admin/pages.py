"""Parts of lists as the API answers them: items, and the cursor of what follows (step 14)."""

from __future__ import annotations

from doai.admin.views import (
    ArtifactJson,
    DeviceJson,
    EventJson,
    FileJson,
    KeyJson,
    NodeJson,
    RunJson,
    StepJson,
    TaskJson,
    TokenJson,
    View,
    WorkflowJson,
)


class RunPage(View, frozen=True, kw_only=True):
    """Part of the runs, newest first; ``next`` is the cursor of what follows, null at the end."""

    items: list[RunJson]
    next: str | None


class TaskPage(View, frozen=True, kw_only=True):
    """Part of the tasks: of one run by id, else newest first."""

    items: list[TaskJson]
    next: str | None


class StepPage(View, frozen=True, kw_only=True):
    """Steps of part of a run's tasks, in the order in which they began; all of a task are in one part."""

    items: list[StepJson]
    next: str | None


class EventPage(View, frozen=True, kw_only=True):
    """Part of the event log, oldest first."""

    items: list[EventJson]
    next: str | None
    """Cursor of what follows; null when the end was reached."""
    after: int
    """Everything up to this position was looked at: a stream or a later request goes on here."""
    last_position: int


class StoryPage(EventPage, frozen=True, kw_only=True):
    """Part of the story of a task, a run, or a device."""

    now: str | None
    """At the end of the story: one sentence on what it waits for or why it is held; null when it does not."""


class DevicePage(View, frozen=True, kw_only=True):
    """Part of the devices, by serial."""

    items: list[DeviceJson]
    next: str | None


class NodePage(View, frozen=True, kw_only=True):
    """Part of the nodes, by id."""

    items: list[NodeJson]
    next: str | None


class WorkflowPage(View, frozen=True, kw_only=True):
    """Part of the workflows, by name: of each the version that a bare name means, or the newest."""

    items: list[WorkflowJson]
    next: str | None


class ArtifactPage(View, frozen=True, kw_only=True):
    """Part of the stored files, by path."""

    items: list[ArtifactJson]
    next: str | None


class FilePage(View, frozen=True, kw_only=True):
    """Part of the files for phones, by name; versions of a name in the order in which they were put."""

    items: list[FileJson]
    next: str | None


class KeyPage(View, frozen=True, kw_only=True):
    """The keys, by name, revoked ones too."""

    items: list[KeyJson]
    next: str | None


class TokenPage(View, frozen=True, kw_only=True):
    """The tokens, by name, revoked ones too."""

    items: list[TokenJson]
    next: str | None
