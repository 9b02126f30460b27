"""A program started by `doai up`: its start, its readiness, its last words, its end (all steps)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import trio

from doai.cli import exits
from doai.errors import DoaiError
from doai.parent_death import die_with_parent

READY_TIMEOUT_S: Final = 60.0
"""A program that does not serve after this long is given up: the admin alone takes seconds on a slow disk."""
STOP_TIMEOUT_S: Final = 10.0
"""Between SIGTERM and SIGKILL: a node ends its `always` steps."""
_LOG_TAIL_LINES: Final = 5


class ChildFailed(DoaiError):
    """A program did not start, or ended by itself."""

    code = "child_failed"

    def __init__(self, message: str, *, exit_code: int = exits.UNAVAILABLE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Child:
    """One daemon as a process of its own, its log in a file; use `start`, then `stop`."""

    def __init__(self, name: str, module: str, arguments: Sequence[str], folder: Path) -> None:
        self.name = name
        self.ready: Mapping[str, str] = {}
        """Variables of its READY message, e.g. ``X_DOAI_URL``."""
        self.log_path = folder / f"{name}.log"
        self._command = [sys.executable, "-m", module, *arguments]
        self._socket_path = folder / f"{name}.notify"
        self._log_start = 0
        """Where the log of this process begins: the file goes on over restarts."""
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it and return when it serves; raises ChildFailed with its own words when it does not."""
        self.ready = {}  # of an earlier start: the addresses may be others now
        self._socket_path.unlink(missing_ok=True)
        with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            await listener.bind(str(self._socket_path))
            self._socket_path.chmod(0o600)
            self._launch()
            try:
                with trio.fail_after(READY_TIMEOUT_S):
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._fail_when_it_ends)
                        while self.ready.get("READY") != "1":
                            message = (await listener.recv(65_536)).decode("utf-8", "replace")
                            pairs = (line.partition("=") for line in message.splitlines())
                            self.ready = {**self.ready, **{name: value for name, _, value in pairs}}
                        nursery.cancel_scope.cancel()
            except* ChildFailed as failed:
                raise failed.exceptions[0] from None
            except* trio.TooSlowError:
                raise ChildFailed(
                    f"{self.name} is not ready after {READY_TIMEOUT_S:.0f} s: {self._tail()}"
                ) from None
            finally:
                self._socket_path.unlink(missing_ok=True)

    def _launch(self) -> None:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("DOAI_")}
        environ |= {"NOTIFY_SOCKET": str(self._socket_path), "PYTHONUNBUFFERED": "1"}
        parent = os.getpid()
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
                # A session of its own: Ctrl-C reaches it as our SIGTERM, in order. It dies with us, however we end.
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(parent),
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    async def wait(self) -> int:
        """Return its exit code when it has ended."""
        assert self._process is not None
        process = self._process
        descriptor = os.pidfd_open(process.pid) if process.returncode is None else None
        if descriptor is not None:
            try:
                await trio.lowlevel.wait_readable(descriptor)
            finally:
                os.close(descriptor)
        return process.wait()

    async def _fail_when_it_ends(self) -> None:
        code = await self.wait()
        raise ChildFailed(
            f"{self.name} did not start: {self._tail()}", exit_code=code if code > 0 else exits.INTERNAL
        )

    async def watch(self) -> None:
        """Return never; raises ChildFailed when it ends by itself."""
        code = await self.wait()
        how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        raise ChildFailed(f"{self.name} ended by itself ({how}): {self._tail()}")

    async def stop(self) -> None:
        """Ask it to end, insist after a while; returns when it is gone."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        with trio.CancelScope(shield=True):
            with trio.move_on_after(STOP_TIMEOUT_S):
                await self.wait()
                return
            self._process.kill()
            await self.wait()

    def _tail(self) -> str:
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
        prefix = f"{self.name}: "
        if lines and lines[-1].startswith(prefix):
            # A program that gives up says why in one sentence, after its log lines.
            return f"{lines[-1].removeprefix(prefix)} (log: {self.log_path})"
        last = " / ".join(lines[-_LOG_TAIL_LINES:])
        return f"{last or 'it said nothing'} (log: {self.log_path})"


# Loaded before any fork: between fork and exec nothing may be allocated that another thread could hold locked.
