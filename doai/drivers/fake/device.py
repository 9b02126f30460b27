"""A fake device as steps see it (step 9)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import trio

from doai.drivers import failures
from doai.drivers.base import DEFAULT_INSTALL, CommandOutput, InstallOptions
from doai.drivers.fake.phone import FakePhone, RebootedError
from doai.drivers.fake.scripts import scripted_failure
from doai.phone.files import FileError

if TYPE_CHECKING:
    from doai.drivers.fake.driver import FakeDriver

_T = TypeVar("_T")


class FakeDevice:
    """One device; keeps the promises of doai.drivers.base.Device."""

    def __init__(self, serial: str, tag: str, driver: FakeDriver) -> None:
        self._serial = serial
        self._tag = tag
        self._driver = driver

    @property
    def serial(self) -> str:
        return self._serial

    @property
    def address(self) -> str:
        return self._serial  # no adb server knows it

    async def shell(self, command: str, *, stdin: bytes = b"") -> CommandOutput:
        """Run a shell command line; a non-zero exit code is an answer."""
        output = await self._call(command, lambda phone: phone.run(command, stdin))
        assert isinstance(output, CommandOutput)
        return output

    async def follow(self, command: str, take: Callable[[bytes], None]) -> CommandOutput:
        """Run a command line and pass its stdout on as it comes; what is scripted comes at once."""
        output = await self._call(command, lambda phone: phone.run(command, b"", take))
        assert isinstance(output, CommandOutput)
        if output.stdout:
            take(output.stdout)
        return CommandOutput(b"", output.stderr, output.exit_code)

    async def screenshot(self) -> bytes:
        """Return the screen as a whole PNG."""

        async def work(phone: FakePhone) -> bytes:
            return phone.screenshot()

        output = await self._call("screencap -p", work)
        return output.stdout if isinstance(output, CommandOutput) else output

    async def push(self, data: bytes, remote_path: str, *, mode: int = 0o644) -> None:
        """Write a file on the device."""

        async def work(phone: FakePhone) -> None:
            try:
                phone.push(data, remote_path, mode)
            except FileError as error:
                raise failures.file_refused(self._serial, "push", remote_path, str(error)) from None

        await self._call(f"push {remote_path}", work)

    async def push_file(self, path: str, remote_path: str, *, mode: int = 0o644) -> None:
        """Write a file of this host on the device."""
        await self.push(await _bytes_of(path), remote_path, mode=mode)

    async def pull(self, remote_path: str) -> bytes:
        """Read a file from the device."""

        async def work(phone: FakePhone) -> bytes:
            try:
                return phone.model.files.read(remote_path)
            except FileError as error:
                raise failures.file_refused(self._serial, "pull", remote_path, str(error)) from None

        output = await self._call(f"pull {remote_path}", work)
        return output.stdout if isinstance(output, CommandOutput) else output

    async def install(self, apk_path: str, options: InstallOptions = DEFAULT_INSTALL) -> None:
        """Install or update an app from a file of this host."""
        data = await _bytes_of(apk_path)
        remote = "/data/local/tmp/doai.apk"
        await self.push(data, remote)
        output = await self.shell(f"pm install {options.flags} {remote}")
        await self.shell(f"rm -f {remote}")
        failures.check_package(self._serial, f"install {apk_path}", output)

    async def uninstall(self, package: str) -> None:
        """Remove an app."""
        output = await self.shell(f"pm uninstall {failures.package_name(package)}")
        failures.check_package(self._serial, f"uninstall {package}", output)

    async def _call(self, command: str, work: Callable[[FakePhone], Awaitable[_T]]) -> _T | CommandOutput:
        """Do what is scripted for this command, else the work."""
        driver = self._driver
        phone = driver.usable(self._serial)
        with phone.calls.call():
            script = driver.scripts.take(self._serial, command)
            delay_s = driver.latency_s + (script.delay_s if script is not None else 0.0)
            driver.note(self._serial, self._tag, command)
            await trio.sleep(delay_s)
            if script is not None:
                if script.vanish:
                    driver.vanish(self._serial)
                if script.hang or script.vanish:
                    await trio.sleep_forever()
                if script.fail is not None:
                    raise scripted_failure(script, self._serial, command)
            try:
                result = script.answer if script is not None and script.answer is not None else await work(phone)
            except RebootedError:
                driver.reboot(self._serial)
                await trio.sleep_forever()
        driver.answered(phone)
        return result


async def _bytes_of(path: str) -> bytes:
    try:
        return await trio.Path(path).read_bytes()
    except OSError as error:
        raise failures.no_such_file("this node", f"{path} ({error.strerror or error})") from None
