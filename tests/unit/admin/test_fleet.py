"""How a device is seen is one word everywhere: numbers of the overview, lists of API and pages, the flag."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any, get_args

import pytest

from doai.admin import task_lists
from doai.admin.dashboard.devices import STATES
from doai.admin.logcats import Logcats
from doai.admin.routes.fleet import Seen, list_devices
from doai.admin.routes.logcats import read_logcat
from doai.admin.routes.samples import list_samples
from doai.admin.routes.screens import look
from doai.admin.screens import Screens
from doai.changes import ops
from doai.changes.rows import DeviceRow, NodeRow
from doai.cli.main import make_parser
from doai.errors import NotFoundError
from doai.states import DeviceState
from doai.store.process_writer import open_process_writer
from doai.store.reader import StoreReader
from tests.unit.store.test_reader import read


def node(node_id: str, state: str) -> NodeRow:
    return NodeRow(
        node_id=node_id, host="h", version="1", slots=20, capabilities=[], started_at_ms=1, first_seen_at_ms=1,
        connected_at_ms=1, state=state, state_reason="", changed_at_ms=1,
    )  # fmt: skip


def device(serial: str, node_id: str, state: DeviceState) -> DeviceRow:
    return DeviceRow(
        serial=serial, node_id=node_id, state=state, reason="", driver="adb", connection="usb", model="m",
        manufacturer="m", sdk=30, android="11", screen_width=1, screen_height=2, tags=[], first_seen_at_ms=1,
        changed_at_ms=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "broker.db"
    writer = open_process_writer(path, new_store_id="S", now_ms=1)
    writer.commit([ops.PutNode(node("heard", "online")), ops.PutNode(node("lost", "offline"))])
    rows = [device("A1", "heard", DeviceState.ONLINE), device("A2", "heard", DeviceState.OFFLINE)]
    rows += [device(f"B{n}", "lost", DeviceState.ONLINE) for n in range(3)]
    writer.commit([ops.PutDevice(row) for row in rows])
    writer.close()
    return path


def test_each_number_of_the_overview_is_the_length_of_the_list_of_that_state(path: Path) -> None:
    async def look(reader: StoreReader) -> tuple[dict[str, int], dict[str, list[str]]]:
        services: Any = types.SimpleNamespace(reader=reader)
        pages = {state: await list_devices.fn(services, wanted=state) for state in STATES}
        found = {state: [item.serial for item in page.items] for state, page in pages.items()}
        return (await reader.overview.now()).devices, found

    counted, listed = read(path, look)
    assert listed == {"online": ["A1"], "unresponsive": [], "unauthorized": [], "offline": ["A2"],
                      "silent": ["B0", "B1", "B2"]}  # fmt: skip
    assert counted == {state: len(serials) for state, serials in listed.items() if serials}


def test_page_api_and_command_know_the_same_states() -> None:
    assert get_args(Seen) == STATES
    assert set(get_args(task_lists.TaskWord)) == set(task_lists.STATES)
    assert get_args(task_lists.RunWord) == task_lists.RUN_STATES
    for state in STATES:
        assert make_parser().parse_args(["devices", "list", "--state", state]).state == state


@pytest.mark.parametrize("handler", [look, read_logcat, list_samples])
def test_a_mistyped_serial_is_told_the_nearest(path: Path, handler: Any) -> None:
    async def ask(reader: StoreReader) -> None:
        services = types.SimpleNamespace(reader=reader, screens=Screens(), logcats=Logcats())
        await handler.fn("b1", services, **({} if handler is list_samples else {"caller": None}))

    with pytest.raises(NotFoundError, match=r"no device 'b1'.*B1"):
        read(path, ask)
