"""Questions about devices: pages of those that filters mean, with their newest proofs (step 14)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from doai.states import PeerState
from doai.store import columns
from doai.store.proofs import age, newest_proofs
from doai.store.read_connections import Answer, ReadConnections
from doai.store.views import DeviceView, Page

SILENT: Final = "silent"
"""How a device is seen whose node is not heard: what the node said last is no knowledge of now."""
HELD: Final = "held"


class DeviceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which devices: all that is given holds; what is empty is not asked for."""

    serials: tuple[str, ...] = ()
    state: str = ""
    """As its node said last."""
    seen: str = ""
    """The same, or ``silent``."""
    service: str = ""
    """``held``, or of one that is not held: in_service, quarantined, probing."""
    node: str = ""
    group: str = ""
    text: str = ""
    """Part of serial, model, node, label, shelf, a tag or a group, in any case."""


class Square(msgspec.Struct, frozen=True, kw_only=True):
    """A device as the map shows it."""

    serial: str
    label: str
    seen: str
    """Its state, or ``silent``."""
    node_id: str
    service: str
    """held, in_service, quarantined or probing."""
    by: str
    """Who holds it, or who took it out of service; empty in service."""
    why: str


class Facets(msgspec.Struct, frozen=True, kw_only=True):
    """What can be filtered by."""

    nodes: dict[str, int]
    """Node -> how many devices it has."""
    groups: list[str]


class Tallies(msgspec.Struct, frozen=True, kw_only=True):
    """How many devices there are: each is counted once in each; what is not there is not named."""

    seen: dict[str, int]
    service: dict[str, int]


class DeviceReader:
    """Answers questions about devices, over the connections of a `StoreReader`."""

    def __init__(self, connections: ReadConnections, sql: Mapping[str, str]) -> None:
        self._connections = connections
        self._sql = sql

    async def page(
        self, which: DeviceFilter, now_ms: int, *, cursor: str = "", limit: int | None = None
    ) -> Page[DeviceView]:
        """Return those that are meant, by serial; ``limit`` None = all."""
        condition, bindings = self._condition(which, now_ms)
        [rows, samples, nodes, tasks] = await self._connections.ask(
            (
                f"{self._sql['devices_seen']} WHERE serial > ? AND {condition} ORDER BY serial LIMIT ?",
                [cursor, *bindings, -1 if limit is None else limit + 1],
            ),
            *((self._sql[name], ()) for name in ("samples", "node_states", "tasks_of_held_devices")),
        )
        views = _views(rows if limit is None else rows[:limit], samples, nodes, tasks)
        return Page(views, views[-1].row.serial if limit is not None and len(rows) > limit else None)

    async def count(self, which: DeviceFilter, now_ms: int) -> int:
        """Return how many are meant."""
        condition, bindings = self._condition(which, now_ms)
        [[(count,)]] = await self._connections.ask(
            (f"{self._sql['count_devices_seen']} WHERE {condition}", bindings)
        )
        return int(count)

    async def serials(self, which: DeviceFilter, now_ms: int, *, limit: int) -> list[str]:
        """Return the serials of those that are meant."""
        return [row[0] for row in await self._columns("device_serials", which, now_ms, limit)]

    async def squares(self, which: DeviceFilter, now_ms: int, *, limit: int) -> list[Square]:
        """Return those that are meant, by serial."""
        rows = await self._columns("device_squares", which, now_ms, limit, given=(now_ms + 1,))
        return [
            Square(
                serial=serial,
                label=label or "",
                seen=seen,
                node_id=node_id,
                service=service,
                by=by or "",
                why=why or "",
            )
            for serial, label, seen, node_id, service, by, why in rows
        ]

    async def tallies(self, which: DeviceFilter, now_ms: int) -> Tallies:
        """Return how many of those that are meant there are of each state and each service."""
        condition, bindings = self._condition(which, now_ms)
        [rows] = await self._connections.ask(
            (
                f"{self._sql['device_tallies']} WHERE {condition} GROUP BY 1, 2",
                [now_ms + 1, *bindings],
            )
        )
        seen: dict[str, int] = {}
        service: dict[str, int] = {}
        for state, standing, count in rows:
            seen[state] = seen.get(state, 0) + count
            service[standing] = service.get(standing, 0) + count
        return Tallies(seen=seen, service=service)

    async def facets(self) -> Facets:
        """Return the nodes and groups that there are."""
        nodes, groups = await self._connections.ask(
            (self._sql["devices_of_nodes"], ()), (self._sql["device_groups"], ())
        )
        return Facets(
            nodes={str(node): int(count) for node, count in nodes}, groups=[str(group) for (group,) in groups]
        )

    async def _columns(
        self, name: str, which: DeviceFilter, now_ms: int, limit: int, *, given: tuple[int, ...] = ()
    ) -> Answer:
        """Return what a statement selects of those that are meant; ``given``: its parameters."""
        condition, bindings = self._condition(which, now_ms)
        text = f"{self._sql[name]} WHERE {condition} ORDER BY serial LIMIT ?"
        [rows] = await self._connections.ask((text, [*given, *bindings, limit]))
        return rows

    def _condition(self, which: DeviceFilter, now_ms: int) -> tuple[str, list[Any]]:
        """Return the condition over ``devices AS d`` and its parameters."""
        parts: list[str] = ["1"]
        bindings: list[Any] = []
        if which.serials:
            parts.append("serial IN (SELECT value FROM json_each(?))")
            bindings.append(msgspec.json.encode(which.serials).decode())
        for column, value in (
            ("state", which.state),
            (self._sql["device_seen"], which.seen),
            ("node_id", which.node),
        ):
            if value:
                parts.append(f"{column} = ?")
                bindings.append(value)
        if which.service:
            parts.append(f"{self._sql['device_service']} = ?")
            bindings += [now_ms + 1, which.service]
        if which.group:
            parts.append("EXISTS (SELECT 1 FROM json_each(d.description, '$.groups') WHERE value = ?)")
            bindings.append(which.group)
        if which.text:
            parts.append(_TEXT)
            bindings.append(which.text)
        return " AND ".join(parts), bindings


_SAID: Final = [
    f"coalesce(json_extract(description, '$.{name}'), '')" for name in ("label", "shelf", "tags", "groups")
]
_WORDS: Final = " || char(10) || ".join(["serial", "model", "node_id", "tags", *_SAID])
_TEXT: Final = f"instr(lower({_WORDS}), lower(?)) > 0"


def _views(rows: Answer, samples: Answer, nodes: Answer, tasks: Answer) -> list[DeviceView]:
    devices = [columns.device_row(c) for c in rows]
    states = {node_id: PeerState(state) for node_id, state in nodes}
    tasks_held: dict[str, int] = dict(tasks)
    proofs = newest_proofs(samples, {row.node_id for row in devices})
    views = []
    for row in devices:
        proof_at_ms, proof = proofs.get((row.node_id, row.serial), (None, None))
        views.append(
            DeviceView(
                row=row,
                node_state=states.get(row.node_id, PeerState.OFFLINE),
                proof_at_ms=proof_at_ms,
                adb_age_s=age(proof.adb_age_s) if proof else None,
                answer_age_s=age(proof.answer_age_s) if proof else None,
                tasks_held=tasks_held.get(row.serial, 0),
            )
        )
    return views
