"""health-bot: each crossing is told once, over restarts; quarantine only of what it took itself."""

from __future__ import annotations

from typing import Any

import pytest

from doai.bots.health import bot
from doai.bots.health.digest import report_of
from doai.bots.health.phones import Phone
from doai.bots.health.rules import HealthConfig
from doai.bots.loading import load_bot
from doai.bots.testing import Mesh, running
from doai.errors import ConfigError
from doai.messages.bot_reports import PublishReport
from doai.messages.commands import QuarantineDevice, ReleaseDevice
from doai.messages.health import Condition, HealthReported, HealthRule, ReportHealth
from doai.messages.samples import DeviceHealth


def answer(mesh: Mesh) -> None:
    mesh.answer(ReportHealth, lambda told: HealthReported(began=[], ended=[]))


async def tell(mesh: Mesh, serial: str = "A", **values: Any) -> None:
    await mesh.sample("device.health", f"device/{serial}", DeviceHealth(serial=serial, **values))


def told(mesh: Mesh) -> list[tuple[str, list[str]]]:
    return [(c.serial, [each.rule.value for each in c.conditions]) for c in mesh.commands(ReportHealth)]


def test_it_is_found_by_its_name_and_asks_for_samples() -> None:
    found = load_bot("health-bot")
    [subscription] = found.registration().subscriptions
    assert (subscription.samples, subscription.every_s, subscription.every_setting) == (
        ["device.health"],
        30.0,
        "interval",
    )
    assert subscription.at_once == 5
    assert found.registration().config_schema["properties"]["battery_hot_from_c"]["default"] == 45.0


async def test_a_hot_phone_is_told_once_and_out_of_service_until_it_is_cool(autojump_clock: object) -> None:
    async with running(bot) as mesh:
        answer(mesh)
        for celsius in (30.0, 46.0, 47.0, 43.0, 44.5, 42.0, 41.0):
            await tell(mesh, battery_temp_c=celsius)
        assert told(mesh) == [("A", []), ("A", ["battery_hot"]), ("A", [])]
        [taken] = mesh.commands(QuarantineDevice)
        assert (taken.serial, taken.for_s, taken.unless_other) == ("A", None, True)
        assert taken.reason == "health-bot: battery_hot 46"
        [given_back] = mesh.commands(ReleaseDevice)
        assert (given_back.serial, given_back.only_own) == ("A", True)


async def test_a_restart_tells_nothing_again_and_forgets_nothing(autojump_clock: object) -> None:
    async with running(bot) as mesh:
        answer(mesh)
        await tell(mesh, battery_temp_c=50.0)
        for again in (mesh.kill, mesh.stop):
            await again()
            await mesh.start()
            await tell(mesh, battery_temp_c=44.0)
        assert len(told(mesh)) == 1, "44 C is still too hot for one that was"
        await tell(mesh, battery_temp_c=41.0)
        assert told(mesh)[1:] == [("A", [])]
        assert len(mesh.commands(QuarantineDevice)) == len(mesh.commands(ReleaseDevice)) == 1


async def test_what_was_not_told_is_told_with_the_next_sample(autojump_clock: object) -> None:
    async with running(bot) as mesh:
        mesh.refuse(ReportHealth, "there is no device A", code="device_not_found")
        await tell(mesh, battery_temp_c=50.0)
        assert mesh.commands(QuarantineDevice) == []
        answer(mesh)
        await tell(mesh, battery_temp_c=50.0)
        assert told(mesh) == [("A", ["battery_hot"])] * 2
        assert len(mesh.commands(QuarantineDevice)) == 1


async def test_what_was_cut_off_half_way_is_done_again_or_taken_back(autojump_clock: object) -> None:
    async with running(bot) as mesh:
        answer(mesh)
        await tell(mesh, battery_temp_c=30.0)
        mesh.refuse(QuarantineDevice, "try later", code="busy")
        await tell(mesh, battery_temp_c=50.0)
        await mesh.kill()
        await mesh.start()
        await tell(mesh, battery_temp_c=30.0)
        assert told(mesh) == [("A", []), ("A", ["battery_hot"]), ("A", [])]
        assert len(mesh.commands(ReleaseDevice)) == 1, "it may have been taken out of service"
        await tell(mesh, battery_temp_c=30.0)
        assert len(told(mesh)) == 3


@pytest.mark.parametrize("code", ["not_own", "not_quarantined"])
async def test_what_somebody_else_decided_of_a_phone_stays(autojump_clock: object, code: str) -> None:
    async with running(bot) as mesh:
        answer(mesh)
        if code == "not_own":
            mesh.refuse(QuarantineDevice, "it is ann's", code=code)
        else:
            mesh.refuse(ReleaseDevice, "ann released it", code=code)
        for celsius in (50.0, 50.0, 40.0, 40.0):
            await tell(mesh, battery_temp_c=celsius)
        assert len(mesh.commands(QuarantineDevice)) == 1, "it does not insist"
        assert len(mesh.commands(ReleaseDevice)) == (code == "not_quarantined")
        assert told(mesh) == [("A", ["battery_hot"]), ("A", [])]


