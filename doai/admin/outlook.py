"""How long a run may still take: the median of its workflow, what stands before it, slots and devices (step 14).

A device does its tasks one after the other, a node as many at once as it has slots: the run ends with the slowest
of them. A guess for people, not for programs: it knows nothing of priorities, retries, and what is asked for
meanwhile.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from doai.admin.beliefs import Beliefs
from doai.errors import StoreUnavailable
from doai.states import DeviceState, PeerState
from doai.store.outlook_reader import OpenLoad
from doai.store.reader import StoreReader

KEPT_S: Final = 2.0
"""What is open is read again after this long: a page that is drawn often must not read it each time.

A command that came here has it read again at once."""
MEDIAN_KEPT_S: Final = 15.0
WORKFLOWS_MAX: Final = 1000
RUNNING: Final = 0.5
"""Of a task that runs, half is still to be done, on the average."""


class Place(msgspec.Struct, frozen=True):
    """Where a device is: a node that is heard, and its slots."""

    node_id: str
    slots: int


def left_s(
    run_id: str, loads: Sequence[OpenLoad], median_s: Mapping[tuple[str, int], float], places: Mapping[str, Place]
) -> float | None:
    """Return how long a run may still take; None when nobody can know.

    ``places``: devices that work now, by serial. A run waits for those that were made before it (by id).
    """
    own = [load for load in loads if load.run_id == run_id]
    if not own or (own[0].workflow, own[0].version) not in median_s:
        return None
    own_s = median_s[own[0].workflow, own[0].version]
    bound = {load.device_serial for load in own if load.device_serial is not None}
    if not bound <= places.keys():
        return None
    work_s: dict[str, float] = defaultdict(float)
    pooled_s = 0.0
    for load in loads:
        if load.run_id > run_id:
            continue
        each_s = median_s.get((load.workflow, load.version), own_s)
        todo_s = each_s * (load.tasks - load.running * (1 - RUNNING))
        if load.device_serial is None:
            pooled_s += todo_s if load.run_id == run_id else 0.0
        elif load.device_serial in places:
            work_s[load.device_serial] += todo_s
    of_nodes: dict[str, float] = defaultdict(float)
    for serial, seconds in work_s.items():
        of_nodes[places[serial].node_id] += seconds
    slots = {place.node_id: place.slots for place in places.values()}
    ends_s = [work_s[serial] for serial in bound]
    ends_s += [of_nodes[node_id] / slots[node_id] for node_id in {places[serial].node_id for serial in bound}]
    if pooled_s:
        at_once = min(len(places), sum(slots.values()))
        if not at_once:
            return None
        ends_s.append(max(own_s, (pooled_s + sum(work_s.values())) / at_once))
    return max(ends_s)


class Outlooks:
    """Guesses for the runs of a page."""

    def __init__(self, reader: StoreReader) -> None:
        self._reader = reader
        self._open: Beliefs[None, tuple[list[OpenLoad], dict[str, Place]]] = Beliefs(KEPT_S)
        self._medians: Beliefs[tuple[str, int], list[float]] = Beliefs(MEDIAN_KEPT_S, kept_max=WORKFLOWS_MAX)

    async def left_s(self, run_ids: Sequence[str]) -> dict[str, float]:
        """Return how long open runs may still take, those that can be guessed."""
        try:
            loads, places = await self._open.find(None, self._look) or ([], {})
            wanted = set(run_ids)
            named = {(load.workflow, load.version) for load in loads if load.run_id in wanted}
            medians = {key: found for key in named if (found := await self._median_s(*key)) is not None}
        except StoreUnavailable:
            return {}  # a page without a guess is better than none
        guesses = [(run_id, left_s(run_id, loads, medians, places)) for run_id in run_ids]
        return {run_id: seconds for run_id, seconds in guesses if seconds is not None}

    def forget(self) -> None:
        """What is open was changed here: read it again for the next page."""
        self._open.forget()

    async def _look(self) -> tuple[list[OpenLoad], dict[str, Place]]:
        loads = await self._reader.outlook.loads()
        nodes = {
            view.row.node_id: view.row.slots
            for view in await self._reader.nodes()
            if view.row.state == PeerState.ONLINE.value
        }
        places = {
            view.row.serial: Place(view.row.node_id, max(1, nodes[view.row.node_id]))
            for view in await self._reader.devices(state=DeviceState.ONLINE)
            if view.row.node_id in nodes and view.row.quarantine is None
        }
        return loads, places

    async def _median_s(self, workflow: str, version: int) -> float | None:
        durations_s = await self._medians.find(
            (workflow, version), lambda: self._reader.outlook.durations_s(workflow, version)
        )
        return statistics.median(durations_s) if durations_s else None
