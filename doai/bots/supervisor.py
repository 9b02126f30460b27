"""Runs all bots of a host: a bot itself, that starts and stops the processes of others on command (step 14).

Every ``NAME.toml`` of a folder is a bot. It runs unless an operator has made it inactive: the supervisor hears of
that as an event, also of what was said while it was away.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import trio

from doai.bots.bot import Bot
from doai.bots.context import Context
from doai.bots.core.supervision import StartProcess, Supervision
from doai.errors import ConfigError
from doai.messages.bots import BotStatus
from doai.messages.events import BotStatusChanged
from doai.parent_death import die_with_parent

LOOK_S: Final = 2.0
"""New, changed and removed settings are found within this."""
_log: Final = logging.getLogger(__name__)


class Supervisor:
    """The processes of a host's bots; `bot` is what the broker knows of it."""

    def __init__(self, name: str, folder: Path, stop_s: float) -> None:
        """``stop_s``: how long a process has between SIGTERM and SIGKILL. Raises ConfigError."""
        if not folder.is_dir():
            raise ConfigError(f"supervise names no folder: {folder}; put the settings of bots there, as NAME.toml")
        self._folder = folder
        self._stop_s = stop_s
        self._supervision = Supervision()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._news = trio.Event()
        self._nursery: trio.Nursery
        self._known = False
        """What operators said before is known: nothing is started earlier."""
        self.bot = Bot(name, title="Starts and stops the bots of a host", type="supervisor")
        # From the beginning: what was said of bots before this host had a supervisor holds, too.
        self.bot.on("bot.status.changed", from_beginning=True)(self.status_changed)
        self.bot.every("1s")(self.remember)

    async def status_changed(self, event: BotStatusChanged, ctx: Context) -> None:
        """An operator said what is wanted of a bot, or one of its processes came or went (with an instance)."""
        if event.instance or event.status not in {status.value for status in BotStatus}:
            return
        await ctx.state.put(f"status/{event.bot}", event.status)
        self._supervision.want(event.bot, BotStatus(event.status))
        self._news.set()

    async def remember(self, ctx: Context) -> None:
        """Take over at the start what is known of an earlier life."""
        if not self._known:
            for key, status in (await ctx.state.list("status/")).items():
                self._supervision.want(key.removeprefix("status/"), BotStatus(status))
            self._known = True
            self._news.set()

    # --- processes --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the processes as they are wanted, until cancelled; then end them all, in order."""
        try:
            async with trio.open_nursery() as self._nursery:
                while True:
                    self._news = trio.Event()
                    self._look()
                    due_s = self._supervision.due_s()
                    wait_s = LOOK_S if due_s is None else min(LOOK_S, max(0.0, due_s - trio.current_time()))
                    with trio.move_on_after(wait_s):
                        await self._news.wait()
        finally:
            with trio.CancelScope(shield=True):
                await self._end_all()

    def _look(self) -> None:
        if not self._known:
            return
        self._supervision.files({path.stem: _stamp(path) for path in sorted(self._folder.glob("*.toml"))})
        for decided in self._supervision.decide(trio.current_time()):
            if isinstance(decided, StartProcess):
                self._start(decided.name)
            else:
                _log.info("%s is stopped: %s", decided.name, decided.why)
                self._nursery.start_soon(self._stop, decided.name)

    def _start(self, name: str) -> None:
        environ = {key: value for key, value in os.environ.items() if not key.startswith(("DOAI_", "WATCHDOG_"))}
        environ.pop("NOTIFY_SOCKET", None)
        parent = os.getpid()
        settings = str(self._folder / f"{name}.toml")
        self._processes[name] = subprocess.Popen(
            [sys.executable, "-m", "doai.cli.bot", "--config", settings],
            stdin=subprocess.DEVNULL,
            env=environ,
            # A session of its own: Ctrl-C reaches it as our SIGTERM, in order. It dies with us, however we end.
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(parent),
        )
        _log.info("%s is started, process %d", name, self._processes[name].pid)
        self._nursery.start_soon(self._watch, name)

    async def _watch(self, name: str) -> None:
        code = await _wait(self._processes[name])
        del self._processes[name]
        told = self._supervision.ended(name, code, trio.current_time(), random.random())
        if told:
            _log.warning("%s", told)
        else:
            _log.info("%s has ended", name)
        self._news.set()

    async def _stop(self, name: str) -> None:
        process = self._processes.get(name)
        if process is not None:
            await _end(process, self._stop_s)

    async def _end_all(self) -> None:
        async with trio.open_nursery() as nursery:
            for process in self._processes.values():
                nursery.start_soon(_end, process, self._stop_s)
        self._processes.clear()


async def _end(process: subprocess.Popen[bytes], stop_s: float) -> None:
    """Ask it to end, insist after a while."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with trio.move_on_after(stop_s):
            await _wait(process)
            return
        process.kill()
        await _wait(process)


async def _wait(process: subprocess.Popen[bytes]) -> int:
    """Return its exit code when it has ended."""
    if process.returncode is None:
        descriptor = os.pidfd_open(process.pid)
        try:
            await trio.lowlevel.wait_readable(descriptor)
        finally:
            os.close(descriptor)
    return process.wait()


def _stamp(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)
