"""What a step of a plug-in sees of its try: phone, artifacts, files, log; all of it through the node (step 8)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from doai.drivers.base import CommandOutput

Caller = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""Asks the node to do something for the try; raises StepError."""


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a step made."""

    name: str
    """Reference within the task, for `artifact.upload`."""
    sha256: str
    size_bytes: int
    path: str
    """Where it will be stored, relative to the artifacts folder."""


class PluginDevice:
    """The task's phone. Every call is made by the node, under the try's own tag; one at a time."""

    def __init__(self, serial: str, call: Caller) -> None:
        self.serial = serial
        self._call = call

    async def shell(self, command: str, *, stdin: bytes = b"") -> CommandOutput:
        """Run a shell command line; a non-zero exit code is an answer, not an error."""
        stdout, stderr, exit_code = await self._call("shell", {"command": command, "stdin": stdin})
        return CommandOutput(stdout=stdout, stderr=stderr, exit_code=exit_code)

    async def screenshot(self) -> bytes:
        """Return the screen as a PNG."""
        return bytes(await self._call("screenshot", {}))

    async def push(self, data: bytes, remote_path: str, *, mode: int = 0o644) -> None:
        """Write a file on the phone; folders on the way are made."""
        await self._call("push", {"data": data, "remote_path": remote_path, "mode": mode})

    async def push_file(self, path: str | Path, remote_path: str, *, mode: int = 0o644) -> None:
        """Write a file of the node's host on the phone, such as one of `Context.file`."""
        await self._call("push_file", {"path": str(path), "remote_path": remote_path, "mode": mode})

    async def pull(self, remote_path: str) -> bytes:
        """Read a file from the phone."""
        return bytes(await self._call("pull", {"remote_path": remote_path}))


class Context:
    """One try of one step. It may be cancelled at any await."""

    def __init__(
        self,
        *,
        step_id: str,
        run_id: str,
        task_id: str,
        workflow: str,
        try_number: int,
        timeout_s: float,
        serial: str,
        call: Caller,
        log: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self.step_id = step_id
        """With the steps around it, as ``login/reset``."""
        self.run_id = run_id
        self.task_id = task_id
        self.workflow = workflow
        self.try_number = try_number
        """From 1 on."""
        self.timeout_s = timeout_s
        """After so long the try is cancelled."""
        self.device = PluginDevice(serial, call)
        self._call = call
        self._log = log

    async def do(self, use: str, **arguments: Any) -> dict[str, Any]:
        """Perform a step of doai within this one, such as ``do("ui.tap", text="OK")``; returns its outputs.

        It is this step that fails when it does, and its timeout that counts.
        """
        outputs: dict[str, Any] = await self._call("step", {"use": use, "arguments": arguments})
        return outputs

    async def tap(self, x: int | str, y: int | str) -> None:
        """Tap a position, in pixels or percent of the screen."""
        await self.do("ui.tap", x=x, y=y)

    async def text(self, text: str, *, clear: bool = False) -> None:
        """Type text into the focused field."""
        await self.do("ui.text", text=text, clear=clear)

    async def key(self, key: str | int, *, times: int = 1) -> None:
        """Press a key by its Android name without KEYCODE_, or by number."""
        await self.do("ui.key", key=key, times=times)

    async def add_artifact(
        self,
        data: bytes,
        *,
        extension: str,
        media_type: str = "application/octet-stream",
        name: str | None = None,
        upload: bool = True,
    ) -> Artifact:
        """Keep a file of the task on the node, durably, and hand it over for upload."""
        said = {"data": data, "extension": extension, "media_type": media_type, "name": name, "upload": upload}
        return msgspec.convert(await self._call("artifact", said), Artifact)

    async def file(self, reference: str) -> Path:
        """Return where a stored file is on this host, for reading; the reference is a FileReference argument."""
        return Path(await self._call("file", {"reference": reference}))

    def log(self, message: str, /, **fields: Any) -> None:
        """Write a line to the node's log, with the ids of the task; secrets of the task are masked in it."""
        self._log(message, fields)
