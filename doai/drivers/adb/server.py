"""The adb server as a supervised child process: the only place that starts one (step 9).

Every other client would start a server of its own the moment this one dies (twenty threads started ten of them);
the smart-socket client never does, and this supervisor starts exactly one at a time.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from doai.backoff import Backoff
from doai.drivers.adb.client import AdbClient, AdbError
from doai.drivers.adb.config import AdbConfig
from doai.drivers.failures import adb_port_taken, adb_server_down
from doai.errors import ConfigError

START_TIMEOUT_S: Final = 15.0
"""A server that looks for USB devices gives its first answer after 3 s; a loaded host takes longer."""
STOP_TIMEOUT_S: Final = 3.0
"""From SIGTERM to SIGKILL."""
POLL_S: Final = 0.02
"""How often a starting server is asked whether it answers."""
ADOPTED_POLL_S: Final = 2.0
"""How often a server that somebody else runs is asked whether it still answers."""
ANSWER_TIMEOUT_S: Final = 10.0
"""A server answers `host:version` within a millisecond; one that does not in this time hangs."""
FAILURE_LASTS_AT_MOST_S: Final = 30.0
"""A server that ran longer before it died is started again as if for the first time."""
LAST_WORDS_S: Final = 0.5
"""How long the log of a server that ended is read on."""
LINES_KEPT: Final = 20
"""Last lines of the server's own log, for the sentence that says why it died."""
OWNER_VARIABLE: Final = "DOAI_ADB_SERVER_OF"
"""In the server's environment: pid of the process that started it, so that an orphan can be told."""

_TAKEN: Final = "Address already in use"
"""In the last words of a server whose port somebody else has."""
_BACKOFF: Final = Backoff(first_s=0.2, factor=2.0, longest_s=15.0)

Report = Callable[[str, str], None]
"""Takes the code and the sentence of something an operator should know."""


def find_adb(config: AdbConfig) -> str:
    """Return the adb program to run; raises ConfigError when there is none.

    The adbutils package is looked up, not imported: importing it costs 50 ms of a node's start.
    """
    if config.adb_path is not None:
        if not os.access(config.adb_path, os.X_OK):
            raise ConfigError(f"adb_path = {config.adb_path} is no program that can be run: correct the path")
        return config.adb_path
    spec = importlib.util.find_spec("adbutils")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        bundled = Path(folder) / "binaries" / "adb"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    found = shutil.which("adb")
    if found is None:
        raise ConfigError("there is no adb program: install the package adbutils, or set adb_path")
    return found


