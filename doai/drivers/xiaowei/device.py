"""One phone behind the vendor's program, as steps see it: finds it anew for every call (step 9)."""

from __future__ import annotations

import hashlib
import shlex
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

import trio

from doai.drivers import failures
from doai.drivers.base import DEFAULT_INSTALL, CommandOutput, InstallOptions
from doai.drivers.screenshot import taken_picture
from doai.drivers.xiaowei.answers import AnswerError, RefusedError
from doai.drivers.xiaowei.client import CutError, UnreachableError
from doai.drivers.xiaowei.commands import Commands, new_mark
from doai.drivers.xiaowei.marked import CutOffError, MarkedError, file_of
from doai.drivers.xiaowei.phones import Phone, Phones
from doai.errors import StepError

LOOK_EVERY_S: Final = 0.2
"""Between two looks whether a file that was sent is whole on the phone."""
CLEAN_UP_S: Final = 2.0
"""What a cut-off transfer left behind is removed within this, or when the phone is seen the next time."""

PREFIX: Final = "to-phone-"
"""Beginning of the names of files in the exchange folder."""

_T = TypeVar("_T")


class XiaoweiDevice:
    """One device; keeps the promises of doai.drivers.base.Device."""

    def __init__(
        self, serial: str, tag: str, commands: Commands, phones: Phones, *, folder: Path, settle_s: float
    ) -> None:
        self._serial = serial
        self._tag = tag
        self._commands = commands
        self._phones = phones
        self._folder = folder
        self._settle_s = settle_s

    @property
    def serial(self) -> str:
        return self._serial

    @property
    def address(self) -> str:
        """Raises StepError (driver_cannot): the program's adb server is its own."""
        raise failures.driver_cannot(
            "xiaowei",
            f"tell an adb address of device {self._serial}",
            "run the step on a node whose driver is adb",
        )

    async def shell(self, command: str, *, stdin: bytes = b"") -> CommandOutput:
        """Run a shell command line; a non-zero exit code is an answer."""
        if not stdin:
            return await self._run(command, tag=self._tag)
        async with self._file_of(stdin) as path, self._sent(path) as remote:
            return await self._run(command, tag=self._tag, stdin_path=remote)

    async def screenshot(self) -> bytes:
        """Return the screen as a whole PNG.

        By a command and not by the program's own `screen`: that answers before its file exists, and names no file.
        """
        return taken_picture(self._serial, await self.shell("screencap -p"))

    async def push(self, data: bytes, remote_path: str, *, mode: int = 0o644) -> None:
        """Write a file on the device."""
        async with self._file_of(data) as path:
            await self._push(path, remote_path, mode)

    async def push_file(self, path: str, remote_path: str, *, mode: int = 0o644) -> None:
        """Write a file of this host on the device."""
        async with self._copy_of(path) as copy:
            await self._push(copy, remote_path, mode)

    async def pull(self, remote_path: str) -> bytes:
        """Read a file from the device."""
        output = await self._run(f"cat {shlex.quote(remote_path)}")
        if output.exit_code != 0:
            raise failures.file_refused(self._serial, "pull", remote_path, _said(output))
        return output.stdout

    async def install(self, apk_path: str, options: InstallOptions = DEFAULT_INSTALL) -> None:
        """Install or update an app from a file of this host.

        By `pm` and not by the program's own `installApk`: that takes no options, and claims success of nothing.
        """
        async with self._copy_of(apk_path) as path, self._sent(path) as remote:
            output = await self._run(f"pm install {options.flags} {remote}", tag=self._tag)
        failures.check_package(self._serial, f"install {apk_path}", output)

    async def uninstall(self, package: str) -> None:
        """Remove an app."""
        output = await self.shell(f"pm uninstall {failures.package_name(package)}")
        failures.check_package(self._serial, f"uninstall {package}", output)

    async def _push(self, path: Path, remote_path: str, mode: int) -> None:
        folder, target = shlex.quote(remote_path.rpartition("/")[0] or "/"), shlex.quote(remote_path)
        async with self._sent(path) as sent:
            # Whether modes can be set depends on the file system; shared storage knows none.
            output = await self._run(
                f"mkdir -p {folder} && mv -f {sent} {target} && chmod {mode:o} {target} 2>/dev/null; ls -d {target}"
            )
        if output.exit_code != 0 or output.stderr:
            raise failures.file_refused(self._serial, "push", remote_path, _said(output))

    @asynccontextmanager
    async def _sent(self, path: Path) -> AsyncIterator[str]:
        """Have a file of the exchange folder on the phone, looked at there; yields its path on the phone."""
        remote = file_of(new_mark(), "in")
        try:
            said = await self._call(
                "sending a file", lambda phone: self._commands.send_file(phone, str(path), remote)
            )
            await self._wait_whole(path, remote, said)
            yield remote
        finally:
            with trio.move_on_after(CLEAN_UP_S) as scope:
                scope.shield = True
                await self._remove(remote)

    async def _wait_whole(self, path: Path, remote: str, said: str) -> None:
        """Wait until the file is whole on the phone: the program answers before it is."""
        digest = await trio.to_thread.run_sync(_digest, path)
        until_s = trio.current_time() + self._settle_s
        while True:
            output = await self._run(f"sha256sum {remote}")
            if output.text.split()[:1] == [digest]:
                return
            # Looked at before the time: a phone that takes long to answer has not had its time.
            if trio.current_time() >= until_s or "no space left" in said.lower():
                why = f"it is not there, and the vendor's program says: {said[:200]}"
                raise failures.file_refused(self._serial, "push", remote, why)
            await trio.sleep(LOOK_EVERY_S)

    async def _remove(self, remote: str) -> None:
        try:
            await self._run(f"rm -f {remote}")
        except StepError:
            return  # The phone went: the file is removed when it is seen the next time.

    @asynccontextmanager
    async def _file_of(self, data: bytes) -> AsyncIterator[Path]:
        """Have bytes in a file that the program can read."""
        path = await trio.to_thread.run_sync(_write, self._folder, data)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    @asynccontextmanager
    async def _copy_of(self, source: str) -> AsyncIterator[Path]:
        """Have a copy under a name that the program's command line can hold."""
        try:
            path = await trio.to_thread.run_sync(_copy, self._folder, source)
        except OSError as error:
            raise failures.no_such_file("this node", f"{source} ({error.strerror or error})") from None
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    async def _run(self, command: str, *, tag: str = "", stdin_path: str = "") -> CommandOutput:
        return await self._call(
            "a command", lambda phone: self._commands.run(phone, command, tag=tag, stdin_path=stdin_path)
        )

    async def _call(self, what: str, work: Callable[[Phone], Awaitable[_T]]) -> _T:
        """Do work on the phone; turns what the client raises into StepError."""
        phone = self._phones.find(self._serial)
        with phone.calls.call():
            try:
                result = await work(phone)
            except UnreachableError as error:
                raise failures.xiaowei_down(self._phones.url, str(error)) from None
            except CutError as error:
                raise failures.xiaowei_cut(self._serial, what, str(error)) from None
            except RefusedError as error:
                raise failures.xiaowei_refused(self._serial, what, str(error)) from None
            except CutOffError as error:
                if error.no_space:
                    raise failures.storage_full(self._serial, f"the output of {what}") from None
                raise failures.output_incomplete(self._serial, what, error.received_bytes) from None
            except (AnswerError, MarkedError) as error:
                raise failures.output_garbled(self._serial, what, str(error)) from None
        self._phones.answered(phone)
        return result


def _said(output: CommandOutput) -> str:
    return output.stderr.decode("utf-8", "replace").strip()[:300] or f"exit code {output.exit_code}"


def _write(folder: Path, data: bytes) -> Path:
    with tempfile.NamedTemporaryFile(dir=folder, prefix=PREFIX, delete=False) as file:
        file.write(data)
    return Path(file.name)


def _copy(folder: Path, source: str) -> Path:
    with (
        Path(source).open("rb") as read,
        tempfile.NamedTemporaryFile(dir=folder, prefix=PREFIX, delete=False) as file,
    ):
        shutil.copyfileobj(read, file)
    return Path(file.name)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
