"""Devices by filters: each filter means what a person would pick by hand, and pages follow each other."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doai.changes import ops
from doai.changes.rows import Description, DeviceRow, Hold, NodeRow, Quarantine
from doai.states import DeviceState
from doai.store.device_reader import DeviceFilter, Square, Tallies
from doai.store.process_writer import open_process_writer
from doai.store.reader import StoreReader
from tests.unit.store.test_reader import read

NOW_MS = 1_000_000
NODES = {"n1": "online", "n2": "late", "n3": "offline"}


def node(node_id: str, state: str) -> NodeRow:
    return NodeRow(
        node_id=node_id, host="h", version="1", slots=20, capabilities=[], started_at_ms=1, first_seen_at_ms=1,
        connected_at_ms=1, state=state, state_reason="", changed_at_ms=1,
    )  # fmt: skip


def quarantine(until_ms: int | None) -> Quarantine:
    return Quarantine(since_ms=1, until_ms=until_ms, reason="hot", by="broker", count=1)


def devices() -> list[DeviceRow]:
    """One device for each way in which the parts can stand, over three nodes."""
    services: list[dict[str, Any]] = [
        {},
        {"quarantine": quarantine(None)},
        {"quarantine": quarantine(NOW_MS)},
        {"quarantine": quarantine(NOW_MS + 1), "hold": Hold(since_ms=1, until_ms=2, by="user/a", reason="")},
    ]
    said = [None, Description(label="Kim's 폰", shelf="A3-12", groups=["night", "lab"], tags=["blue"])]
    found = []
    for n, (node_id, state, service, description) in enumerate(
        itertools.product(["n1", "n2", "n3", "n4"], [DeviceState.ONLINE, DeviceState.OFFLINE], services, said)
    ):
        found.append(
            DeviceRow(
                serial=f"D{n:03}",
                node_id=node_id,
                state=state,
                reason="",
                driver="adb",
                connection="usb",
                model="SM-G960N" if n % 2 else "LM-G710N",
                manufacturer="m",
                sdk=30,
                android="11",
                screen_width=1,
                screen_height=2,
                tags=["shelf1"],
                first_seen_at_ms=1,
                changed_at_ms=1,
                description=description,
                **service,
            )
        )
    return found


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "broker.db"
    writer = open_process_writer(path, new_store_id="S", now_ms=1)
    writer.commit([ops.PutNode(node(*each)) for each in NODES.items()])
    writer.commit([ops.PutDevice(row) for row in devices()])
    writer.close()
    return path


def seen(row: DeviceRow) -> str:
    return "silent" if NODES.get(row.node_id, "offline") == "offline" else row.state.value


def service(row: DeviceRow) -> str:
    if row.hold is not None:
        return "held"
    if row.quarantine is None:
        return "in_service"
    return "probing" if (row.quarantine.until_ms or NOW_MS + 1) <= NOW_MS else "quarantined"


def words(row: DeviceRow) -> str:
    said = row.description or Description()
    return " ".join(
        [row.serial, row.model, row.node_id, *row.tags, said.label, said.shelf, *said.tags, *said.groups]
    )


FILTERS = [
    *({"seen": value} for value in ("online", "offline", "silent", "nothing")),
    *({"service": value} for value in ("held", "in_service", "quarantined", "probing", "nothing")),
    {"node": "n2"},
    {"group": "night"},
    {"group": "nigh"},
    *({"text": value} for value in ("d00", "sm-g", "n3", "a3-12", "폰", "blue", "SHELF1", "kim's", "notes", "%")),
    {"seen": "online", "service": "quarantined", "group": "lab", "text": "kim"},
    {"state": "offline"},
    {},
]


@pytest.mark.parametrize(
    "given", FILTERS, ids=lambda given: ",".join(f"{k}={v}" for k, v in given.items()) or "all"
)
def test_a_filter_means_those_that_a_person_would_pick(path: Path, given: dict[str, str]) -> None:
    which = DeviceFilter(**given)
    wanted = [
        row.serial
        for row in devices()
        if (not which.seen or seen(row) == which.seen)
        and (not which.state or row.state.value == which.state)
        and (not which.service or service(row) == which.service)
        and (not which.node or row.node_id == which.node)
        and (not which.group or (row.description is not None and which.group in row.description.groups))
        and which.text.lower() in words(row).lower()
    ]

    async def look(reader: StoreReader) -> tuple[list[str], list[str], int, list[Square], Tallies]:
        pages: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await reader.fleet.page(which, NOW_MS, cursor=cursor, limit=7)
            pages += [view.row.serial for view in page.items]
            cursor = page.next_cursor
        serials = await reader.fleet.serials(which, NOW_MS, limit=1000)
        return (
            pages,
            serials,
            await reader.fleet.count(which, NOW_MS),
            await reader.fleet.squares(which, NOW_MS, limit=1000),
            await reader.fleet.tallies(which, NOW_MS),
        )

    pages, serials, count, squares, tallies = read(path, look)
    assert pages == serials == wanted
    assert count == len(wanted)
    by_serial = {row.serial: row for row in devices()}
    assert [square.serial for square in squares] == wanted
    for square in squares:
        row = by_serial[square.serial]
        label = (row.description or Description()).label
        assert (square.label, square.seen, square.node_id) == (label, seen(row), row.node_id)
        by, why = ("user/a", "") if row.hold else ("broker", "hot") if row.quarantine else ("", "")
        assert (square.service, square.by, square.why) == (service(row), by, why)
    assert tallies.seen == Counter(seen(by_serial[serial]) for serial in wanted)
    assert tallies.service == Counter(service(by_serial[serial]) for serial in wanted)


def test_what_can_be_filtered_by_is_what_there_is(path: Path) -> None:
    facets = read(path, lambda reader: reader.fleet.facets())
    assert facets.nodes == dict.fromkeys(["n1", "n2", "n3", "n4"], 16)
    assert facets.groups == ["lab", "night"]
    picked = DeviceFilter(serials=("D001", "nobody", "D003"))
    page = read(path, lambda reader: reader.fleet.page(picked, NOW_MS))
    assert [view.row.serial for view in page.items] == ["D001", "D003"]
    assert msgspec.structs.asdict(page)["next_cursor"] is None
