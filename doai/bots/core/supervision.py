"""Which bots of a host run: those that have settings there and that an operator has not put to rest (step 14)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from doai.backoff import Backoff
from doai.exits import CONFIG, FENCED, USAGE
from doai.messages.bots import BotStatus

AGAIN: Final = Backoff(first_s=1.0, longest_s=60.0)
"""Between the end of a process and its next start."""
WORKS_AFTER_S: Final = 60.0
"""A process that ran for so long failed for a new reason."""
HOPELESS: Final = frozenset({USAGE, FENCED, CONFIG})
"""Exit codes after which the same again would end the same."""


class StartProcess(msgspec.Struct, frozen=True):
    """Start the bot with these settings, and call `ended` with its exit code when it is over."""

    name: str


class StopProcess(msgspec.Struct, frozen=True):
    """Let it end, in order."""

    name: str
    why: str


class _Bot(msgspec.Struct):
    stamp: object
    """Another one = the settings changed."""
    running: bool = False
    stopping: bool = False
    started_s: float = 0.0
    failures: int = 0
    due_s: float = 0.0
    held: str = ""
    """Why it is not started again until its settings change or an operator says so."""


class Supervision:
    """Decides; a shell starts and stops. Names are those of the settings' files, and of the bots."""

    def __init__(self) -> None:
        self._bots: dict[str, _Bot] = {}
        self._wanted: dict[str, BotStatus] = {}
        self._there: set[str] = set()
        self.stopping = False

    @property
    def running(self) -> list[str]:
        """Bots whose process is there."""
        return [name for name, bot in self._bots.items() if bot.running]

    @property
    def held(self) -> dict[str, str]:
        """Bots that are not started again, and why."""
        return {name: bot.held for name, bot in self._bots.items() if bot.held}

    def files(self, stamps: Mapping[str, object]) -> None:
        """Take which settings there are; a stamp tells one version of a file from another."""
        for name, stamp in stamps.items():
            bot = self._bots.get(name)
            if bot is None:
                self._bots[name] = _Bot(stamp)
            elif bot.stamp != stamp:
                bot.stamp = stamp
                self._fresh(bot)
        for name in [name for name, bot in self._bots.items() if name not in stamps and not bot.running]:
            del self._bots[name]
        self._there = set(stamps)

    def want(self, name: str, status: BotStatus) -> None:
        """An operator said what is wanted of a bot."""
        self._wanted[name] = status
        bot = self._bots.get(name)
        if bot is not None:
            self._fresh(bot)

    def _fresh(self, bot: _Bot) -> None:
        bot.held, bot.failures, bot.due_s = "", 0, 0.0

    def ended(self, name: str, code: int, now_s: float, random01: float) -> str:
        """A process ended; return what is to be told, one sentence, or nothing."""
        bot = self._bots[name]
        bot.running = False
        if bot.stopping:
            bot.stopping = False
            return ""
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        if code in HOPELESS:
            bot.held = f"it ended with {how}, the same again would not help: correct its settings or its program"
            return f"{name} is not started again: {bot.held}"
        bot.failures = 1 if now_s - bot.started_s >= WORKS_AFTER_S else bot.failures + 1
        delay_s = AGAIN.delay_s(bot.failures, random01)
        bot.due_s = now_s + delay_s
        return f"{name} ended by itself ({how}) and is started again in {delay_s:.1f} s"

    def decide(self, now_s: float) -> list[StartProcess | StopProcess]:
        """Return what is to be done now."""
        decided: list[StartProcess | StopProcess] = []
        for name, bot in self._bots.items():
            why_not = self._why_not(name)
            if bot.running and why_not and not bot.stopping:
                bot.stopping = True
                decided.append(StopProcess(name, why_not))
            elif not bot.running and not why_not and not bot.held and now_s >= bot.due_s:
                bot.running, bot.started_s = True, now_s
                decided.append(StartProcess(name))
        return decided

    def _why_not(self, name: str) -> str:
        if self.stopping:
            return "the supervisor stops"
        if name not in self._there:
            return "its settings were removed"
        if self._wanted.get(name) is BotStatus.INACTIVE:
            return "an operator put it to rest"
        return ""

    def due_s(self) -> float | None:
        """Return when a process is to be started because time has passed."""
        waiting = [bot.due_s for bot in self._bots.values() if not bot.running and not bot.held and bot.due_s > 0]
        return min(waiting, default=None)
