"""The built-in steps as data: arguments, outputs, and how each may be repeated (steps 2 and 8).

The broker validates recipes against this table, the node performs it (doai/node/steps).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from doai.limits import UPLOAD_TIMEOUT_S
from doai.workflow.app_steps import APP_STEPS
from doai.workflow.device_steps import DEVICE_STEPS
from doai.workflow.flow_steps import FLOW_STEPS
from doai.workflow.host_steps import HOST_STEPS
from doai.workflow.screen_steps import SCREEN_STEPS
from doai.workflow.step_type import (
    Arguments,
    ArtifactName,
    Duration,
    NoOutputs,
    Outputs,
    Package,
    Position,
    StepType,
    Target,
    Text,
    on_device,
)
from doai.workflow.ui_steps import UI_STEPS


class Bootstrap(Arguments, frozen=True, kw_only=True):
    """Make the device ready: awake, unlocked, at the home screen."""

    stay_awake: bool = True
    home: bool = True


class BootstrapOutputs(Outputs, frozen=True, kw_only=True):
    model: str
    sdk: int
    android: str
    battery_percent: int
    screen_width: int
    screen_height: int


class Identify(Arguments, frozen=True, kw_only=True):
    """Light the screen and show a text on it for a while, so that a person finds the device."""

    text: Annotated[str, Meta(min_length=1, max_length=200)]
    duration: Duration = msgspec.field(name="for", default="30s")


class IdentifyOutputs(Outputs, frozen=True, kw_only=True):
    text_shown: bool
    """Before Android 10 the screen shines without a text."""


class Shell(Arguments, frozen=True, kw_only=True):
    """Run a shell command line on the device."""

    command: Annotated[str, Meta(min_length=1, max_length=16_384)]
    exit_codes: list[int] = msgspec.field(default_factory=lambda: [0])
    """Exit codes that count as passed."""


class ShellOutputs(Outputs, frozen=True, kw_only=True):
    stdout: str
    stderr: str
    exit_code: int


class Launch(Arguments, frozen=True, kw_only=True):
    """Start an app and wait until it is in front."""

    package: Package
    activity: Text | None = None


class AppOutputs(Outputs, frozen=True, kw_only=True):
    package: str
    activity: str
    launched_ms: int
    """Milliseconds from the command until the app was in front."""


class Stop(Arguments, frozen=True, kw_only=True):
    """Stop an app."""

    package: Package


Url = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9+.-]*:[^\s]+$(?!\n)", max_length=2048)]


class OpenUrl(Arguments, frozen=True, kw_only=True):
    """Open an address in the app that handles it."""

    url: Url
    package: Package | None = None


class Tap(Target, frozen=True, kw_only=True):
    """Tap an element, or a position."""

    x: Position | None = None
    y: Position | None = None
    within: Duration = "10s"
    """How long to look for the element."""


class TapOutputs(Outputs, frozen=True, kw_only=True):
    x: int
    y: int


class TypeText(Arguments, frozen=True, kw_only=True):
    """Type text into the focused field."""

    text: Text
    clear: bool = False
    """Empty the field first."""


class Key(Arguments, frozen=True, kw_only=True):
    """Press a key by its Android name without KEYCODE_, or by number."""

    key: Annotated[str, Meta(pattern=r"^[A-Z0-9_]+$(?!\n)", max_length=64)] | Annotated[int, Meta(ge=0, le=400)]
    times: Annotated[int, Meta(ge=1, le=100)] = 1


class WaitFor(Target, frozen=True, kw_only=True):
    """Wait until an element is on the screen."""

    within: Duration = "30s"
    every: Duration = "500ms"


class ElementOutputs(Outputs, frozen=True, kw_only=True):
    text: str
    bounds: list[int]
    """left, top, right, bottom in pixels."""
    waited_ms: int


class AssertVisible(Target, frozen=True, kw_only=True):
    """Fail unless an element is on the screen now."""


class Capture(Arguments, frozen=True, kw_only=True):
    """Take a picture of the screen."""

    name: ArtifactName | None = None


class CaptureOutputs(Outputs, frozen=True, kw_only=True):
    artifact: str
    """Reference for artifact.upload."""
    width: int
    height: int
    sha256: str
    size_bytes: int


class WaitPlaying(Arguments, frozen=True, kw_only=True):
    """Wait until media plays, then watch it for some seconds."""

    seconds: Annotated[int, Meta(ge=1, le=3600)] = 20
    start_within: Duration = "30s"
    every: Duration = "500ms"
    stalls_max: Annotated[int, Meta(ge=0)] | None = None
    """Fail when it stalls more often; None = only count."""


class PlayingOutputs(Outputs, frozen=True, kw_only=True):
    started_ms: int
    """Milliseconds until playback began."""
    played_ms: int
    stalls: int
    stalled_ms: int


class Measure(Arguments, frozen=True, kw_only=True):
    """Open a video in an app and measure how it plays: start-up, stalls, and resolution where the device tells."""

    url: Url
    package: Package
    """The app that opens it."""
    seconds: Annotated[int, Meta(ge=1, le=3600)] = 20
    """How long to watch, from the moment it plays."""
    start_within: Duration = "30s"
    every: Duration = "500ms"
    """Between two looks at the media session; stalls nearer to each other may count as one."""
    stalls_max: Annotated[int, Meta(ge=0)] | None = None
    """More are told as a `problem`."""


class MeasureOutputs(Outputs, frozen=True, kw_only=True):
    """A play that began; whether it was good, `problem` says, so that bad plays have their numbers too."""

    started_ms: int
    """Milliseconds from the command to open it until it played."""
    watched_ms: int
    played_ms: int
    """Of the watched: neither stalled nor paused."""
    stalls: int
    stalled_ms: int
    width_px: int | None
    """Of the picture that is shown; null = the device does not tell."""
    height_px: int | None
    looks: int
    look_gap_ms: int
    """Longest time between two looks."""
    problem: str
    """One sentence: it did not go on, or stalled more often than `stalls_max`; empty = neither."""


class Upload(Arguments, frozen=True, kw_only=True):
    """Hand an artifact over for storage; passes once it is durably spooled on the node."""

    artifact: Annotated[str, Meta(min_length=1, max_length=256)]


class UploadOutputs(Outputs, frozen=True, kw_only=True):
    path: str
    """Where it will be stored, relative to the artifacts folder."""
    sha256: str


class Wait(Arguments, frozen=True, kw_only=True):
    """Do nothing for a while; the device is free meanwhile only for its own task."""

    duration: Duration = msgspec.field(name="for")


class Report(Arguments, frozen=True, kw_only=True):
    """Add values to the task's outputs."""

    values: dict[str, Any]


