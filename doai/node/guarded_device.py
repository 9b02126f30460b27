"""A device as one try may use it: not after the attempt is over, and how each call ended is seen (step 8)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType

from doai.clock import Clock
from doai.drivers.base import DEFAULT_INSTALL, CommandOutput, Device, InstallOptions
from doai.drivers.failures import UNOBSERVED
from doai.errors import ErrorClass, StepError
from doai.node.steps.base import step_failed


class GuardedDevice:
    """Passes calls on to a driver's device; one call at a time."""

    def __init__(self, device: Device, clock: Clock, act_until_s: float, *, sensitive: bool = False) -> None:
        """``sensitive``: no picture of the screen may be taken."""
        self._device = device
        self._clock = clock
        self._act_until_s = act_until_s
        self._sensitive = sensitive
        self.unobserved = False
        """The last call began and its end was not seen."""
        self._call = _Call(self)

    @property
    def serial(self) -> str:
        return self._device.serial

    @property
    def address(self) -> str:
        return self._device.address

    async def shell(self, command: str, *, stdin: bytes = b"") -> CommandOutput:
        with self._call:
            return await self._device.shell(command, stdin=stdin)

    async def screenshot(self) -> bytes:
        if self._sensitive:
            raise step_failed(
                ErrorClass.USER,
                "sensitive_step",
                "The step is sensitive, which forbids pictures while it runs: take one before or after.",
            )
        with self._call:
            return await self._device.screenshot()

    async def push(self, data: bytes, remote_path: str, *, mode: int = 0o644) -> None:
        with self._call:
            await self._device.push(data, remote_path, mode=mode)

    async def push_file(self, path: str, remote_path: str, *, mode: int = 0o644) -> None:
        with self._call:
            await self._device.push_file(path, remote_path, mode=mode)

    async def pull(self, remote_path: str) -> bytes:
        with self._call:
            return await self._device.pull(remote_path)

    async def install(self, apk_path: str, options: InstallOptions = DEFAULT_INSTALL) -> None:
        with self._call:
            await self._device.install(apk_path, options)

    async def uninstall(self, package: str) -> None:
        with self._call:
            await self._device.uninstall(package)

    def outside(self) -> AbstractContextManager[None]:
        """Guard what uses the device past the driver, as a call is guarded."""
        return self._call

    def begin(self) -> None:
        """A call begins. Raises StepError after the last moment of the attempt."""
        # After this moment the broker may have given the device to another attempt.
        if self._clock.now().mono_s >= self._act_until_s:
            raise step_failed(
                ErrorClass.TIMEOUT,
                "attempt_over",
                f"The time of the attempt is over: device {self._device.serial} is not touched any more.",
            )
        self.unobserved = True


class _Call:
    """One call after the other, each for the time of a ``with``. No generator: every command of a step is one."""

    __slots__ = ("_guarded",)

    def __init__(self, guarded: GuardedDevice) -> None:
        self._guarded = guarded

    def __enter__(self) -> None:
        self._guarded.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._guarded.unobserved = False
        elif isinstance(error, StepError):
            self._guarded.unobserved = error.failure.code in UNOBSERVED
