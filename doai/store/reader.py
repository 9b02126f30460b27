"""What people and programs may know of the store, read beside its writer: the admin's side (step 14).

Lists come in pages. Newest first, but the tasks of one run, which keep their order. A cursor is the key of the
last item; treat it as opaque. All methods raise StoreUnavailable (HTTP 503) when the store can not be read, and
UserError for a limit outside 1 .. limits.EVENTS_PAGE_MAX.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from doai import limits
from doai.changes.rows import (
    ArtifactRow,
    EnrolmentRow,
    FileRow,
    KeyRow,
    RunRow,
    SampleRow,
    SecretRow,
    TaskRow,
    TokenRow,
    WorkflowRow,
)
from doai.changes.statistics import Period, StatisticsRow
from doai.errors import UserError
from doai.states import DeviceState, RunState, TaskState
from doai.store import columns, statistics_columns
from doai.store.artifact_reader import ArtifactNames
from doai.store.audit_reader import AuditReader
from doai.store.bot_reader import BotReader
from doai.store.campaign_reader import CampaignReader
from doai.store.cause_reader import CauseReader
from doai.store.dead_letter_reader import DeadLetterReader
from doai.store.device_reader import DeviceFilter, DeviceReader
from doai.store.event_reader import NewestEvents, event_views
from doai.store.incident_reader import IncidentReader
from doai.store.outlook_reader import OutlookReader
from doai.store.overview_reader import OverviewReader
from doai.store.people_reader import PeopleReader
from doai.store.play_reader import PlayReader
from doai.store.proofs import newest_samples, sample_row
from doai.store.queue_reader import QueueReader
from doai.store.read_connections import Question, ReadConnections
from doai.store.sample_reader import SampleReader
from doai.store.sql_files import load_statements
from doai.store.task_reader import TaskFilter, TaskReader
from doai.store.views import DeviceView, EventPage, EventView, LineView, NodeView, Page, RunView, TaskView
from doai.topics import matches, task_subject

_RowT = TypeVar("_RowT")

_SCAN_MAX: Final = 50_000
"""Positions of the log that one page of events looks through at most; some 30 ms."""

# Literally as in the schema: SQLite uses a partial index only where the question contains its condition.
_OPEN_RUN: Final = "state IN ('active', 'cancelling')"

Filters = list[tuple[str, Any]]
"""Conditions with one parameter each; a parameter None means that the filter is not wanted."""


class StoreReader:
    """Answers questions about the broker's store; use it in one asyncio loop, close it at the end."""

    def __init__(self, path: Path, *, read_max_s: float = limits.READ_MAX_S) -> None:
        self._connections = ReadConnections(path, read_max_s=read_max_s)
        self._sql = load_statements("broker", "columns", "queries")
        self.campaigns = CampaignReader(self._connections, self._sql)
        self.dead_letters = DeadLetterReader(self._connections, self._sql)
        self.audit = AuditReader(self._connections, self._sql)
        """Who changed what."""
        self.incidents = IncidentReader(self._connections, self._sql)
        self.outlook = OutlookReader(self._connections, self._sql)
        """How long runs may still take."""
        self.newest_events = NewestEvents(self._connections, self._sql)
        self.overview = OverviewReader(self._connections, self._sql)
        self.people = PeopleReader(self._connections, self._sql)
        self.plays = PlayReader(self._connections, self._sql)
        self.queues = QueueReader(self._connections, self._sql)
        self.bots = BotReader(self._connections, self._sql)
        self.artifact_names = ArtifactNames(self._connections, self._sql)
        self.causes = CauseReader(self._connections, self._sql)
        self.device_samples = SampleReader(self._connections, self._sql)
        self.task_lists = TaskReader(self._connections, self._sql)
        """Tasks by filters."""
        self.fleet = DeviceReader(self._connections, self._sql)
        """Devices by filters."""

    async def close(self) -> None:
        await self._connections.close()

    async def last_position(self) -> int:
        """Return the newest position of the event log; 0 = it is empty."""
        [[(position,)]] = await self._connections.ask((self._sql["last_position"], ()))
        return int(position)

    async def statistics(self, period: Period, begin_ms: int, end_ms: int) -> list[StatisticsRow]:
        """Return the rows that began in [begin_ms, end_ms), by time and queue; rows of the same both add up."""
        bindings = (period.value, begin_ms, end_ms)
        [answer] = await self._connections.ask((self._sql["statistics"], bindings))
        return [statistics_columns.statistics_row(c) for c in answer]

    # --- runs and tasks -------------------------------------------------------------------------------------

    async def runs(
        self,
        *,
        state: RunState | None = None,
        workflow: str | None = None,
        campaign: str | None = None,
        project: str | None = None,
        is_open: bool = False,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[RunView]:
        limit = _checked(limit)
        filters: Filters = [
            ("state = ?", state.value if state else None),
            ("workflow = ?", workflow),
            ("campaign <> '' AND campaign = ?", campaign or None),
            ("project <> '' AND project = ?", project or None),
            ("run_id < ?", cursor),
        ]
        fixed = [_OPEN_RUN] if is_open or state not in (None, RunState.COMPLETED) else []
        [answer] = await self._connections.ask(self._list("runs", filters, fixed, "run_id DESC", limit + 1))
        page = _page([columns.run_row(c) for c in answer], limit, lambda row: row.run_id)
        # Counting a large run takes a while, so each is a transaction of its own.
        return Page([await self._with_counts(row) for row in page.items], page.next_cursor)

    async def run(self, run_id: str) -> RunView | None:
        [answer] = await self._connections.ask(self._list("runs", [("run_id = ?", run_id)], [], "run_id", 1))
        return await self._with_counts(columns.run_row(answer[0])) if answer else None

    async def tasks(
        self,
        *,
        run_id: str | None = None,
        state: TaskState | None = None,
        device: str | None = None,
        node: str | None = None,
        queue: str | None = None,
        code: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[TaskRow]:
        """Return tasks of one run by id, else the newest first; see `TaskReader`, which knows more filters."""
        states = (state,) if state is not None else ()
        which = TaskFilter(states=states, run_id=run_id, device=device, node=node, queue=queue, code=code)
        return await self.task_lists.page(which, cursor=cursor, limit=limit)

    async def task(self, task_id: str) -> TaskView | None:
        [answer, attempts] = await self._connections.ask(
            self._list("tasks", [("task_id = ?", task_id)], [], "task_id", 1),
            (self._sql["attempts_of_task"], (task_id,)),
        )
        if not answer:
            return None
        return TaskView(row=columns.task_row(answer[0]), attempts=[columns.attempt_row(c) for c in attempts])

    async def line(self, row: TaskRow) -> LineView:
        """Return what an open task stands behind: in the FIFO of its device or, unbound, in the pool of its run."""
        status = row.status
        bindings = {
            "device": status.device_serial,
            "queue": row.queue,
            "priority": row.priority,
            "fifo_order": status.order,
            "run_id": row.run_id,
            "task_id": row.task_id,
        }
        ahead = "ahead_in_run" if status.device_serial is None else "ahead_on_device"
        questions = [(self._sql[name], bindings) for name in (ahead, "held_on_device", "held_by_node_of_device")]
        [[(before,)], held, [(node_held,)]] = await self._connections.ask(*questions)
        return LineView(ahead=int(before), held=[columns.task_row(c) for c in held], node_held=int(node_held))

    # --- events ---------------------------------------------------------------------------------------------

    async def events(
        self, *, after: int = 0, subject: str | None = None, pattern: str | None = None, limit: int = 100
    ) -> EventPage:
        """Return events behind a position, oldest first; ``pattern`` is one of doai.topics (``task.*``, ``**``).

        A page may hold fewer than ``limit`` although more follow: go on at its ``next_after``.
        """
        limit = _checked(limit)
        until = None if subject else after + _SCAN_MAX
        glob = None if pattern is None else pattern.replace("**", "*")  # GLOB's * takes dots too: matches() decides
        filters: Filters = [
            ("position > ?", after),
            ("position <= ?", until),
            ("subject = ?", subject),
            ("type GLOB ?", glob),
        ]
        question = self._list("events", filters, [], "position", limit)
        return await self._event_page(question, after=after, until=until, pattern=pattern, limit=limit)

    async def story_of_run(self, run_id: str, *, after: int = 0, limit: int = 500) -> EventPage:
        """Return the events of a run and of all its tasks, by position."""
        limit = _checked(limit)
        question = (self._sql["story_of_run"], {"run_id": run_id, "after": after, "limit": limit})
        return await self._event_page(question, after=after, until=None, pattern=None, limit=limit)

    async def steps_of_run(
        self, run_id: str, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[EventView], str | None]:
        """Return what the steps of a run's next ``limit`` tasks told, by position, and the cursor of further tasks.

        With them come the starts of the attempts (``task.started``), which say which attempt a token was.
        """
        page = await self.tasks(run_id=run_id, cursor=cursor, limit=limit)
        subjects = json.dumps([task_subject(row.task_id) for row in page.items])
        [answer] = await self._connections.ask((self._sql["steps_of_tasks"], {"subjects": subjects}))
        return event_views(answer), page.next_cursor

    # --- the fleet ------------------------------------------------------------------------------------------

    async def devices(self, *, state: DeviceState | None = None, node: str | None = None) -> list[DeviceView]:
        """Return all devices by serial: a store has thousands at most."""
        which = DeviceFilter(state=state.value if state else "", node=node or "")
        return (await self.fleet.page(which, 0)).items

    async def device(self, serial: str) -> DeviceView | None:
        """Return one device."""
        found = (await self.fleet.page(DeviceFilter(serials=(serial,)), 0)).items
        return found[0] if found else None

    async def nodes(self) -> list[NodeView]:
        """Return all nodes by id."""
        question = self._list("nodes", [], [], "node_id", None)
        [answer, samples] = await self._connections.ask(question, (self._sql["samples"], ()))
        newest = newest_samples(samples)
        rows = [columns.node_row(c) for c in answer]
        return [NodeView(row=row, sample=newest.get(row.node_id)) for row in rows]

    async def node(self, node_id: str) -> NodeView | None:
        return next((view for view in await self.nodes() if view.row.node_id == node_id), None)

    async def samples(self) -> list[SampleRow]:
        """Return the newest heartbeat of every peer that sent one, bots too."""
        [answer] = await self._connections.ask((self._sql["samples"], ()))
        return [sample_row(c) for c in answer]

    # --- workflows, artifacts, keys -------------------------------------------------------------------------

    async def workflows(self, name: str | None = None) -> list[WorkflowRow]:
        """Return all versions, by name and version; none that is stored linked for runs (``name/version``)."""
        fixed = ["instr(name, '/') = 0"]
        [answer] = await self._connections.ask(
            self._list("workflows", [("name = ?", name)], fixed, "name, version", None)
        )
        return [columns.workflow_row(c) for c in answer]

    async def workflow(
        self, name: str | None = None, version: int | None = None, *, content_hash: str | None = None
    ) -> WorkflowRow | None:
        """Return one version, or the newest active one; or the recipe of a run, by its hash."""
        fixed = ["state = 'active'"] if version is None and content_hash is None else []
        filters: Filters = [("name = ?", name), ("version = ?", version), ("content_hash = ?", content_hash)]
        [answer] = await self._connections.ask(self._list("workflows", filters, fixed, "version DESC", 1))
        return columns.workflow_row(answer[0]) if answer else None

    async def artifacts(
        self, *, run_id: str, task_id: str | None = None, cursor: str | None = None, limit: int = 100
    ) -> Page[ArtifactRow]:
        """Return the files of a run, or of one task of it, by path."""
        limit = _checked(limit)
        filters: Filters = [("run_id = ?", run_id), ("task_id = ?", task_id), ("+path > ?", cursor)]
        [answer] = await self._connections.ask(self._list("artifacts", filters, [], "path", limit + 1))
        return _page([columns.artifact_row(c) for c in answer], limit, lambda row: row.path)

    async def artifact(self, path: str) -> ArtifactRow | None:
        [answer] = await self._connections.ask(self._list("artifacts", [("path = ?", path)], [], "path", 1))
        return columns.artifact_row(answer[0]) if answer else None

    async def files(
        self, *, name: str | None = None, version: str | None = None, sha256: str | None = None
    ) -> list[FileRow]:
        """Return all files that are stored, by position: of a name the last is the newest."""
        filters: Filters = [("name = ?", name), ("version = ?", version), ("sha256 = ?", sha256)]
        [answer] = await self._connections.ask(self._list("files", filters, [], "position", None))
        return [columns.file_row(c) for c in answer]

    async def key(self, name: str) -> KeyRow | None:
        """Return the key of a name, revoked or not."""
        [answer] = await self._connections.ask((self._sql["key"], (name,)))
        return columns.key_row(answer[0]) if answer else None

    async def keys(self) -> list[KeyRow]:
        [answer] = await self._connections.ask((self._sql["keys"], ()))
        return [columns.key_row(c) for c in answer]

    async def enrolments(self) -> list[EnrolmentRow]:
        """Return the newest enrolment of every node that has one, by name."""
        [answer] = await self._connections.ask((self._sql["enrolments"], ()))
        return [columns.enrolment_row(c) for c in answer]

    async def secrets(self) -> list[SecretRow]:
        """Return all secrets as they are encrypted, by name."""
        [answer] = await self._connections.ask((self._sql["secrets"], ()))
        return [columns.secret_row(c) for c in answer]

    async def token(self, token_sha256: str) -> TokenRow | None:
        """Return the API token with this hash; one that is not revoked before one that is."""
        [answer] = await self._connections.ask((self._sql["token"], (token_sha256,)))
        return columns.token_row(answer[0]) if answer else None

    async def tokens(self) -> list[TokenRow]:
        [answer] = await self._connections.ask((self._sql["tokens"], ()))
        return [columns.token_row(c) for c in answer]

    # --- how questions are put ------------------------------------------------------------------------------

    def _list(self, name: str, filters: Filters, fixed: list[str], order: str, limit: int | None) -> Question:
        wanted = [(condition, value) for condition, value in filters if value is not None]
        conditions = [condition for condition, _ in wanted] + fixed
        bindings = [value for _, value in wanted]
        parts = [self._sql[name]]
        if conditions:
            parts.append("WHERE " + " AND ".join(conditions))
        parts.append(f"ORDER BY {order}")
        if limit is not None:
            parts.append("LIMIT ?")
            bindings.append(limit)
        return "\n".join(parts), bindings

    async def _with_counts(self, row: RunRow) -> RunView:
        [counts] = await self._connections.ask((self._sql["run_counts"], (row.run_id,)))
        return RunView(row=row, counts={str(state): int(count) for state, count in counts})

    async def _event_page(
        self, question: Question, *, after: int, until: int | None, pattern: str | None, limit: int
    ) -> EventPage:
        [answer, [(last,)]] = await self._connections.ask(question, (self._sql["last_position"], ()))
        last_position = int(last)
        if len(answer) == limit:
            next_after = int(answer[-1][0])
        else:
            next_after = max(after, last_position if until is None else min(until, last_position))
        events = event_views(answer)
        if pattern is not None:
            events = [event for event in events if matches(pattern, event.envelope.type)]
        return EventPage(events=events, next_after=next_after, last_position=last_position)


def _page(rows: list[_RowT], limit: int, key: Callable[[_RowT], str]) -> Page[_RowT]:
    if len(rows) <= limit:
        return Page(rows, None)
    return Page(rows[:limit], key(rows[limit - 1]))


def _checked(limit: int) -> int:
    if not 1 <= limit <= limits.EVENTS_PAGE_MAX:
        raise UserError(f"a page has 1 to {limits.EVENTS_PAGE_MAX} items, not {limit}", code="bad_limit")
    return limit
