"""Starts what may run, fairly and within bounds; cuts off what hangs (step 14)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from doai.bots.core.work import Cut, Effect, Ended, Source, Start, Work
from doai.errors import ErrorClass, Failure
from doai.ids import Token


class _Running(msgspec.Struct):
    work: Work
    source: Source
    until_s: float
    cut: bool = False
    cut_as: Ended | None = None
    """How it ended when its time is over; None = it hung."""


class Lanes:
    """Calls that share a limit: all handlers of a bot, or all its tasks."""

    def __init__(self, sources: Sequence[Source], limit: int) -> None:
        self.limit = limit
        self.running = 0
        self.sources = list(sources)

    def take(self, now_s: float) -> tuple[Source, Work] | None:
        """Return the next call within the limit; sources take turns."""
        if self.running >= self.limit:
            return None
        for index, source in enumerate(self.sources):
            work = source.take(now_s)
            if work is not None:
                self.sources.append(self.sources.pop(index))
                self.running += 1
                return source, work
        return None


class Dispatcher:
    """Which calls run now."""

    def __init__(self, handlers: Lanes, tasks: Lanes) -> None:
        self._lanes = (handlers, tasks)
        self._running: dict[int, tuple[_Running, Lanes]] = {}
        self._numbers = 0
        self.stopping = False
        self.paused = False
        """Nothing is started; what runs goes on."""

    @property
    def running(self) -> list[Work]:
        """The calls that run, the oldest first."""
        return [running.work for running, _ in self._running.values()]

    def number_of(self, token: Token) -> int | None:
        """Return the number under which the handler of an attempt runs; None = it does not."""
        return next((n for n, (running, _) in self._running.items() if running.work.token == token), None)

    def pump(self, now_s: float) -> list[Effect]:
        """Cut off what takes too long, and start what may run now."""
        effects: list[Effect] = []
        for number, (running, _) in self._running.items():
            if not running.cut and now_s >= running.until_s:
                running.cut = True
                effects.append(Cut(number, running.cut_as or _hung(running.work)))
        if self.stopping or self.paused:
            return effects
        for lanes in self._lanes:
            while (found := lanes.take(now_s)) is not None:
                source, work = found
                self._numbers += 1
                self._running[self._numbers] = (_Running(work, source, now_s + work.timeout_s), lanes)
                effects.append(Start(self._numbers, work))
        return effects

    def stop(self, now_s: float, within_s: float) -> None:
        """Start nothing more, and give what runs so much time."""
        self.stopping = True
        for running, _ in self._running.values():
            if now_s + within_s < running.until_s:
                running.until_s = now_s + within_s
                running.cut_as = Ended(problem="the bot stops", gave_back=True)

    def ended(self, number: int, ended: Ended, now_s: float, random01: float) -> list[Effect]:
        """Take the end of a call."""
        running, lanes = self._running.pop(number)
        lanes.running -= 1
        return running.source.ended(running.work, ended, now_s, random01)

    def due_s(self) -> float | None:
        """Return when `pump` has something to do because time has passed."""
        cuts = [running.until_s for running, _ in self._running.values() if not running.cut]
        if self.stopping or self.paused:
            return min(cuts, default=None)
        for lanes in self._lanes:
            # A full lane starts nothing by time alone: the end of a call is what it waits for.
            if lanes.running < lanes.limit:
                cuts += [due_s for source in lanes.sources if (due_s := source.due_s()) is not None]
        return min(cuts, default=None)


def _hung(work: Work) -> Ended:
    problem = f"it did not end within {work.timeout_s:g} s and was cut off"
    message = f"The handler {work.handler} of the bot {problem}."
    failure = Failure(error_class=ErrorClass.TIMEOUT, code="handler_hung", message=message)
    return Ended(problem=problem, failure=failure)