async def test_a_phone_that_never_answers_is_told_after_three_times(autojump_clock: object) -> None:
    async with running(bot) as mesh:
        answer(mesh)
        for _ in range(6):
            await tell(mesh, problem="no answer")
        assert told(mesh) == [("A", []), ("A", ["unanswered"])]
        assert mesh.commands(QuarantineDevice) == [], "that alone takes no phone out of service"
        await tell(mesh, battery_percent=50)
        assert told(mesh)[-1] == ("A", [])


async def test_phones_are_judged_each_by_itself_and_by_the_configuration_of_now(autojump_clock: object) -> None:
    async with running(bot, battery_hot_from_c=60, battery_hot_until_c=50, quarantine=["battery_low"]) as mesh:
        answer(mesh)
        await tell(mesh, "A", battery_temp_c=59.0, battery_percent=10)
        await tell(mesh, "B", battery_temp_c=61.0)
        assert told(mesh) == [("A", ["battery_low"]), ("B", ["battery_hot"])]
        assert [c.serial for c in mesh.commands(QuarantineDevice)] == ["A"]
        await mesh.configure(battery_hot_from_c=80, battery_hot_until_c=70, quarantine=[])
        await tell(mesh, "B", battery_temp_c=61.0)
        assert told(mesh)[-1] == ("B", [])
        with pytest.raises(ConfigError, match="battery_hot_from_c must be above battery_hot_until_c"):
            await mesh.configure(battery_hot_from_c=30)


async def test_what_lasts_is_told_again_each_hour(autojump_clock: object) -> None:
    async with running(bot) as mesh:
        answer(mesh)
        for wait_s in (0, 1800, 1801, 1800):
            await mesh.advance(wait_s)
            await tell(mesh, battery_percent=3)
        assert told(mesh) == [("A", ["battery_low"])] * 2


def reports(mesh: Mesh) -> list[PublishReport]:
    return mesh.commands(PublishReport)


async def test_a_digest_is_written_once_a_day_at_its_hour(autojump_clock: object) -> None:
    async with running(bot, digest_hour=10, zone="Asia/Seoul") as mesh:  # the clock begins at 09:00 in Seoul
        answer(mesh)
        mesh.pages["/devices"] = {"items": [{"serial": s, "nodeId": "old"} for s in ("A", "Z")], "next": None}
        await tell(mesh, "B")
        for celsius in (50.0, 30.0, 50.0):
            await tell(mesh, "A", battery_temp_c=celsius)
        await mesh.advance(50 * 60)
        assert reports(mesh) == []
        await mesh.advance(12 * 60)
        [report] = reports(mesh)
        assert (report.title, report.title_ko) == ("Health of phones, 2025-12-31", "2025-12-31 기기 상태")
        assert report.lines[:2] == [
            "1 phones are watched, 1 of them not well now.",
            "2 times something began since 2025-12-31 10:00 (Asia/Seoul).",
        ]
        assert report.lines[2] == "1 phones that were read before are not online now: B"
        assert report.lines[3].endswith("never were read; older release of their node? Z (old)")
        assert [table.rows for table in report.tables] == [
            [["battery_hot", "1", "2"]],
            [["A", "battery_hot 50", "01-01 09:00", "2"]],
        ]
        await mesh.kill()
        await mesh.start()
        await mesh.advance(10 * 60)
        assert len(reports(mesh)) == 1


def test_a_phone_that_has_gone_is_not_unwell_for_ever() -> None:
    hot = Condition(rule=HealthRule.BATTERY_HOT, value=50.0, limit=45.0)
    phone = Phone(wrong=[hot], began_at_ms={"battery_hot": 0}, times={"2026-01-02": {"battery_hot": 1}})
    report = report_of("2026-01-02", {"A": phone, "B": Phone()}, {"B": "node-1"}, HealthConfig())
    assert report.lines[0] == "1 phones are watched, 0 of them not well now."
    assert report.lines[2] == "1 phones that were read before are not online now: A"
    assert report.tables[0].rows == [["battery_hot", "0", "1"]]


def test_what_lasts_from_the_day_before_is_in_the_digest_without_a_beginning() -> None:
    hot = Condition(rule=HealthRule.BATTERY_HOT, value=50.0, limit=45.0)
    phone = Phone(wrong=[hot], began_at_ms={"battery_hot": 0}, times={"2026-01-01": {"battery_hot": 2}})
    report = report_of("2026-01-02", {"A": phone, "B": Phone()}, "no token", HealthConfig())
    assert report.lines[2] == "Which phones have gone, or never are read, is not known: no token"
    assert [table.rows for table in report.tables] == [
        [["battery_hot", "1", "0"]],
        [["A", "battery_hot 50", "01-01 00:00", "0"]],
    ]
