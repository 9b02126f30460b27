"""Performs what the core decides: frames in, commits, frames out, time (steps 2-5, 12).

One task receives, one waits for what is due next, one commits. Every decision goes through the committer, so that
no effect leaves ahead of the transaction that justifies it. The shell decides nothing.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import trio

from doai import limits
from doai.broker.core.core import BrokerCore
from doai.broker.core.decision import FENCED_GRACE_S
from doai.broker.core.effects import (
    Changes,
    Effect,
    GoOn,
    KeysChanged,
    LoadAgain,
    LogLine,
    OpenChannel,
    ReadLog,
    SendFrame,
    ShutLink,
)
from doai.changes.ops import Op
from doai.clock import Now
from doai.store.base import LogReader, Writer
from doai.store.committer import Committer, WriterMode
from doai.store.pipeline import Pipeline
from doai.wire.base import Incoming, PeerGone, PeerStuck, Router
from doai.wire.log_tap import TELL_EVERY_S, LogTap

_log: Final = logging.getLogger("doai.broker")
_LEVELS: Final = {name: getattr(logging, name.upper()) for name in ("debug", "info", "warning", "error")}
STOP_TIMEOUT_S: Final = 10.0
"""What is gathered at the end is committed within this time, or the store is stuck."""

LATE_S: Final = 5.0
"""What was due this long ago and was not looked at says that the core's timer stands still."""
LATE_POLL_S: Final = 0.5


class Keys(Protocol):
    """Where the wire looks keys up."""

    def replace(self, keys: Mapping[str, str]) -> None:
        """Let in these, public key -> name, and nobody else."""
        ...


