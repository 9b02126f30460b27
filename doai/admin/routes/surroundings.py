"""What is read of the store to say why a task waits (step 14)."""

from __future__ import annotations

import msgspec

from doai.admin.routes.parameters import now_ms
from doai.admin.waiting import Place, Surroundings
from doai.changes.rows import DeviceRow, TaskRow
from doai.codec import BodyDecoder
from doai.messages.commands import Selector
from doai.messages.link import Heartbeat
from doai.states import TERMINAL, TaskState
from doai.store.reader import StoreReader
from doai.store.views import NodeView
from doai.workflow.language import Requires
from doai.workflow.model import from_stored

_heartbeat = BodyDecoder(Heartbeat)


async def surroundings(reader: StoreReader, row: TaskRow) -> Surroundings | None:
    """Return what decides about an open task; None when it has ended."""
    status = row.status
    if status.state in TERMINAL:
        return None
    line = await reader.line(row)
    nodes = {view.row.node_id: view for view in await reader.nodes()}
    queue = await reader.queues.one(row.queue)
    around = Surroundings(now_ms=now_ms(), ahead=line.ahead, held=line.held, node_held=line.node_held, queue=queue)
    if status.state is TaskState.QUEUED:
        around = msgspec.structs.replace(around, run=await reader.run(row.run_id))
    if status.device_serial is not None:
        device = await reader.device(status.device_serial)
        place = _place(device.row, nodes) if device is not None else None
        return msgspec.structs.replace(around, place=place)
    return msgspec.structs.replace(
        around,
        places=[_place(view.row, nodes) for view in await reader.devices()],
        selector=msgspec.json.decode(row.selector_body, type=Selector) if row.selector_body else None,
        requires=await _requires(reader, row.run_id),
    )


def _place(device: DeviceRow, nodes: dict[str, NodeView]) -> Place:
    node = nodes.get(device.node_id)
    if node is None:
        return Place(device=device, node=None)
    closed = ""
    if node.sample is not None:
        heartbeat: Heartbeat = _heartbeat(node.sample.body)
        closed = heartbeat.intake_closed
    return Place(device=device, node=node.row, intake_closed=closed)


async def _requires(reader: StoreReader, run_id: str) -> Requires | None:
    run = await reader.run(run_id)
    workflow = await reader.workflow(run.row.workflow, run.row.version) if run is not None else None
    return from_stored(workflow.body).requires if workflow is not None else None
