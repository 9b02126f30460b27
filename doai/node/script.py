"""A script of this host, run under its guard: its output bounded, its end known, nothing of it left (step 8)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import trio

from doai.node import script_guard

OUTPUT_BYTES_MAX: Final = 1024 * 1024
"""Kept of each of standard output and error: half from the beginning and half from the end."""
GRACE_S: Final = 2.0
"""Between SIGTERM and SIGKILL: a script that cleans up after itself needs a moment, and the device waits for it."""
_REST_S: Final = 0.1
"""Whoever wrote to a pipe has ended: what is in it is there at once."""
_CUT: Final = b"\n[... %d bytes left out ...]\n"


class ScriptEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a script ended."""

    exit_code: int | None
    """Minus the signal that ended it; None = it could not be started, or nobody saw its end."""
    error: str = ""
    stopped: tuple[str, ...] = ()
    """Names of processes that were stopped: what had outlived it, or all of it when nobody wanted it any more."""


class Output:
    """What a program writes, as much of it as is kept."""

    def __init__(self, bytes_max: int = OUTPUT_BYTES_MAX) -> None:
        self._half = bytes_max // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._cut = 0

    def add(self, data: bytes) -> None:
        """Take the next piece."""
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:] if room < len(data) else b""
        if len(self._tail) > 2 * self._half:  # cut seldom: each cut copies
            self._trim()

    @property
    def data(self) -> bytes:
        """All that is kept, with a line where something was left out."""
        self._trim()
        return bytes(self._head) + (_CUT % self._cut if self._cut else b"") + bytes(self._tail)

    def _trim(self) -> None:
        over = len(self._tail) - self._half
        if over > 0:
            self._cut += over
            del self._tail[:over]


class Script:
    """One script. ``run`` may be cancelled at any time: it is left when nothing of the script is."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], folder: Path, stdin: bytes) -> None:
        self._command = command
        self._env = env
        self._folder = folder
        self._stdin = stdin
        self.stdout = Output()
        self.stderr = Output()
        self.end: ScriptEnd | None = None
        """Also after a cancel; None = it did not end, or could not be started."""

    async def run(self) -> ScriptEnd:
        """Run the script to its end; raises OSError when the host can start no process."""
        input_fd = os.memfd_create("doai-script-input", os.MFD_CLOEXEC)
        status_fd, guard_fd = os.pipe2(os.O_CLOEXEC)
        try:
            os.write(input_fd, self._stdin)
            os.lseek(input_fd, 0, os.SEEK_SET)
            guard = [sys.executable, "-I", script_guard.__file__, str(guard_fd), str(input_fd), str(GRACE_S)]
            process = await trio.lowlevel.open_process(
                [*guard, *self._command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._env,
                cwd=self._folder,
                pass_fds=(guard_fd, input_fd),
                start_new_session=True,
            )
        except BaseException:
            os.close(status_fd)
            raise
        finally:
            os.close(input_fd)
            os.close(guard_fd)
        async with trio.lowlevel.FdStream(status_fd) as status:
            return await self._watch(process, status)

    async def _watch(self, process: trio.Process, status: trio.lowlevel.FdStream) -> ScriptEnd:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        told = b""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_read, process.stdout, self.stdout)
                nursery.start_soon(_read, process.stderr, self.stderr)
                async for data in status:
                    told += data
        finally:
            # The end of its standard input tells the guard to stop what is left; it needs a moment for that.
            with trio.CancelScope(shield=True):
                await process.stdin.aclose()
                with trio.move_on_after(GRACE_S + script_guard.KILL_WITHIN_S + 1):
                    await process.wait()
                if process.returncode is None:
                    process.kill()
                    await process.wait()
                await _read_rest(process.stdout, self.stdout)
                await _read_rest(process.stderr, self.stderr)
                await process.stdout.aclose()
                await process.stderr.aclose()
                with trio.move_on_after(_REST_S):
                    async for data in status:
                        told += data
                self.end = end = _end(told, process.returncode)
        return end


async def _read(stream: trio.abc.ReceiveStream, output: Output) -> None:
    async for data in stream:
        output.add(bytes(data))


async def _read_rest(stream: trio.abc.ReceiveStream, output: Output) -> None:
    """Read what lies in the pipe; nobody writes to it any more."""
    with trio.move_on_after(_REST_S):
        await _read(stream, output)


def _end(told: bytes, returncode: int | None) -> ScriptEnd:
    try:
        said = json.loads(told)
    except ValueError:
        return ScriptEnd(exit_code=None, error=f"its guard ended with {returncode} and said nothing of it")
    if "error" in said:
        return ScriptEnd(exit_code=None, error=str(said["error"]))
    return ScriptEnd(exit_code=int(said["exit_code"]), stopped=tuple(said["stopped"]))
