"""Steps that install, remove, prepare and test apps, as data (steps 2 and 8)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from doai.workflow.step_type import Arguments, FileReference, NoOutputs, Outputs, Package, StepType, Text, on_device

INSTALL_TIMEOUT_S: Final = 300.0
"""A large app over a slow cable takes some minutes, and old phones compile it before they say yes."""
INSTRUMENT_TIMEOUT_S: Final = 540.0
"""As long as a whole task takes unless its recipe says otherwise, less a minute for what comes before and after."""
TESTS_TOLD_MAX: Final = 100
"""Tests whose results are outputs, those that did not pass first; the artifact has all."""

Permission = Annotated[
    str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+$(?!\n)", max_length=255)
]
ClassName = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_.$]*$(?!\n)", max_length=255)]
TestName = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_.$]*(#[^\s,#]+)?$(?!\n)", max_length=255)]
ArgumentName = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_.]*$(?!\n)", max_length=128)]


class Install(Arguments, frozen=True, kw_only=True):
    """Install or update an app from a stored file, and see that the device has that version."""

    file: FileReference
    package: Package | None = None
    """What must be in the file; None = whatever is."""
    downgrade: bool = False
    """Also over a newer version, which Android allows for apps that can be debugged."""
    grant_permissions: bool = False
    """Give every permission that the app asks for and a person would be asked for."""
    test_only: bool = False
    """Also an app that is marked as for tests only."""


class InstallOutputs(Outputs, frozen=True, kw_only=True):
    package: str
    version_code: int
    version_name: str
    """Empty when the app's developers made it a resource."""
    previous_version_code: int | None
    """What was there before; null = nothing."""
    size_bytes: int


class Inspect(Arguments, frozen=True, kw_only=True):
    """Read whether and how a device has an app, and what decides whether it can have another version of it."""

    package: Package


class InspectOutputs(Outputs, frozen=True, kw_only=True):
    package: str
    installed: bool
    version_code: int | None
    """null = it is not installed."""
    version_name: str
    signer: str
    """Whose certificate signed it, as `dumpsys package` writes it: a hash of 32 bits; several joined by commas.
    Empty when it is not installed, or the device does not tell (Android 8 and older)."""
    granted: list[str]
    """Every permission that the app has been given."""
    system: bool
    """It is on the system's own partition, or an update of such an app: it can not be removed."""
    sdk: int
    """Android API level of the device; 0 = it does not tell."""
    abis: list[str]
    """Of which the device runs native code, the best first."""
    storage_free_mb: int | None


class Uninstall(Arguments, frozen=True, kw_only=True):
    """Remove an app with its data."""

    package: Package
    missing_ok: bool = True
    """An app that is not there is removed already."""


class UninstallOutputs(Outputs, frozen=True, kw_only=True):
    removed: bool
    """Whether it was there."""


class Clear(Arguments, frozen=True, kw_only=True):
    """Stop an app and put it back to how it was when it was installed: its data, its permissions."""

    package: Package


class Grant(Arguments, frozen=True, kw_only=True):
    """Give an app permissions that a person would be asked for, or take them."""

    package: Package
    permissions: Annotated[list[Permission], Meta(min_length=1, max_length=64)]
    """Whole names, such as ``android.permission.CAMERA``."""
    revoke: bool = False


class GrantOutputs(Outputs, frozen=True, kw_only=True):
    granted: list[str]
    """Every permission that the app has been given, after the step."""


class Instrument(Arguments, frozen=True, kw_only=True):
    """Run the tests of an installed test app on the device; fails (class app) when one of them does."""

    package: Package
    """Of the test app, such as ``com.example.app.test``."""
    runner: ClassName | None = None
    """Class of its runner; None = the one that its manifest names."""
    tests: Annotated[list[TestName], Meta(max_length=200)] = msgspec.field(default_factory=list)
    """Classes, or single tests as ``com.example.LoginTest#logsIn``; empty = all."""
    arguments: dict[ArgumentName, Text] = msgspec.field(default_factory=dict)
    """For the runner, as `am instrument -e` takes them; no secrets: the device shows them."""
    tests_min: Annotated[int, Meta(ge=0, le=100_000)] = 1
    """Fewer tests than these are a failure: a filter that meets nothing passes otherwise."""
    failures_ok: bool = False
    """Pass although tests failed, so that the recipe judges by the outputs."""


class TestResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one test ended."""

    __test__ = False

    test: str
    """``com.example.LoginTest#logsIn``."""
    outcome: Literal["passed", "failed", "skipped", "crashed"]
    message: str
    """First line of what a failed test said; empty otherwise."""


class InstrumentOutputs(Outputs, frozen=True, kw_only=True):
    tests: int
    passed: int
    failed: int
    """Crashed ones too."""
    skipped: int
    duration_ms: int
    results: list[TestResult]
    """At most TESTS_TOLD_MAX, those that did not pass first."""
    artifact: str
    """All results as JUnit XML; handed over for storage already."""


APP_STEPS: Final[tuple[StepType, ...]] = (
    on_device("app.install", Install, InstallOutputs, idempotent=True, timeout_s=INSTALL_TIMEOUT_S),
    on_device("app.inspect", Inspect, InspectOutputs, idempotent=True),
    on_device("app.uninstall", Uninstall, UninstallOutputs, idempotent=True),
    on_device("app.clear", Clear, NoOutputs, idempotent=True),
    on_device("app.grant", Grant, GrantOutputs, idempotent=True),
    on_device("app.instrument", Instrument, InstrumentOutputs, idempotent=False, timeout_s=INSTRUMENT_TIMEOUT_S),
)
