"""What a driver is: the only way from a step to a device (step 9).

Three drivers exist, `adb`, `fake` and `xiaowei`; one conformance suite holds them to this contract. Every call is
cancellable, raises StepError with an ErrorClass on failure, and never returns incomplete output as success.
The caller bounds the time with a cancel scope; a driver never adds a deadline of its own that ends a good call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, runtime_checkable

import msgspec

from doai.key_enum import KeyEnum
from doai.states import DeviceState


class CommandOutput(msgspec.Struct, frozen=True):
    """What a shell command on the device wrote and how it ended; complete, or the call raised."""

    stdout: bytes
    stderr: bytes
    exit_code: int

    @property
    def text(self) -> str:
        """stdout as text, undecodable bytes replaced, without the last line break."""
        return self.stdout.decode("utf-8", "replace").rstrip("\r\n")


class InstallOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What an installation may do besides installing or updating."""

    downgrade: bool = False
    """Over a newer version; Android allows it for apps that can be debugged."""
    grant_permissions: bool = False
    """Give every permission that the app asks for and a person would be asked for."""
    test_only: bool = False
    """Also an app that is marked as for tests only, as development tools build them."""

    @property
    def flags(self) -> str:
        """The options of `pm install`; -r lets it update."""
        wanted = (("-d", self.downgrade), ("-g", self.grant_permissions), ("-t", self.test_only))
        return " ".join(["-r", *(flag for flag, is_wanted in wanted if is_wanted)])


DEFAULT_INSTALL: Final = InstallOptions()


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a device: the fields of the DeviceOnline event that a driver can tell."""

    serial: str
    """The device's own serial (ro.serialno), the key everywhere; not the transport's address."""
    connection: str
    """How the driver addresses it now."""
    model: str = ""
    manufacturer: str = ""
    sdk: int = 0
    android: str = ""
    screen: tuple[int, int] = (0, 0)
    usb_path: str = ""
    """Where on USB it is, e.g. ``1-4.2``; empty = not on USB."""


class DeviceChange(msgspec.Struct, frozen=True, kw_only=True):
    """A device came, went, or changed state."""

    serial: str
    state: DeviceState
    reason: str = ""
    """One sentence for a person when the state is not ONLINE."""
    info: DeviceInfo | None = None
    """Given when ONLINE."""
    usb_path: str = ""
    """Where on USB it is when it is UNAUTHORIZED: a person must find it."""


class ProofKind(KeyEnum):
    """What was proven of a device, each with a time of its own."""

    ADB = "adb"
    """The transport lists the device as usable."""
    ANSWER = "answer"
    """The device itself answered a command."""


class Proof(msgspec.Struct, frozen=True):
    """A device was proven alive in one way, now."""

    serial: str
    kind: ProofKind


class DriverNotice(msgspec.Struct, frozen=True, kw_only=True):
    """Something an operator should know that is no state of a device: the adb server was restarted, one serial
    is seen twice, an address can not be reached."""

    code: str
    """Stable snake_case name, e.g. ``adb_server_restarted``, ``device_serial_twice``, ``connect_failed``."""
    message: str
    """One sentence: what, where, what to do."""
    serial: str | None = None
    """The device concerned, where there is one."""


class Device(Protocol):
    """One device, addressed by its own serial; calls that do something go one at a time per device (the node's FIFO
    sees to it). Shell commands that only read may come beside them, over another object of the same device.

    A call finds the device anew each time, so one object stays usable over a reconnect. A call in progress ends
    with StepError when the device leaves (``device_offline``) or is proven silent (``device_unresponsive``).
    """

    @property
    def serial(self) -> str: ...

    @property
    def address(self) -> str:
        """What the adb server calls it now, as in ``adb -s``; raises StepError when it can not be used."""
        ...

    async def shell(self, command: str, *, stdin: bytes = b"") -> CommandOutput:
        """Run a shell command line; a non-zero exit code is an answer, not an error."""
        ...

    async def screenshot(self) -> bytes:
        """Return the screen as a PNG, checked for completeness (doai.drivers.png)."""
        ...

    async def push(self, data: bytes, remote_path: str, *, mode: int = 0o644) -> None:
        """Write a file on the device; folders on the way are made. Codes: storage_full, push_failed."""
        ...

    async def push_file(self, path: str, remote_path: str, *, mode: int = 0o644) -> None:
        """Write a file of this host on the device, read piece by piece. Codes as of `push`, and no_such_file."""
        ...

    async def pull(self, remote_path: str) -> bytes:
        """Read a file from the device. Codes: no_such_file, pull_failed."""
        ...

    async def install(self, apk_path: str, options: InstallOptions = DEFAULT_INSTALL) -> None:
        """Install or update an app from a file of the host; the failure's code is adb's INSTALL_FAILED_* in
        lower case, or no_such_file when the host has no such file."""
        ...

    async def uninstall(self, package: str) -> None:
        """Remove an app; the failure's code is adb's DELETE_FAILED_* in lower case."""
        ...


@runtime_checkable
class Follows(Protocol):
    """A device whose driver can tell what a command writes while it still runs; not every way to a phone can."""

    async def follow(self, command: str, take: Callable[[bytes], None]) -> CommandOutput:
        """Run a command line and give ``take`` its stdout as it comes, in pieces; returns stderr and exit code.

        ``take`` is called between others' turns and must not wait. A command that is cancelled ends on the phone.
        """
        ...


class Driver(Protocol):
    """A connection to all devices of one kind on this host.

    A driver may have ``cannot``, a frozenset with the names of steps that its devices can not do: they are refused
    with `driver_cannot`, and a node whose drivers all can not do a step does not advertise it.
    """

    name: str
    """``adb``, ``fake``, ``xiaowei``: what nodes advertise as ``driver:NAME``."""

    def run(self) -> AbstractAsyncContextManager[None]:
        """Hold what the driver needs (server, tracking) for the time of the context.

        After it, or what comes of `changes`, has raised, it is entered again: what it held is given back then.
        """
        ...

    def changes(self) -> AsyncIterator[DeviceChange | Proof | DriverNotice]:
        """Yield what happens to devices: first what is there now, then every change, proof and notice, for ever.

        Nothing is missed from the moment of this call on, though iteration may begin later. A reader that is
        far behind still gets the newest state of every device (doai.drivers.feed says how far).
        """
        ...

    def device(self, serial: str, *, tag: str = "") -> Device:
        """Return the device; raises StepError (class device, code device_offline, or device_unauthorized) when it
        can not be used now. One that is unresponsive is returned: the next answer brings it back.

        ``tag`` (``task/token/step/try``, letters, digits and ``._-/[]``) goes before every command
        as the shell assignment ``DOAI_STEP=tag;``: harmless on a phone, and its journal can tell which step did
        what. File transfers carry no tag: their protocol has no room for one.
        """
        ...
