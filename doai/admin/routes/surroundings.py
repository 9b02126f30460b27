"""What is read of the store to say why a task waits (step 14)."""

from __future__ import annotations

import msgspec

from doai.admin.routes.parameters import now_ms
from doai.admin.waiting import Place, Surroundings
from doai.changes.queues import QueueRow
from doai.changes.rows import DeviceRow, TaskRow
from doai.codec import BodyDecoder
from doai.messages.commands import Selector
from doai.messages.link import Heartbeat
from doai.states import TERMINAL, TaskState
from doai.store.reader import StoreReader
from doai.store.views import NodeView, RunView
from doai.workflow.language import Requires
from doai.workflow.model import from_stored

_heartbeat = BodyDecoder(Heartbeat)


async def surroundings(reader: StoreReader, row: TaskRow) -> Surroundings | None:
    """Return what decides about an open task; None when it waits for nothing: it runs, or has ended."""
    return await Around(reader).of(row)


class Around:
    """Reads what decides about open tasks, for one answer: what several of them share is read once."""

    def __init__(self, reader: StoreReader, *runs: RunView) -> None:
        """``runs`` are known already."""
        self._reader = reader
        self._runs: dict[str, RunView | None] = {view.row.run_id: view for view in runs}
        self._nodes: dict[str, NodeView] | None = None
        self._queues: dict[str, QueueRow] | None = None
        self._places: list[Place] | None = None
        self._requires: dict[str, Requires | None] = {}

    async def of(self, row: TaskRow) -> Surroundings | None:
        """Return what decides about a task; None when it waits for nothing: it runs, or has ended."""
        status = row.status
        if status.state in TERMINAL or status.state is TaskState.RUNNING:
            return None
        line = await self._reader.line(row)
        if self._queues is None:
            self._queues = {queue.name: queue for queue in await self._reader.queues.all()}
        around = Surroundings(
            now_ms=now_ms(),
            ahead=line.ahead,
            held=line.held,
            node_held=line.node_held,
            queue=self._queues.get(row.queue),
            run=await self._run_of(row) if status.state is TaskState.QUEUED else None,
        )
        if status.device_serial is not None:
            device = await self._reader.device(status.device_serial)
            place = _place(device.row, await self._all_nodes()) if device is not None else None
            return msgspec.structs.replace(around, place=place)
        return msgspec.structs.replace(
            around,
            places=await self._all_places(),
            selector=msgspec.json.decode(row.selector_body, type=Selector) if row.selector_body else None,
            requires=await self._requires_of(row),
        )

    async def _all_nodes(self) -> dict[str, NodeView]:
        if self._nodes is None:
            self._nodes = {view.row.node_id: view for view in await self._reader.nodes()}
        return self._nodes

    async def _all_places(self) -> list[Place]:
        if self._places is None:
            nodes = await self._all_nodes()
            self._places = [_place(view.row, nodes) for view in await self._reader.devices()]
        return self._places

    async def _run_of(self, row: TaskRow) -> RunView | None:
        if row.run_id not in self._runs:
            self._runs[row.run_id] = await self._reader.run(row.run_id)
        return self._runs[row.run_id]

    async def _requires_of(self, row: TaskRow) -> Requires | None:
        if row.run_id not in self._requires:
            run = await self._run_of(row)
            workflow = await self._reader.workflow(run.row.workflow, run.row.version) if run is not None else None
            self._requires[row.run_id] = from_stored(workflow.body).requires if workflow is not None else None
        return self._requires[row.run_id]


def _place(device: DeviceRow, nodes: dict[str, NodeView]) -> Place:
    node = nodes.get(device.node_id)
    if node is None:
        return Place(device=device, node=None)
    closed = ""
    if node.sample is not None:
        heartbeat: Heartbeat = _heartbeat(node.sample.body)
        closed = heartbeat.intake_closed
    return Place(device=device, node=node.row, intake_closed=closed)
