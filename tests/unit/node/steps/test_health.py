"""device.health: the simulated phone, and what Android 7 to 15 print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from trio.testing import MockClock

from doai.errors import ErrorClass
from doai.node.steps.health import parse_network, parse_storage

Make = Callable[[dict[str, Any]], Any]
MARK = "\n--doai-section--\n"
GOOD = {
    "battery": "Current Battery Service state:\n  AC powered: false\n  USB powered: true\n  health: 3\n"
    "  level: 43\n  scale: 50\n  temperature: 312",
    "thermal": "Thermal Status: 3",
    "storage": "Data-Free: 1048576K / 10485760K total = 10% free",
    "memory": "MemTotal:        3884060 kB\nMemFree:          134436 kB\nMemAvailable:    1876032 kB",
    "load": "Load: 12.5 / 11.73 / 10.9\n18% TOTAL: 10% user + 7.5% kernel",
    "route": "1.1.1.1 via 10.0.0.1 dev rmnet_data2 table 1021 src 10.0.0.2 uid 2000",
    "power": "  mWakefulness=Dozing",
    "window": "  mCurrentFocus=Window{5b1c0de u0 com.example.app/com.example.app.Main}",
    "uptime": "5025.12 33000.00",
}


def answer(**changed: str) -> str:
    return MARK.join((GOOD | changed).values())


async def test_everything_is_asked_in_one_round_trip(scripted: Make) -> None:
    bench = scripted({"": answer()})
    done = await bench.do("device.health")
    assert len(bench.device.commands) == 1
    assert (done.battery_percent, done.battery_celsius, done.battery_health) == (86, 31.2, "overheat")
    assert (done.charging, done.thermal_status) == (True, "severe")
    assert (done.storage_free_mb, done.storage_total_mb) == (1024, 10240)
    assert (done.memory_free_mb, done.memory_total_mb) == (1832, 3793)
    assert (done.cpu_load, done.cpu_percent, done.network, done.screen_on) == (12.5, 18.0, "mobile", False)
    assert (done.foreground_app, done.uptime_s) == ("com.example.app", 5025)


async def test_what_a_device_does_not_tell_is_not_made_up(scripted: Make) -> None:
    silent = dict.fromkeys(("thermal", "storage", "memory", "load", "route", "power", "window", "uptime"), "")
    done = await scripted({"": answer(**silent, battery="  level: 7")}).do("device.health")
    assert (done.battery_percent, done.battery_celsius, done.battery_health) == (7, None, "unknown")
    assert (done.thermal_status, done.network, done.foreground_app) == ("unknown", "none", "")
    assert {done.storage_free_mb, done.memory_free_mb, done.cpu_load, done.cpu_percent, done.uptime_s} == {None}


async def test_a_device_without_a_battery_level_is_still_starting(scripted: Make) -> None:
    error = await scripted({"": answer(battery="Can't find service: battery")}).fail("device.health")
    assert (error.failure.error_class, error.code) == (ErrorClass.DEVICE, "device_not_ready")
    assert "Can't find service" in str(error)


async def test_the_simulated_phone_is_well(phone: Any, autojump_clock: MockClock) -> None:
    await phone.do("app.launch", package="com.example.login")
    done = await phone.do("device.health")
    assert 0 < done.battery_percent <= 100
    assert (done.battery_celsius, done.battery_health, done.charging) == (30.0, "good", False)
    assert 0 < done.storage_free_mb < done.storage_total_mb
    assert 0 < done.memory_free_mb < done.memory_total_mb
    assert (done.thermal_status, done.network) == ("none", "wifi")
    assert (done.screen_on, done.foreground_app) == (True, "com.example.login")
    await phone.do("device.set", wifi=False)
    assert (await phone.do("device.health")).network == "mobile"
    await phone.do("device.set", mobile_data=False)
    assert (await phone.do("device.health")).network == "none"


@pytest.mark.parametrize(
    ("report", "kind"),
    [
        ("1.1.1.1 dev wlan0 src 192.168.0.4", "wifi"),
        ("RTNETLINK answers: Network is unreachable\n2606:: from :: via fe80::1 dev v4-rmnet0", "mobile"),
        ("1.1.1.1 via 10.0.0.1 dev tun0", "vpn"),
        ("1.1.1.1 via 10.0.0.1 dev zz9", "other"),
        ("1.1.1.1 dev lo", "none"),
        ("ip: not found", "none"),
    ],
)
def test_the_network_is_known_by_its_interface(report: str, kind: str) -> None:
    assert parse_network(report) == kind


def test_df_tells_the_storage_where_diskstats_does_not() -> None:
    report = "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/block/dm-5 1000 300 700 30% /data"
    assert parse_storage(report) == (700, 1000)
    assert parse_storage("df: /data: Permission denied") == (None, None)
