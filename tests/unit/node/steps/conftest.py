"""Contexts for steps: over a device that answers from a script, and over the simulated phone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from doai.drivers import failures
from doai.drivers.base import DEFAULT_INSTALL, CommandOutput, InstallOptions
from doai.errors import ErrorClass, StepError
from doai.messages.work import FilePin
from doai.node.steps.base import ArtifactRef, step_failed
from doai.node.steps.table import STEPS
from doai.phone.device import Device as Phone
from doai.phone.files import FileError
from doai.phone.profiles import PROFILES
from doai.phone.shell import run_at_once
from doai.workflow.steps import BUILT_IN

Reply = str | bytes | CommandOutput


class ScriptedDevice:
    """Answers each command with the first rule whose key is part of it; keeps what it was asked."""

    serial = "PHONE-1"

    def __init__(self, rules: dict[str, Reply | Callable[[str], Reply]]) -> None:
        self.rules = rules
        self.commands: list[str] = []
        self.picture = b""
        self.pushed: dict[str, bytes] = {}
        self._busy = False

    async def shell(self, command: str, *, stdin: bytes = b"") -> CommandOutput:
        assert not self._busy, "one device command at a time"
        self._busy = True
        try:
            await trio.lowlevel.checkpoint()
            self.commands.append(command)
            rule = next((rule for key, rule in self.rules.items() if key in command), "")
            reply = rule(command) if callable(rule) else rule
        finally:
            self._busy = False
        if isinstance(reply, CommandOutput):
            return reply
        return CommandOutput(reply.encode() if isinstance(reply, str) else reply, b"", 0)

    async def screenshot(self) -> bytes:
        return self.picture

    async def push(self, data: bytes, remote_path: str, *, mode: int = 0o644) -> None:
        self.pushed[remote_path] = data

    async def pull(self, remote_path: str) -> bytes:
        return self.pushed[remote_path]

    async def push_file(self, path: str, remote_path: str, *, mode: int = 0o644) -> None:
        await self.push(await trio.Path(path).read_bytes(), remote_path, mode=mode)

    async def install(self, apk_path: str, options: InstallOptions = DEFAULT_INSTALL) -> None:
        await self.push_file(apk_path, "/data/local/tmp/a.apk")
        output = await self.shell(f"pm install {options.flags} /data/local/tmp/a.apk")
        failures.check_package(self.serial, f"install {apk_path}", output)

    async def uninstall(self, package: str) -> None:
        output = await self.shell(f"pm uninstall {package}")
        failures.check_package(self.serial, f"uninstall {package}", output)


class PhoneDevice(ScriptedDevice):
    """The simulated phone, without a wire between; its time is trio's."""

    def __init__(self, sdk: int) -> None:
        super().__init__({})
        profile = next(profile for profile in PROFILES if (profile.sdk >= 33) == (sdk >= 33))
        self.phone = Phone(
            serial=self.serial, profile=profile, tags=("lab",), now_s=trio.current_time(), wall_offset_s=0.0
        )

    async def shell(self, command: str, *, stdin: bytes = b"") -> CommandOutput:
        await trio.lowlevel.checkpoint()
        self.commands.append(command)
        boots = self.phone.boots
        done = run_at_once(self.phone, f"DOAI_STEP=t/1.1/s/1;{command}", trio.current_time(), stdin)
        if self.phone.boots != boots:
            raise failures.device_offline(self.serial, "it restarts")
        return CommandOutput(done.stdout, done.stderr, done.exit_code)

    async def screenshot(self) -> bytes:
        return (await self.shell("screencap -p")).stdout

    async def push(self, data: bytes, remote_path: str, *, mode: int = 0o644) -> None:
        try:
            self.phone.files.make_folder(remote_path.rpartition("/")[0] or "/", parents=True)
            self.phone.files.write(remote_path, data, 0, mode=mode)
        except FileError as error:
            raise failures.file_refused(self.serial, "push", remote_path, str(error)) from None

    async def pull(self, remote_path: str) -> bytes:
        try:
            return self.phone.files.read(remote_path)
        except FileError as error:
            raise failures.file_refused(self.serial, "pull", remote_path, str(error)) from None


class Context:
    """A StepContext that keeps artifacts in memory."""

    step_id = "step-1"
    run_id = "RUN-1"
    recipe = "check"

    def __init__(self, device: ScriptedDevice) -> None:
        self.device = device
        self.kept: dict[str, bytes] = {}
        self.spooled: list[str] = []
        self.logged: list[str] = []
        self.sentences: list[str] = []
        self.files: dict[str, Path] = {}
        """Stored files that steps may ask for, by reference."""

    @contextmanager
    def using_device(self) -> Iterator[str]:
        yield self.device.serial

    async def keep_artifact(
        self, data: bytes, *, extension: str, media_type: str, name: str | None = None
    ) -> ArtifactRef:
        reference = f"{name or self.step_id}-1.{extension}"
        self.kept[reference] = data
        return ArtifactRef(
            name=reference,
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            media_type=media_type,
            path=f"c/n/s/r/{reference}",
        )

    async def spool_artifact(self, reference: str) -> ArtifactRef:
        self.spooled.append(reference)
        return ArtifactRef(name=reference, sha256="ab", size_bytes=1, media_type="image/png", path=f"c/{reference}")

    def pinned(self, reference: str) -> FilePin | None:
        known = self.files.get(reference)
        return None if known is None else FilePin(reference=reference, version="1", sha256="ab", size_bytes=1)

    async def file(self, reference: str) -> Path:
        if reference not in self.files:
            raise step_failed(ErrorClass.USER, "no_such_file", f"There is no file {reference}: put it there.")
        return self.files[reference]

    def add_to_failure(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def log(self, message: str, /, **fields: object) -> None:
        self.logged.append(message)


class Bench:
    """Performs a step as the runner does: from plain arguments, through the table."""

    def __init__(self, device: ScriptedDevice) -> None:
        self.device = device
        self.context = Context(device)

    async def do(self, use: str, **arguments: Any) -> Any:
        kind = BUILT_IN[use]
        outputs = await STEPS[use](msgspec.convert(arguments, kind.arguments), self.context)
        assert type(outputs) is kind.outputs
        msgspec.json.encode(outputs)
        return outputs

    async def fail(self, use: str, **arguments: Any) -> StepError:
        with pytest.raises(StepError) as caught:
            await self.do(use, **arguments)
        assert len(str(caught.value)) < 1200
        return caught.value


@pytest.fixture
def scripted() -> Callable[[dict[str, Reply | Callable[[str], Reply]]], Bench]:
    return lambda rules: Bench(ScriptedDevice(rules))


@pytest.fixture(params=[30, 33])
async def phone(request: pytest.FixtureRequest) -> Bench:
    """The simulated phone, of an Android before and after the media report changed."""
    return Bench(PhoneDevice(request.param))