class Shell:
    """Runs one core with a router and a store."""

    def __init__(
        self,
        *,
        core: BrokerCore,
        router: Router,
        writer: Writer[Op, Any],
        keys: Keys,
        now: Callable[[], Now],
        mode: WriterMode = WriterMode.ADAPTIVE,
        load_again: Callable[[], BrokerCore],
        disk_free_bytes: Callable[[], int | None] | None = None,
        log: LogReader | None = None,
        tap: LogTap | None = None,
    ) -> None:
        """``load_again`` makes a core of what is on disk now; ``log`` is read where bots are behind.
        ``tap`` has what this process logs, for the admins that listen.

        ``disk_free_bytes`` looks at the disk of the store; None = there is none to run full.
        """
        self._core = core
        self._load_again = load_again
        self._router = router
        self._keys = keys
        self._now = now
        self._disk_free_bytes = disk_free_bytes
        self._log = log
        self._tap = tap
        self._reads: deque[ReadLog] = deque()
        self._reads_wait = trio.Event()
        self._committer: Committer[Op, Effect] = Committer(Pipeline(), writer, self._perform, mode=mode)
        self._timer = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._performers: dict[type, Callable[[Any], None]] = {
            SendFrame: self._send,
            OpenChannel: self._open_channel,
            ShutLink: self._shut_link,
            KeysChanged: self._change_keys,
            LogLine: _write_log,
            LoadAgain: self._begin_again,
            ReadLog: self._read_later,
            GoOn: self._go_on,
        }

    def submit(self, changes: Changes) -> None:
        """Take one decision of the core."""
        if changes.ops or changes.effects:
            self._committer.submit(changes.ops, changes.effects)

    async def run(self, stop: trio.Event, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until ``stop``, then commit what is gathered. Raises StoreError when a commit fails.

        Started once frames are taken in, and what the start had to write is on disk.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._committer.run, name="commit")
            self._look_at_disk()  # before the first command: a start after a full disk begins closed
            async with trio.open_nursery() as intake:
                intake.start_soon(self._receive, name="receive")
                intake.start_soon(self._keep_time, name="time")
                intake.start_soon(self._watch_disk, name="disk")
                intake.start_soon(self._read_log, name="log")
                intake.start_soon(self._tell_log, name="log lines")
                await self._committer.wait_idle()
                task_status.started()
                await stop.wait()
                intake.cancel_scope.cancel()
            with trio.move_on_after(STOP_TIMEOUT_S):
                await self._committer.wait_idle()
            nursery.cancel_scope.cancel()

    async def wait_idle(self) -> None:
        """Return when everything submitted is on disk and its effects have left."""
        await self._committer.wait_idle()

    async def prove_turn(self) -> None:
        """Return when the core is not behind its own times and what waits for the disk gets there.

        For a watchdog: while the loop, the core's timer or a commit stands still, this does not return.
        """
        while self._core_is_late():  # noqa: ASYNC110 - a time passes, no event
            await trio.sleep(LATE_POLL_S)
        await self._committer.wait_turn()

    def _core_is_late(self) -> bool:
        due_s = self._core.next_due_s()
        return due_s is not None and due_s < self._now().mono_s - LATE_S

    async def _receive(self) -> None:
        router = self._router
        while True:
            frames = await router.receive()
            core, now = self._core, self._now()
            for frame in frames:
                if isinstance(frame, Incoming):
                    self.submit(core.frame(frame.link, frame.key_name, frame.header, frame.body, now))
                else:
                    self.submit(core.malformed(frame.link, frame.key_name, frame.reason, frame.data, now))
                if self._committer.has_batch:
                    # The disk works while the rest is decided.
                    await trio.lowlevel.checkpoint()
                    now = self._now()
            self._set_timer()
            if not self._committer.has_room:
                await self._committer.wait_idle()

    async def _keep_time(self) -> None:
        while True:
            with trio.CancelScope() as self._timer:
                self._set_timer()
                await trio.sleep_forever()
            self.submit(self._core.tick(self._now()))

    async def _watch_disk(self) -> None:
        while True:
            await trio.sleep(limits.DISK_LOOK_S)
            self._look_at_disk()

    def _look_at_disk(self) -> None:
        free_bytes = self._disk_free_bytes() if self._disk_free_bytes is not None else None
        if free_bytes is not None:
            self.submit(self._core.disk_room(free_bytes, self._now()))

    def _set_timer(self) -> None:
        due_s = self._core.next_due_s()
        self._timer.deadline = math.inf if due_s is None else due_s

    def _read_later(self, effect: ReadLog) -> None:
        self._reads.append(effect)
        self._reads_wait.set()

    async def _read_log(self) -> None:
        """Read for bots that are behind, one slice at a time: the disk and the interpreter are everyone's."""
        while self._log is not None:
            if not self._reads:
                self._reads_wait = trio.Event()
                await self._reads_wait.wait()
            read, core = self._reads.popleft(), self._core
            found = await trio.to_thread.run_sync(self._log.read, read.request)
            if core is self._core:  # else it is another's question, asked anew when it is wanted
                self.submit(core.log_read(read, found, self._now()))
                self._set_timer()

    async def _tell_log(self) -> None:
        while self._tap is not None:
            await trio.sleep(TELL_EVERY_S)
            if self._core.log_is_wanted and (lines := self._tap.take()) is not None:
                self.submit(self._core.logged(lines, self._now()))

    # --- effects ------------------------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        self._performers[type(effect)](effect)

    def _send(self, effect: SendFrame) -> None:
        try:
            self._router.send_nowait(effect.link, effect.header, effect.body)
        except PeerGone:
            self._gone(effect.link)
        except PeerStuck as error:
            _log.warning("%s", error)
            self._router.shut(effect.link)
            self._gone(effect.link)

    def _open_channel(self, effect: OpenChannel) -> None:
        try:
            self._router.open_channel(effect.link, effect.handle)
        except PeerGone:
            self._gone(effect.link)

    def _gone(self, link: int) -> None:
        self.submit(self._core.link_gone(link, self._now()))

    def _shut_link(self, effect: ShutLink) -> None:
        if effect.after_s and self._nursery is not None:
            self._nursery.start_soon(self._shut_later, effect)
        else:
            self._shut(effect.link)

    async def _shut_later(self, effect: ShutLink) -> None:
        await trio.sleep(effect.after_s)
        self._shut(effect.link)

    def _shut(self, link: int) -> None:
        try:
            self._router.shut(link)
        except PeerGone:
            _log.debug("link %d had ended before it was cut", link)

    def _change_keys(self, effect: KeysChanged) -> None:
        self._keys.replace(effect.keys)
        if effect.revoked is not None and self._nursery is not None:
            self._nursery.start_soon(self._shut_name_later, effect.revoked)

    def _begin_again(self, effect: LoadAgain) -> None:
        # All that the core before decided is on disk, and it decides nothing since. Connections stay: whoever
        # speaks over one is asked for a HELLO, as after a restart of this process.
        _log.error("the core begins again from the store: %s", effect.reason)
        self._core = self._load_again()
        self._keys.replace(self._core.live_keys())
        self._look_at_disk()
        self._set_timer()

    def _go_on(self, effect: GoOn) -> None:
        self._core.landed(self._now())
        self._set_timer()

    async def _shut_name_later(self, name: str) -> None:
        # Who greeted is fenced and cut by its link; this is for connections that have not greeted.
        await trio.sleep(FENCED_GRACE_S)
        self._router.shut_name(name)


def _write_log(effect: LogLine) -> None:
    _log.log(_LEVELS[effect.level], "%s", effect.message, extra=dict(effect.ids))
