"""Samples of devices: what a node reads beside runs, on order of bots, and what it was asked to (step 14).

A sample is no fact: the newest wins, and one that is lost is followed by another.
"""

from __future__ import annotations

from typing import Final

from doai.envelope import Message

DEVICE_HEALTH: Final = "device.health"
"""Topic of the samples of devices."""
SAMPLES_DEVICES: Final = f"sample:{DEVICE_HEALTH}"
"""Capability of a node that reads them."""
THERMAL_LEVELS: Final = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
"""android.os.PowerManager.THERMAL_STATUS_*, by number."""


class DeviceHealth(Message, frozen=True, kw_only=True):
    """How a device is; what it does not tell is missing, empty or ``unknown``. New fields come last: rows of the
    store have the values without their names."""

    serial: str
    sampled_at_ms: int = 0
    """UTC of the node, ms since 1970."""
    took_ms: int = 0
    problem: str = ""
    """Why there is nothing else, one sentence: it did not answer."""
    battery_percent: int | None = None
    battery_temp_c: float | None = None
    battery_health: str = "unknown"
    """good, overheat, dead, over_voltage, failure, cold, unknown."""
    charging: bool | None = None
    thermal_status: str = "unknown"
    """One of THERMAL_LEVELS, or unknown (Android 9 and older)."""
    storage_free_mb: int | None = None
    storage_total_mb: int | None = None
    memory_free_mb: int | None = None
    """What apps can have without others being ended."""
    memory_total_mb: int | None = None
    cpu_percent: float | None = None
    """Share of all its cores in use, 0-100, over the last while that Android looked at."""
    cpu_load: float | None = None
    """Load average of the last minute."""
    network: str = "unknown"
    """wifi, mobile, ethernet, vpn, other, none, unknown."""
    screen_on: bool | None = None
    foreground_app: str = ""
    uptime_s: int | None = None


class DeviceSamples(Message, frozen=True, kw_only=True):
    """Body of DEVICE_SAMPLES: what a node has just read of its devices."""

    samples: list[DeviceHealth]


class SampleOrder(Message, frozen=True, kw_only=True):
    """Body of SAMPLE_ORDER: from now on, until another order or the end of the connection, a node reads each of its
    devices so often, beside whatever runs on it."""

    every_s: float
    """0 = not at all."""
    at_once: int = 1
    """Devices that it asks at once, at most."""