def environment(config: AdbConfig) -> dict[str, str]:
    """Return the server's environment: little of ours, and what makes it start fast and leave ports alone."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    return {
        **kept,
        **({"HOME": config.home} if config.home is not None else {}),
        "ADB_USB": "1" if config.usb else "0",
        "ADB_MDNS": "0",
        # Otherwise it takes whatever listens on the odd ports 5555-5585 for an emulator.
        "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553",
        OWNER_VARIABLE: str(os.getpid()),
    }


def orphans(port: int) -> list[int]:
    """Return the pids of adb servers on this port that a doai process started which has died since.

    Read from /proc; empty where that does not exist.
    """
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
            if arguments[1:5] != [b"-P", str(port).encode(), b"nodaemon", b"server"]:
                continue
            variables = (folder / "environ").read_bytes().split(b"\0")
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue  # It ended meanwhile, or belongs to another user: not ours to stop.
        owners = [line.partition(b"=")[2] for line in variables if line.startswith(OWNER_VARIABLE.encode())]
        if owners and owners[0] != parent.encode():
            found.append(int(folder.name))
    return found


class AdbServer:
    """Keeps one adb server answering on the configured port while `supervise` runs."""

    def __init__(self, config: AdbConfig, client: AdbClient, report: Report) -> None:
        self._config = config
        self._client = client
        self._report = report
        self._program = find_adb(config) if config.start_server else ""
        self._random = random.Random()
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.pid: int | None = None
        """The child's process id while one of ours runs."""
        self.starts = 0
        """How often one was started."""

    async def supervise(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run for ever; started once the server answers. On cancellation the child is gone when this returns.

        Raises StepError (infrastructure, adb_server_down) when no server answers at the start.
        """
        if self._config.start_server:
            await self._stop_orphans()
        if await self._answers():
            if self._config.start_server:
                self._report(
                    "adb_server_adopted",
                    f"an adb server ran on port {self._config.server_port} already and is used as it is: stop it "
                    "(adb kill-server) to have doai start its own",
                )
            task_status.started()
            await self._watch_adopted()
            await self._keep_own(_nothing, may_fail=True)
        elif self._config.start_server:
            await self._keep_own(task_status.started, may_fail=False)
        else:
            raise adb_server_down(self._config.server_port, "start_server is false and nobody runs one there")

    def kill(self) -> None:
        """Kill a child that hangs; `supervise` starts the next one. A server of somebody else is left alone."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)

    async def _answers(self) -> bool:
        with trio.move_on_after(ANSWER_TIMEOUT_S):
            try:
                await self._client.version()
            except (AdbError, ValueError):
                return False
            return True
        return False

    async def _stop_orphans(self) -> None:
        for pid in orphans(self._config.server_port):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            self._report("adb_server_orphan", f"stopped the adb server {pid} that an earlier process left behind")
        with trio.move_on_after(STOP_TIMEOUT_S):
            while orphans(self._config.server_port):  # noqa: ASYNC110 - another process's life
                await trio.sleep(POLL_S)

    async def _watch_adopted(self) -> None:
        """Return when a foreign server is gone and one of ours may take its place."""
        while True:
            await trio.sleep(ADOPTED_POLL_S)
            if self._config.start_server and not await self._answers():
                return

    async def _keep_own(self, on_first_answer: Callable[[], None], *, may_fail: bool) -> None:
        failures = 0
        on_answer = on_first_answer
        while True:
            began_s, answered = trio.current_time(), False

            def note_answer(tell: Callable[[], None] = on_answer) -> None:
                nonlocal answered
                answered = True
                tell()

            code = await self._run_child(note_answer)
            port, words = self._config.server_port, self._last_words()
            if not answered and not may_fail:
                if any(_TAKEN in line for line in self._lines):
                    raise adb_port_taken(port)
                raise adb_server_down(port, f"it ended with code {code} when it was started{words}")
            may_fail, on_answer = True, _nothing
            lasted = trio.current_time() - began_s > FAILURE_LASTS_AT_MOST_S
            failures = 1 if lasted else failures + 1
            self._report(
                "adb_server_restarted",
                f"the adb server on port {port} ended with code {code} and is started again{words}",
            )
            await trio.sleep(_BACKOFF.delay_s(failures, self._random.random()))

    def _last_words(self) -> str:
        return f"; it said: {self._lines[-1]}" if self._lines else ""

    async def _run_child(self, on_answer: Callable[[], None]) -> int:
        """Run one server until it ends, or, when cancelled, stop it; returns its exit code."""
        self._lines.clear()
        process = await trio.lowlevel.open_process(
            [self._program, "-P", str(self._config.server_port), "nodaemon", "server"],
            env=environment(self._config),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us: the server goes last.
        )
        self.pid = process.pid
        self.starts += 1
        try:
            async with trio.open_nursery() as nursery:
                log_ended = trio.Event()
                nursery.start_soon(self._read_log, process, log_ended)
                nursery.start_soon(self._await_answer, process, on_answer)
                code = await process.wait()
                # Its last words may still be in the pipe; a child of its own could hold that open for ever.
                with trio.move_on_after(LAST_WORDS_S):
                    await log_ended.wait()
                nursery.cancel_scope.cancel()
            return code
        finally:
            self.pid = None
            with trio.CancelScope(shield=True):
                await _stop(process)

    async def _read_log(self, process: trio.Process, ended: trio.Event) -> None:
        assert process.stderr is not None
        rest = b""
        async for data in process.stderr:
            *lines, rest = (rest + data).split(b"\n")
            # One line of garbage must not grow for ever.
            rest = rest[-4096:]
            self._lines.extend(line.decode("utf-8", "replace").strip() for line in lines if line.strip())
        ended.set()

    async def _await_answer(self, process: trio.Process, on_answer: Callable[[], None]) -> None:
        with trio.move_on_after(START_TIMEOUT_S):
            while not await self._answers():  # noqa: ASYNC110 - another process's state
                await trio.sleep(POLL_S)
            on_answer()
            return
        self._lines.append(f"no answer within {START_TIMEOUT_S:.0f} s")
        process.kill()


def _nothing() -> None:
    """Told when a restarted server answers: tracking finds that out by itself."""


async def _stop(process: trio.Process) -> None:
    if process.returncode is None:
        process.terminate()
        with trio.move_on_after(STOP_TIMEOUT_S):
            await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
    if process.stderr is not None:
        await process.stderr.aclose()
