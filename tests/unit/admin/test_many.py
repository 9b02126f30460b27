"""One deed on many devices: each has a command and a key of its own, and one that is refused holds none up."""

from __future__ import annotations

import re
import types
from typing import Any

import pytest

from doai.admin.dashboard import many
from doai.admin.mesh import BrokerUnavailable
from doai.admin.problems import CommandRefused
from doai.changes.rows import Description
from doai.errors import Fault, UserError
from doai.messages.commands import DescribeDevices, DeviceDescription, Problem, StoreWorkflow
from doai.messages.holds import HoldDevice
from doai.workflow.model import parse_workflow, to_stored
from doai.workflow.rules import Recipe
from doai.workflow.selection import DeviceFacts
from tests.unit.admin.pressing import Site, press

SERIALS = ["A1", "A2", "A3"]


def site(answer: Any = lambda _: None, **described: Description) -> Site:
    async def page(*_: object, **__: object) -> Any:
        rows = [types.SimpleNamespace(serial=s, hold=None, description=described.get(s)) for s in SERIALS]
        views = [types.SimpleNamespace(row=row) for row in rows]
        return types.SimpleNamespace(items=views, next_cursor=None)

    return Site(answer, fleet=types.SimpleNamespace(page=page))


def twice(at: Site, deed: str, **fields: str) -> str:
    """Press the button, then the one of the page that asks; return what the last page says."""
    asks = press(many.act, at, {"deed": deed}, serial=SERIALS).content
    assert at.commands == [], "nothing is done before it was confirmed"
    hidden = dict(re.findall(r'name="(digest|once)" value="([^"]+)"', asks))
    said: str = press(many.act, at, {"deed": deed, **hidden, **fields}, serial=SERIALS).content
    return said


def refuse(serial: str, code: str = "conflict") -> CommandRefused:
    return CommandRefused(Problem(code=code, message=f"{serial} is refused", fault=Fault.USER))


def test_each_device_has_a_command_and_a_key_of_its_own() -> None:
    at = site()
    assert "refused" not in twice(at, "hold", hours="2", reason="looked at")
    assert at.commands == [HoldDevice(serial=each, for_s=7200.0, reason="looked at") for each in SERIALS]
    keys = [key for _, key in at.asked]
    assert len(set(keys)) == len(SERIALS)
    assert None not in keys


def test_a_number_that_is_none_is_said_and_nothing_is_done() -> None:
    at = site()
    with pytest.raises(UserError, match="'abc' is no number of hours"):
        twice(at, "hold", hours="abc")
    assert at.commands == []


def test_a_device_that_is_refused_and_a_broker_that_goes_away_are_told_device_by_device() -> None:
    def answer(command: HoldDevice) -> None:
        if command.serial == "A1":
            raise refuse("A1")
        if command.serial == "A3":
            raise BrokerUnavailable("the broker does not answer")

    said = twice(site(answer), "hold", hours="1")
    assert "A1 is refused" in said
    assert "A3: the broker does not answer" in said


def test_a_broker_that_is_away_is_not_asked_for_each_device_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: HoldDevice) -> None:
        raise BrokerUnavailable("the broker does not answer")

    monkeypatch.setattr(many, "AT_ONCE", 1)
    at = site(gone)
    said = twice(at, "hold", hours="1")
    assert [command.serial for command in at.commands] == ["A1"]
    assert "A3: not tried: the broker does not answer" in said


def test_devices_are_put_in_a_group_one_by_one_and_one_that_is_refused_holds_none_up() -> None:
    def answer(command: DescribeDevices) -> None:
        if command.devices[0].serial == "A2":
            raise CommandRefused(Problem(code="conflict", message="A2 has 20 groups", fault=Fault.USER))

    at = site(answer, A1=Description(groups=["left"], notes="kept"))
    said = twice(at, "group", word="shelf-1, shelf-2")
    assert "A2 has 20 groups" in said
    wanted = [
        ("A1", ["left", "shelf-1", "shelf-2"]),
        ("A2", ["shelf-1", "shelf-2"]),
        ("A3", ["shelf-1", "shelf-2"]),
    ]
    assert at.commands == [
        DescribeDevices(devices=[DeviceDescription(serial=serial, groups=groups)]) for serial, groups in wanted
    ]
    assert len({key for _, key in at.asked} - {None}) == len(SERIALS), "pressed twice it is done once"


def test_a_word_is_taken_from_those_that_have_it() -> None:
    at = site(A1=Description(tags=["old", "blue"]))
    twice(at, "untag", word="old")
    assert [command.devices[0].tags for command in at.commands] == [["blue"], [], []]


def test_each_phone_shows_its_own_serial_behind_the_text_that_was_given() -> None:
    recipes: dict[str, StoreWorkflow] = {}

    async def workflow(name: str) -> object:
        return recipes.get(name)

    at = site(lambda _: types.SimpleNamespace(run_id="R1"))
    at.reader.workflow = workflow
    said = twice(at, "identify", text="  shelf 3 ")
    stored, run = at.commands
    assert "/runs/R1" in said
    assert (run.workflow, run.targets.serials) == ("identify-each", SERIALS)
    recipe = Recipe.from_stored(to_stored(parse_workflow(stored.source)))
    for serial in SERIALS:
        facts = DeviceFacts(serial=serial, node_id="n1", sdk=33, tags=[])
        rules = recipe.rules(run.params, device=facts, run_id="R1", task_id="T1")
        assert rules.arguments("show", {})["text"] == f"shelf 3 · {serial}"
