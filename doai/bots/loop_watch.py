"""Notices a handler that holds the event loop, names it, and in the end ends the process (step 14).

A handler that computes for minutes, or waits without ``await``, can not be cut off from within its loop: nothing
else of the bot runs, no heartbeat leaves. A thread looks from outside.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Final

import trio

from doai.bots.bot import Bot
from doai.bots.core.work import Work

TURN_S: Final = 0.5
TELL_AFTER_S: Final = 3.0
"""A loop that stands still for so long is told; others wait, and a heartbeat is late."""
_log: Final = logging.getLogger(__name__)


class LoopWatch:
    """Watches the event loop in which `run` runs."""

    def __init__(
        self,
        bot: Bot,
        running: Callable[[], Sequence[Work]],
        end: Callable[[str], object],
        *,
        tell_after_s: float = TELL_AFTER_S,
        turn_s: float = TURN_S,
    ) -> None:
        """``running``: the calls that run, read from another thread; ``end`` is called there with the sentence."""
        self._codes = {name: handler.function.__code__ for name, handler in bot.handlers.items()}
        self._running = running
        self._end = end
        self._tell_after_s = tell_after_s
        self._turn_s = turn_s
        self._turned_s = time.monotonic()
        self._over = threading.Event()
        self._loop_thread = threading.get_ident()

    async def run(self) -> None:
        """Keep the watch until cancelled."""
        self._loop_thread = threading.get_ident()
        watcher = threading.Thread(target=self._watch, name="loop watch", daemon=True)
        watcher.start()
        try:
            while True:
                self._turned_s = time.monotonic()
                await trio.sleep(self._turn_s)
        finally:
            self._over.set()
            watcher.join()

    def _watch(self) -> None:
        told = (0.0, "")
        while not self._over.wait(self._turn_s):
            turned_s = self._turned_s
            still_s = time.monotonic() - turned_s
            if still_s < self._tell_after_s:
                continue
            stack = traceback.walk_stack(sys._current_frames().get(self._loop_thread))
            frames = [frame for frame, _ in stack]
            codes = {frame.f_code for frame in frames}
            running = [work for work in self._running() if self._codes[work.handler] in codes]
            names = ", ".join(sorted({work.handler for work in running})) or "no handler"
            if told != (turned_s, names):  # the first look may have come before the handler did
                told = (turned_s, names)
                _log.error(
                    "the event loop stands still for %.0f s, in %s: let it await, or use trio.to_thread\n%s",
                    still_s,
                    names,
                    "".join(traceback.format_stack(frames[0])[-3:]).rstrip() if frames else "",
                )
            limit_s = min((work.timeout_s for work in running), default=None)
            if limit_s is not None and still_s > max(limit_s, self._tell_after_s):
                self._end(f"{names} held the event loop for more than {limit_s:g} s: the bot is ended")
                return
