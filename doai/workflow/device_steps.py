"""Steps that look at a device, set it up, restart it, and move files and logs, as data (steps 2 and 8)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from doai.workflow.step_type import (
    Arguments,
    ArtifactName,
    Duration,
    FileReference,
    Outputs,
    Package,
    StepType,
    on_device,
)

REBOOT_TIMEOUT_S: Final = 360.0
"""Phones start in 20 to 60 s; after an update of their system they take some minutes."""
TRANSFER_TIMEOUT_S: Final = 300.0
"""A file of a gigabyte over USB 2 takes a minute."""

DevicePath = Annotated[str, Meta(pattern=r"^/[^\x00-\x1f\x7f]*[^/\x00-\x1f\x7f]$(?!\n)", max_length=1000)]
"""Absolute, and of a file: it does not end with a slash."""
TimeZone = Annotated[str, Meta(pattern=r"^[A-Za-z]+(/[A-Za-z0-9_+-]+)*$(?!\n)", max_length=64)]
LogTag = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.$:/-]+$(?!\n)", max_length=64)]


class Health(Arguments, frozen=True, kw_only=True):
    """Read how a device is; what is too little, `expect` says."""


class HealthOutputs(Outputs, frozen=True, kw_only=True):
    """What a device does not tell is null, or ``unknown``."""

    battery_percent: int
    battery_celsius: float | None
    battery_health: str
    """good, overheat, dead, over_voltage, failure, cold, unknown."""
    charging: bool
    """Power is connected."""
    thermal_status: str
    """none, light, moderate, severe, critical, emergency, shutdown, unknown (Android 9 and older)."""
    storage_free_mb: int | None
    storage_total_mb: int | None
    memory_free_mb: int | None
    """What apps can have without others being ended (MemAvailable)."""
    memory_total_mb: int | None
    cpu_load: float | None
    """Load average of the last minute."""
    cpu_percent: float | None
    """Share of all cores in use, 0-100, over the last while that Android looked at."""
    network: str
    """wifi, mobile, ethernet, vpn, other, none: over what the device would reach the internet now."""
    screen_on: bool
    foreground_app: str
    """Package in front; empty when none is."""
    uptime_s: int | None


class Reboot(Arguments, frozen=True, kw_only=True):
    """Restart a device and wait until Android has started."""

    within: Duration = "5m"


class RebootOutputs(Outputs, frozen=True, kw_only=True):
    rebooted_ms: int
    """Milliseconds from the command until Android had started."""


class Set(Arguments, frozen=True, kw_only=True):
    """Put settings of the device as wanted and read them back; what is not named stays as it is."""

    brightness_percent: Annotated[int, Meta(ge=0, le=100)] | None = None
    """Also ends the automatic brightness."""
    stay_awake: bool | None = None
    """While power is connected."""
    screen_off_after: Duration | None = None
    animation_scale: Annotated[float, Meta(ge=0, le=10)] | None = None
    """0 = no animations, which makes tests faster and steadier."""
    font_scale: Annotated[float, Meta(ge=0.5, le=2)] | None = None
    dark_mode: bool | None = None
    auto_rotate: bool | None = None
    rotation_degrees: Literal[0, 90, 180, 270] | None = None
    """How the screen is turned while it does not turn by itself."""
    wifi: bool | None = None
    """A phone that adb reaches over Wi-Fi is gone without it."""
    mobile_data: bool | None = None
    airplane: bool | None = None
    """Android 11 and newer; a phone that adb reaches over Wi-Fi is gone with it."""
    timezone: TimeZone | None = None
    """Such as ``Asia/Seoul``; also ends the automatic one."""
    screen_size: Annotated[str, Meta(pattern=r"^([1-9][0-9]{2,3}x[1-9][0-9]{2,3}|reset)$(?!\n)")] | None = None
    """Width and height in pixels such as ``720x1600``, or ``reset``."""
    density_dpi: Annotated[int, Meta(ge=72, le=1000)] | Literal["reset"] | None = None


class SetOutputs(Outputs, frozen=True, kw_only=True):
    changed: list[str]
    """Settings that were another way before."""
    before: dict[str, str]
    """What the device had, by the setting's name, in Android's own words."""


class Push(Arguments, frozen=True, kw_only=True):
    """Write a stored file on the device."""

    file: FileReference
    path: DevicePath
    """Where to, such as ``/sdcard/Download/song.mp3``; folders on the way are made."""
    executable: bool = False


class PushOutputs(Outputs, frozen=True, kw_only=True):
    path: str
    size_bytes: int
    sha256: str


class Pull(Arguments, frozen=True, kw_only=True):
    """Read a file from the device and keep it as an artifact."""

    path: DevicePath
    name: ArtifactName | None = None
    """For the artifact; None = the step's id."""


class PullOutputs(Outputs, frozen=True, kw_only=True):
    artifact: str
    """Reference for artifact.upload."""
    size_bytes: int
    sha256: str


class CollectLog(Arguments, frozen=True, kw_only=True):
    """Keep what the device logged (logcat) as an artifact."""

    since: Duration | None = None
    """Only what was logged in this time until now; None = all that the device still has."""
    lines_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 20_000
    """The newest."""
    level: Literal["verbose", "debug", "info", "warning", "error", "fatal"] = "verbose"
    """This one and worse."""
    tags: Annotated[list[LogTag], Meta(max_length=50)] = msgspec.field(default_factory=list)
    """Only these; empty = all."""
    package: Package | None = None
    """Only of this app while it runs."""
    buffers: Annotated[list[Literal["main", "system", "crash", "events", "radio"]], Meta(min_length=1)] = (
        msgspec.field(default_factory=lambda: ["main", "system", "crash"])
    )
    clear: bool = False
    """Empty the log after it was read, so that the next one begins here."""
    name: ArtifactName | None = None


class LogOutputs(Outputs, frozen=True, kw_only=True):
    artifact: str
    """Reference for artifact.upload."""
    lines: int
    size_bytes: int
    sha256: str


DEVICE_STEPS: Final[tuple[StepType, ...]] = (
    on_device("device.health", Health, HealthOutputs, idempotent=True),
    on_device("device.reboot", Reboot, RebootOutputs, idempotent=True, timeout_s=REBOOT_TIMEOUT_S),
    on_device("device.set", Set, SetOutputs, idempotent=True),
    on_device("file.push", Push, PushOutputs, idempotent=True, timeout_s=TRANSFER_TIMEOUT_S),
    on_device("file.pull", Pull, PullOutputs, idempotent=True, timeout_s=TRANSFER_TIMEOUT_S),
    on_device("log.collect", CollectLog, LogOutputs, idempotent=True),
)
