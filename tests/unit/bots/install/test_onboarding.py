"""New phones in a mesh: held, prepared, given apps and tags, tried; given back, or quarantined with the cause."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock

from doai.bots.install.bot import bot
from doai.bots.install.onboarding import KIND
from doai.bots.testing import Mesh, PlayedTask, running
from doai.errors import ErrorClass, Failure
from doai.messages.commands import CreateRun, DescribeDevices, QuarantineDevice
from doai.messages.events import DeviceOnline
from doai.messages.holds import HoldDevice, UnholdDevice
from doai.states import Outcome
from tests.unit.bots.install.test_install_bot import stored

WISH = {"serial": "P1", "apps": ["shop"], "tags": ["lab"], "smoke": "smoke", "settings": {"timezone": "Asia/Tokyo"}}
FAILED = PlayedTask("failed", failure=Failure(error_class=ErrorClass.APP, code="odd", message="It shows nothing."))


def prepare(mesh: Mesh, **ends: PlayedTask) -> list[str]:
    """Let runs end; returns the list in which their workflows come."""
    made: list[str] = []

    def play(run: CreateRun) -> dict[str, PlayedTask]:
        made.append(run.workflow)
        assert (run.targets.serials, run.priority) == (["P1"], 1000)
        return {"P1": ends.get(run.workflow, PlayedTask())}

    for workflow in ("device-prepare", "app-install", "smoke"):
        mesh.plays_runs(workflow, play)
    mesh.pages["/apps/shop"] = stored("shop@1.4", 14)
    mesh.pages["/devices/P1"] = {"description": {"tags": ["old"]}, "firstSeenAtMs": 5000, "changedAtMs": 5000}
    return made


async def test_a_phone_that_passes_is_given_back_with_its_tags(autojump_clock: MockClock) -> None:
    async with running(bot) as mesh:
        made = prepare(mesh)
        outcome = await mesh.task(KIND, WISH)
        assert outcome.outcome is Outcome.PASSED, outcome.failure
        assert made == ["device-prepare", "app-install", "smoke"]
        assert mesh.commands(CreateRun)[0].params == {"timezone": "Asia/Tokyo"}
        assert mesh.commands(CreateRun)[1].params["file"] == "shop@1.4"
        assert [hold.serial for hold in mesh.commands(HoldDevice)] == ["P1"]
        assert [device.tags for device in mesh.commands(DescribeDevices)[0].devices] == [["lab", "old"]]
        assert len(mesh.commands(UnholdDevice)) == 1
        assert mesh.commands(QuarantineDevice) == []
        assert outcome.outputs["done"] == [
            "it is prepared",
            "shop@1.4 is installed",
            "smoke passed",
            "it has the tags lab, old",
        ]


@pytest.mark.parametrize(
    ("wish", "ends", "cause"),
    [
        ({}, {"smoke": FAILED}, "smoke did not pass: It shows nothing."),
        ({}, {"device-prepare": PlayedTask("expired", reason="not begun in time")}, "not begun in time"),
        ({"apps": ["gone"]}, {}, "gone can not be installed"),
    ],
)
async def test_a_phone_that_does_not_pass_is_quarantined_with_the_cause(
    autojump_clock: MockClock, wish: dict[str, Any], ends: dict[str, PlayedTask], cause: str
) -> None:
    async with running(bot) as mesh:
        prepare(mesh, **ends)
        outcome = await mesh.task(KIND, WISH | wish)
        assert outcome.outcome is Outcome.FAILED
        assert outcome.failure is not None
        assert cause in outcome.failure.message
        assert cause in outcome.outputs["cause"]
        [quarantine] = mesh.commands(QuarantineDevice)
        assert (quarantine.serial, quarantine.for_s) == ("P1", None)
        assert cause in quarantine.reason
        assert len(mesh.commands(UnholdDevice)) == 1
        assert mesh.commands(DescribeDevices) == []


async def test_a_phone_that_a_person_holds_or_nobody_knows_is_not_taken(autojump_clock: MockClock) -> None:
    async with running(bot) as mesh:
        prepare(mesh)
        mesh.refuse(HoldDevice, "device P1 is held for user/ann", code="held_for_another")
        mesh.refuse(QuarantineDevice, "there is no device P1", code="not_found")
        outcome = await mesh.task(KIND, WISH)
        assert outcome.failure is not None
        assert "held for user/ann" in outcome.failure.message
        assert mesh.commands(CreateRun) == []
        outcome = await mesh.task(KIND, WISH | {"serial": "no serial; reboot"})
        assert outcome.failure is not None
        assert "is no serial" in outcome.failure.message


def online() -> DeviceOnline:
    return DeviceOnline(serial="P1", node_id="n1", driver="adb", connection="x")


async def test_only_a_phone_that_was_never_seen_is_taken_in_by_itself(autojump_clock: MockClock) -> None:
    async with running(bot, onboard=True, tags=["lab"]) as mesh:
        prepare(mesh)
        await mesh.event("device.online", "device/P1", online())
        await mesh.event("device.online", "device/P1", online())
        assert [run.params["serial"] for run in mesh.commands(CreateRun)] == ["P1"]
        assert mesh.commands(CreateRun)[0].targets.bot == KIND
        assert len(mesh.commands(HoldDevice)) == 1
        # A phone of long ago comes back.
        mesh.pages["/devices/P2"] = {"description": None, "firstSeenAtMs": 4000, "changedAtMs": 9000}
        await mesh.event(
            "device.online", "device/P2", DeviceOnline(serial="P2", node_id="n1", driver="adb", connection="x")
        )
        assert len(mesh.commands(CreateRun)) == 1
    async with running(bot) as mesh:
        prepare(mesh)
        await mesh.event("device.online", "device/P1", online())
        assert mesh.commands(CreateRun) == [], "unless its configuration says so it takes none in"