class ReportOutputs(Outputs, frozen=True, kw_only=True):
    values: dict[str, Any]


_ALL: Final = (
    *APP_STEPS,
    *DEVICE_STEPS,
    *UI_STEPS,
    *SCREEN_STEPS,
    on_device("device.bootstrap", Bootstrap, BootstrapOutputs, idempotent=True),
    on_device("device.identify", Identify, IdentifyOutputs, idempotent=True),
    on_device("device.shell", Shell, ShellOutputs, idempotent=False),
    on_device("app.launch", Launch, AppOutputs, idempotent=True),
    on_device("app.stop", Stop, NoOutputs, idempotent=True),
    on_device("app.open_url", OpenUrl, AppOutputs, idempotent=True),
    on_device("ui.tap", Tap, TapOutputs, idempotent=False),
    on_device("ui.text", TypeText, NoOutputs, idempotent=False),
    on_device("ui.key", Key, NoOutputs, idempotent=False),
    on_device("ui.wait_for", WaitFor, ElementOutputs, idempotent=True),
    on_device("ui.assert_visible", AssertVisible, ElementOutputs, idempotent=True),
    on_device("screen.capture", Capture, CaptureOutputs, idempotent=True, takes_pictures=True),
    on_device("media.wait_playing", WaitPlaying, PlayingOutputs, idempotent=True),
    on_device("media.measure", Measure, MeasureOutputs, idempotent=True),
    StepType(
        name="artifact.upload",
        arguments=Upload,
        outputs=UploadOutputs,
        on_device=False,
        idempotent=True,
        timeout_s=UPLOAD_TIMEOUT_S,
        holds_device=False,
    ),
    StepType(name="wait", arguments=Wait, outputs=NoOutputs, on_device=False, idempotent=True),
    StepType(
        name="report", arguments=Report, outputs=ReportOutputs, on_device=False, idempotent=True, holds_device=False
    ),
    *HOST_STEPS,
    *FLOW_STEPS,
)

BUILT_IN: Final[Mapping[str, StepType]] = {step.name: step for step in _ALL}
