"""What people say of devices: all of a command or none, kept over restarts, seen by selectors at once."""

from __future__ import annotations

import pytest

from doai import topics
from doai.changes.rows import Description
from doai.limits import DESCRIBED_DEVICES_MAX
from doai.messages import commands as c
from doai.messages.commands import DeviceDescription as Said
from tests.unit.broker.harness import FakeAdmin, World, started_world


def describe(admin: FakeAdmin, *said: Said, check_only: bool = False) -> c.DevicesDescribed:
    command = c.DescribeDevices(devices=list(said), check_only=check_only)
    answer: c.DevicesDescribed = admin.do(c.DESCRIBE_DEVICES, command, c.DevicesDescribed)
    return answer


def kept(world: World, serial: str) -> Description | None:
    return world.tables.devices[serial].description


def test_what_is_said_is_kept_and_what_is_not_said_stays() -> None:
    world, node, admin = started_world("d1")
    said = Said(serial="d1", label="갤럭시 7", shelf="A3-12", tags=["lab", "b", "lab"], groups=["night"])
    assert describe(admin, said) == c.DevicesDescribed(described=1, changed=1)
    describe(admin, Said(serial="d1", notes="its button sticks", tags=[]))
    node.device("d1", model="another", usb_path="1-4.2")
    node.flush()
    world.restart()
    expected = Description(label="갤럭시 7", shelf="A3-12", notes="its button sticks", tags=[], groups=["night"])
    assert kept(world, "d1") == expected
    assert world.tables.devices["d1"].usb_path == "1-4.2"
    first, second = world.events(topics.DEVICE_DESCRIBED)
    assert (first.subject, first.actor) == ("device/d1", second.actor)
    assert world.payload(first)["tags"] == ["b", "lab"]
    world.check()


def test_the_same_again_and_a_check_change_nothing() -> None:
    world, _, admin = started_world("d1")
    describe(admin, Said(serial="d1", label="one"))
    assert describe(admin, Said(serial="d1", label="one")).changed == 0
    assert describe(admin, Said(serial="d1", label="two"), check_only=True).changed == 1
    assert kept(world, "d1") == Description(label="one")
    assert len(world.events(topics.DEVICE_DESCRIBED)) == 1


def test_every_mistake_is_named_and_nothing_is_half_done() -> None:
    world, _, admin = started_world("d1", "d2")
    wrong = [
        Said(serial="d1", label="good"),
        Said(serial="d3", label="unknown"),
        Said(serial="d2", label="x" * 81, notes="two\nlines", tags=["no spaces"], groups=["-x"]),
        Said(serial="d1"),
    ]
    problem = admin.refused(c.DESCRIBE_DEVICES, c.DescribeDevices(devices=wrong))
    assert problem.code == "bad_description"
    assert [detail.partition(": ")[0] for detail in problem.details] == ["d3", "d2", "d2", "d2", "d2", "d1"]
    assert problem.details[0] == "d3: there is no such device, known: d1, d2"
    assert "nothing was changed" in problem.message
    assert kept(world, "d1") is None


@pytest.mark.parametrize("count", [0, DESCRIBED_DEVICES_MAX + 1])
def test_a_command_has_a_bounded_number_of_devices(count: int) -> None:
    _, _, admin = started_world("d1")
    devices = [Said(serial=f"x{n}") for n in range(count)]
    assert "describes 1 to" in admin.refused(c.DESCRIBE_DEVICES, c.DescribeDevices(devices=devices)).message


def test_runs_select_by_group_and_by_tags_that_people_gave() -> None:
    world, _, admin = started_world("d1", "d2", "d3")
    describe(admin, Said(serial="d1", tags=["lab"], groups=["night"]), Said(serial="d2", groups=["night", "day"]))
    for selector, expected in (
        (c.Selector(groups=["night"]), {"d1", "d2"}),
        (c.Selector(groups=["day", "none"]), {"d2"}),
        (c.Selector(groups=["night"], tags=["lab"]), {"d1"}),
    ):
        run = admin.do(
            c.CREATE_RUN,
            c.CreateRun(workflow="look", targets=c.Targets(kind=c.TargetKind.ALL, selector=selector)),
            c.RunCreated,
        )
        assert {world.tables.tasks[task_id].status.device_serial for task_id in run.task_ids} == expected
    nobody = c.Targets(kind=c.TargetKind.ALL, selector=c.Selector(groups=["nigt"]))
    assert "the group 'nigt'" in admin.refused(c.CREATE_RUN, c.CreateRun(workflow="look", targets=nobody)).message


def test_a_task_that_waits_for_any_device_of_a_group_gets_one_that_joins_it() -> None:
    _, node, admin = started_world("d1")
    targets = c.Targets(kind=c.TargetKind.ANY, selector=c.Selector(groups=["night"]), count=1)
    [task_id] = admin.do(c.CREATE_RUN, c.CreateRun(workflow="look", targets=targets), c.RunCreated).task_ids
    assert not node.pump()
    describe(admin, Said(serial="d1", groups=["night"]))
    assert [dispatch.task_id for dispatch in node.pump()] == [task_id]
