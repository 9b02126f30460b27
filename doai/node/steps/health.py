"""device.health: battery, heat, storage, memory, load, network, screen (step 8).

Sources of the formats: `dumpsys battery|thermalservice|diskstats|cpuinfo|power|window` of Android 7 to 15,
/proc/meminfo, /proc/uptime, and `ip route get`, which asks the phone's own routes and sends nothing.
"""

from __future__ import annotations

import re
from typing import Final

from doai.drivers.base import Device
from doai.errors import ErrorClass
from doai.messages.samples import THERMAL_LEVELS
from doai.node.steps import foreground
from doai.node.steps.base import StepContext, excerpt, step_failed
from doai.node.steps.sections import run_sections
from doai.workflow.device_steps import Health, HealthOutputs

_ROUTE: Final = "ip route get 1.1.1.1; ip -6 route get 2606:4700:4700::1111"
"""Any address that is not of the phone's own network would do: nothing is sent to it."""
STORAGE_COMMAND: Final = "dumpsys diskstats | grep Data-Free; df /data"
"""What `parse_storage` reads."""
_COMMANDS: Final = (
    "dumpsys battery",
    "dumpsys thermalservice | grep -i 'thermal status'",
    STORAGE_COMMAND,
    "cat /proc/meminfo | grep Mem",
    "dumpsys cpuinfo | grep -E 'Load:|TOTAL:'",
    _ROUTE,
    "dumpsys power | grep mWakefulness=",
    foreground.COMMAND,
    "cat /proc/uptime",
)
_BATTERY_HEALTH: Final = {2: "good", 3: "overheat", 4: "dead", 5: "over_voltage", 6: "failure", 7: "cold"}
"""android.os.BatteryManager.BATTERY_HEALTH_*."""
_INTERFACES: Final = (
    ("wlan", "wifi"),
    ("swlan", "wifi"),
    ("rmnet", "mobile"),
    ("ccmni", "mobile"),
    ("seth", "mobile"),
    ("wwan", "mobile"),
    ("v4-", "mobile"),
    ("eth", "ethernet"),
    ("usb", "ethernet"),
    ("tun", "vpn"),
    ("ppp", "vpn"),
)
"""How chip makers begin the names of network interfaces; v4- is IPv4 over a mobile network without it."""


async def health(arguments: Health, context: StepContext) -> HealthOutputs:
    """Say how the device is."""
    return await read_health(context.device)


async def read_health(device: Device) -> HealthOutputs:
    """Ask everything in one round trip; only a device without a battery level is not ready. Raises StepError."""
    battery, thermal, storage, memory, load, route, power, window, uptime = await run_sections(device, *_COMMANDS)
    level, scale = _number(battery, r"^\s*level: (\d+)"), _number(battery, r"^\s*scale: (\d+)")
    if level is None:
        raise step_failed(
            ErrorClass.DEVICE,
            "device_not_ready",
            f"The device does not tell its battery (it said: {excerpt(battery)}): it may still be starting; wait "
            "until it shows the home screen.",
        )
    celsius = _number(battery, r"^\s*temperature: (-?\d+)")
    free_kb, total_kb = parse_storage(storage)
    available_kb = _number(memory, r"^MemAvailable:\s+(\d+)")
    memory_kb = _number(memory, r"^MemTotal:\s+(\d+)")
    thermal_number = _number(thermal, r"(?i)thermal status: (\d+)")
    minute = re.search(r"Load: ([\d.]+)", load)
    busy = re.search(r"^([\d.]+)% TOTAL:", load, re.MULTILINE)
    up = re.match(r"(\d+)\.", uptime)
    return HealthOutputs(
        battery_percent=level * 100 // (scale or 100),
        battery_celsius=celsius / 10 if celsius is not None else None,
        battery_health=_BATTERY_HEALTH.get(_number(battery, r"^\s*health: (\d+)") or 0, "unknown"),
        charging=re.search(r"^\s*\w+ powered: true", battery, re.MULTILINE) is not None,
        thermal_status=THERMAL_LEVELS[thermal_number]
        if thermal_number is not None and thermal_number < len(THERMAL_LEVELS)
        else "unknown",
        storage_free_mb=_mb(free_kb),
        storage_total_mb=_mb(total_kb),
        memory_free_mb=_mb(available_kb),
        memory_total_mb=_mb(memory_kb),
        cpu_load=float(minute[1]) if minute else None,
        cpu_percent=float(busy[1]) if busy else None,
        network=parse_network(route),
        screen_on="mWakefulness=Awake" in power,
        foreground_app=foreground.parse_foreground(window).package,
        uptime_s=int(up[1]) if up else None,
    )


def parse_storage(report: str) -> tuple[int | None, int | None]:
    """Read free and total KiB of the data partition from diskstats, or else from df."""
    found = re.search(r"Data-Free: (\d+)K / (\d+)K", report)
    if found is not None:
        return int(found[1]), int(found[2])
    found = re.search(r"^\S+\s+(\d+)\s+\d+\s+(\d+)\s+\d+%", report, re.MULTILINE)
    return (int(found[2]), int(found[1])) if found is not None else (None, None)


def parse_network(report: str) -> str:
    """Read over what kind of interface `ip route get` would go; the first answer with one counts."""
    found = re.search(r"\bdev (\S+)", report)
    if found is None or found[1] in ("lo", "dummy0"):
        return "none"
    return next((kind for start, kind in _INTERFACES if found[1].startswith(start)), "other")


def _number(report: str, pattern: str) -> int | None:
    found = re.search(pattern, report, re.MULTILINE)
    return int(found[1]) if found is not None else None


def _mb(kb: int | None) -> int | None:
    return kb // 1024 if kb is not None else None
