"""`doai devices`: a state that nobody vouches for is not shown as if it were so."""

from typing import Any

import pytest

from doai.cli import show
from doai.cli.fleet import devices, nodes
from doai.cli.main import make_parser

DEVICE = {
    "serial": "A1",
    "state": "online",
    "nodeId": "node-1",
    "proven": True,
    "proofs": {"link": {"atMs": 1_763_712_000_000}, "adb": None, "answer": None},
    "service": "in_service",
    "quarantine": None,
    "usbPath": "1-4.2",
    "description": {"label": "", "shelf": "", "notes": "", "tags": [], "groups": []},
}


class Listing:
    """Answers every list with the same devices."""

    def __init__(self, *items: dict[str, Any]) -> None:
        self._items = items

    def items(self, path: str, **query: object) -> list[dict[str, Any]]:
        assert path in ("/devices", "/nodes")
        return list(self._items)

    def url(self, path: str, **query: object) -> str:
        return f"http://here{path}"


def shown(capsys: pytest.CaptureFixture[str], *items: dict[str, Any]) -> str:
    devices(Listing(*items), make_parser().parse_args(["devices", "list"]))  # type: ignore[arg-type]
    return " ".join(capsys.readouterr().out.split())


def test_a_proven_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert "A1 online" in shown(capsys, DEVICE)


def test_a_device_of_a_silent_node(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, {**DEVICE, "proven": False})
    assert f"not proven since {show.when(1_763_712_000_000)}" in out
    assert "online" not in out


def test_a_device_that_never_was_proven(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, {**DEVICE, "proven": False, "proofs": {"link": {"atMs": None}}})
    assert "A1 not proven " in out


def test_slots_in_use_are_the_tasks_that_run_now_and_not_those_of_the_last_heartbeat(
    capsys: pytest.CaptureFixture[str],
) -> None:
    node = {"nodeId": "n1", "state": "online", "slots": 20, "running": 3, "sample": {"running": 20}}
    nodes(Listing(node), make_parser().parse_args(["nodes", "list"]))  # type: ignore[arg-type]
    assert "3/20" in capsys.readouterr().out
