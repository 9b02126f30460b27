"""One device behind adb, as steps see it: finds its transport anew for every call (step 9)."""

from __future__ import annotations

import hashlib
import shlex
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, TypeVar

import trio

from doai.drivers import failures
from doai.drivers.adb.client import AdbClient, AdbCutError, AdbError, AdbRefusedError, AdbUnreachableError
from doai.drivers.adb.registry import Registry, Transport
from doai.drivers.adb.shell import ShellGarbledError, follow_shell, run_shell, run_without_input, shell_of
from doai.drivers.adb.sync import SyncRefusedError, pull_file, push_file
from doai.drivers.base import DEFAULT_INSTALL, CommandOutput, InstallOptions
from doai.drivers.calls import Call, CutCall
from doai.drivers.screenshot import taken_picture
from doai.errors import ErrorClass, StepError

READ_BYTES: Final = 1024 * 1024
"""Of an app file at a time: an app of 200 MB needs no 200 MB here."""
SERVER_ASKED_S: Final = 2.0
"""After a cut connection the server is asked for this long whether it is still there."""
TEMPORARY_FOLDER: Final = "/data/local/tmp"
"""Where the shell user may write and the package manager may read."""

_T = TypeVar("_T")


class AdbDevice:
    """One device; keeps the promises of doai.drivers.base.Device."""

    def __init__(self, serial: str, tag: str, client: AdbClient, registry: Registry) -> None:
        self._serial = serial
        self._prefix = failures.tagged(tag, "")
        self._client = client
        self._registry = registry

    @property
    def serial(self) -> str:
        return self._serial

    @property
    def address(self) -> str:
        return self._registry.find(self._serial).address

    async def shell(self, command: str, *, stdin: bytes = b"") -> CommandOutput:
        """Run a shell command line; a non-zero exit code is an answer."""
        line = self._prefix + command
        transport = self._registry.find(self._serial)
        if stdin or not self._client.has_room:
            return await self._call(
                "a command", transport, transport.calls.call(), run_shell(self._client, transport.id, line, stdin)
            )
        held = shell_of(self._client, transport.id, line)
        return await self._call("a command", transport, transport.calls.cut_call(held.cut), run_without_input(held))

    async def follow(self, command: str, take: Callable[[bytes], None]) -> CommandOutput:
        """Run a command line and pass its stdout on as it comes."""
        line = self._prefix + command
        return await self._held_call(
            "a command", lambda transport_id: follow_shell(self._client, transport_id, line, take)
        )

    async def screenshot(self) -> bytes:
        """Return the screen as a whole PNG.

        Over shell,v2 and not exec: a cancelled one ends on the phone, and its failure has an exit code.
        """
        return taken_picture(self._serial, await self.shell("screencap -p"))

    async def push(self, data: bytes, remote_path: str, *, mode: int = 0o644) -> None:
        """Write a file on the device."""
        await self._push(_one(data), remote_path, mode)

    async def push_file(self, path: str, remote_path: str, *, mode: int = 0o644) -> None:
        """Write a file of this host on the device."""
        try:
            await self._push(_blocks(path), remote_path, mode)
        except OSError as error:
            raise failures.no_such_file("this node", f"{path} ({error.strerror or error})") from None

    async def pull(self, remote_path: str) -> bytes:
        """Read a file from the device."""
        try:
            return await self._held_call(
                "reading a file", lambda transport_id: pull_file(self._client, transport_id, remote_path)
            )
        except SyncRefusedError as error:
            raise failures.file_refused(self._serial, "pull", remote_path, str(error)) from None

    async def install(self, apk_path: str, options: InstallOptions = DEFAULT_INSTALL) -> None:
        """Install or update an app from a file of this host."""
        try:
            digest = await trio.to_thread.run_sync(_digest, apk_path)
            # Named by its content: what a cut installation left behind is written over by the next try.
            remote = f"{TEMPORARY_FOLDER}/doai-{digest[:16]}.apk"
            await self._push(_blocks(apk_path), remote, 0o644)
        except OSError as error:
            raise failures.no_such_file("this node", f"{apk_path} ({error.strerror or error})") from None
        try:
            output = await self.shell(f"pm install {options.flags} {remote}")
        finally:
            with trio.move_on_after(SERVER_ASKED_S):
                await self._remove(remote)
        failures.check_package(self._serial, f"install {apk_path}", output)

    async def uninstall(self, package: str) -> None:
        """Remove an app."""
        output = await self.shell(f"pm uninstall {failures.package_name(package)}")
        failures.check_package(self._serial, f"uninstall {package}", output)

    async def _push(self, blocks: AsyncGenerator[bytes, None], remote_path: str, mode: int) -> None:
        now_s = int(time.time())
        try:
            await self._held_call(
                "writing a file",
                lambda transport_id: push_file(
                    self._client, transport_id, blocks, remote_path, mode=mode, modified_at_s=now_s
                ),
            )
        except SyncRefusedError as error:
            raise failures.file_refused(self._serial, "push", remote_path, str(error)) from None

    async def _remove(self, remote_path: str) -> None:
        try:
            await self.shell(f"rm -f {shlex.quote(remote_path)}")
        except StepError:
            return  # The phone went: the file is written over by the next installation of this app.

    async def _held_call(self, what: str, work: Callable[[int], Awaitable[_T]]) -> _T:
        transport = self._registry.find(self._serial)
        return await self._call(what, transport, transport.calls.call(), work(transport.id))

    async def _call(self, what: str, transport: Transport, held: Call | CutCall, work: Awaitable[_T]) -> _T:
        """Do work on the device's transport; turns AdbError into StepError (SyncRefusedError is the caller's)."""
        with held as call:
            try:
                result = await work
            except SyncRefusedError:
                self._registry.answered(transport)
                raise
            except ShellGarbledError as error:
                raise failures.output_garbled(self._serial, what, str(error)) from None
            except AdbRefusedError as error:
                raise self._refused(what, str(error)) from None
            except AdbUnreachableError as error:
                raise failures.adb_server_down(self._client.port, str(error)) from None
            except AdbCutError as error:
                raise call.ended_by or await self._cut(what, error) from None
        self._registry.answered(transport)
        return result

    def _refused(self, what: str, text: str) -> StepError:
        if "unauthorized" in text or "authorizing" in text:
            return failures.device_unauthorized(self._serial)
        if "offline" in text or "not found" in text or "no device" in text:
            return failures.device_offline(self._serial, text)
        if text == "closed":
            return failures.output_incomplete(self._serial, what, 0)
        return failures.failed(
            ErrorClass.DEVICE,
            "device_refused",
            f"device {self._serial} refused {what} ({text[:200]}): doai needs Android 7 or newer",
        )

    async def _cut(self, what: str, error: AdbCutError) -> StepError:
        """Say whose cut it was: the server's, or the device's."""
        with trio.move_on_after(SERVER_ASKED_S):
            try:
                await self._client.version()
            except AdbError as gone:
                return failures.adb_server_down(self._client.port, str(gone))
        return failures.output_incomplete(self._serial, what, error.received_bytes)


async def _one(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data


async def _blocks(path: str) -> AsyncGenerator[bytes, None]:
    async with await trio.open_file(path, "rb") as file:
        while block := await file.read(READ_BYTES):
            yield block


def _digest(path: str) -> str:
    with open(path, "rb") as file:  # noqa: PTH123 - runs in a thread of its own
        return hashlib.file_digest(file, "sha256").hexdigest()
