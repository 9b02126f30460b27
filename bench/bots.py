"""bots: how soon an event is at a bot, what 50 bots cost the broker against one, and what a bot that hangs does.

A real broker with CURVE and FULL, a bot of the SDK that notes when it is called, and more bots over sockets of
their own in another process; tasks on bare nodes make about 1,000 events a second, and all bots want all of them.
In each round the bot is alone, then one beside it does not go on (SIGSTOP), then 49 are beside it; medians of
rounds count. Times begin when the broker recorded an event, in ms: its commit comes after. The last line is of the
core alone (bots_alone.py), which another load of the machine changes least.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import trio

from bench.bot_load import SUBSCRIPTION, Settings
from bench.bot_meter import NAME, SOURCE
from bench.bots_alone import CoreAlone
from bench.programs import Fleet, Programs, cpu_s, open_programs, start_program
from bench.report import ROOT, Line, limited
from bench.store_view import CountsWrong
from bench.task import RECIPE
from doai.messages import bots as b
from doai.messages.commands import ADD_KEY, CREATE_RUN, AddKey, CreateRun, TargetKind, Targets
from doai.wire.keys import load_or_make_keypair

BOTS: Final = 50
ROUNDS: Final = 5
WINDOW_S: Final = 5.0
SETTLES: Final = 0.1
"""Of a window: so long before it is measured another number of bots may have its effects."""
EVENTS_A_S: Final = 1000.0
DEVICES_A_RUN: Final = 10
TASK_S: Final = 0.1
"""A task takes up to this, so that facts come one by one, as those of real phones do."""
WITHIN_S: Final = 120.0
LOOK_S: Final = 0.05
FEWEST: Final = 20
"""Events of a window, however long it takes."""
CORE_EVENTS: Final = 3_000
CORE_LAG_S: Final = 0.005
"""Bots of the core alone are done with an event so long after they were given it."""
GOAL_MS: Final = 20.0
GOAL_COST: Final = 2.0
GOAL_HUNG: Final = 1.1


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What one window came to."""

    events: int
    seconds: float
    broker_us: float
    """CPU of the broker an event."""
    median_ms: float
    p99_ms: float
    """From the record of an event to the call of the bot's handler."""


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """The three windows of a round."""

    one: Window
    hung: Window
    many: Window


class Meter:
    """What the measured bot wrote."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def called_at_ms(self) -> dict[int, float]:
        """Return position -> when the handler was called first."""
        found: dict[int, float] = {}
        for line in self._path.read_text().splitlines() if self._path.exists() else []:
            position, at_ms = line.split()
            found.setdefault(int(position), float(at_ms))
        return found


class Load:
    """The process of many bots."""

    def __init__(self, process: trio.Process, names: Sequence[str]) -> None:
        self.process = process
        self.names = names
        self._met = False

    async def say(self, word: str, answer: str) -> None:
        """Tell it something and wait for its answer; raises CountsWrong when it answers otherwise."""
        assert self.process.stdin is not None
        await self.process.stdin.send_all(f"{word}\n".encode())
        await self.hear(answer)

    async def hear(self, answer: str) -> None:
        """Wait for a line."""
        assert self.process.stdout is not None
        with trio.fail_after(WITHIN_S):
            said = await self.process.stdout.receive_some(100)
        if said.decode().strip() != answer:
            raise CountsWrong(f"the bots said {said!r} instead of {answer!r}: look at their errors above")

    async def join(self, programs: Programs) -> None:
        """Let all of them subscribe; what happened while they were away is passed over."""
        for name in self.names if self._met else []:
            reset = b.ResetSubscription(name=name, subscription=SUBSCRIPTION, to_end=True)
            await programs.client.command(b.RESET_SUBSCRIPTION, reset)
        self._met = True
        await self.say("join", "joined")

    async def leave(self, position: int) -> None:
        """Let all of them have what happened, and go."""
        await self.say(f"leave {position}", "left")


def run() -> Iterator[Line]:
    """Yield the time from record to handler, and the ratios of the broker's CPU; takes some 2 min."""
    yield from lines(trio.run(measure, BOTS, ROUNDS, WINDOW_S))
    yield core_line([(measure_core(1), measure_core(BOTS)) for _ in range(ROUNDS)])


def measure_core(bots: int, events: int = CORE_EVENTS) -> float:
    """Return CPU seconds of the core alone, an event; every event is counted at every bot."""
    return CoreAlone(bots, CORE_LAG_S).run(events, events // 6)


def core_line(rounds: Sequence[tuple[float, float]], bots: int = BOTS) -> Line:
    """Return the line of pairs of what an event costs the core with one bot, and with many."""
    one, many = (statistics.median(figures) * 1e6 for figures in zip(*rounds, strict=True))
    cost = statistics.median(second / first for first, second in rounds)
    more = f"the core alone, {one:.3g} and {many:.3g} us an event that is only written"
    return limited(f"bots.core.with_{bots}.cost", "times one bot", cost, GOAL_COST, more=more, digits=3)


async def measure(bots: int, rounds: int, window_s: float, events_a_s: float = EVENTS_A_S) -> list[Round]:
    """Measure rounds of one bot, one beside one that hangs, and many; every event is counted at every bot."""
    async with open_programs(Fleet(devices=100, bare=True, task_s=TASK_S)) as programs:
        meter = await _start_meter(programs)
        workflow = await programs.store_workflow(RECIPE)
        async with (
            _load(programs, "many", bots - 1) as many,
            _load(programs, "hung", 1) as hung,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_make_events, programs, workflow, events_a_s)
            found = [await _round(programs, meter, many, hung, window_s) for _ in range(rounds)]
            nursery.cancel_scope.cancel()
        await programs.store.wait_runs_ended()
        await _level(meter, programs.store.last_position())
    return found


async def _round(programs: Programs, meter: Meter, many: Load, hung: Load, window_s: float) -> Round:
    one = await _window(programs, meter, window_s)
    await hung.join(programs)
    os.kill(hung.process.pid, signal.SIGSTOP)
    try:
        beside = await _window(programs, meter, window_s)
    finally:
        os.kill(hung.process.pid, signal.SIGCONT)
    await hung.leave(programs.store.last_position())
    await many.join(programs)
    with_many = await _window(programs, meter, window_s)
    await many.leave(programs.store.last_position())
    return Round(one=one, hung=beside, many=with_many)


async def _window(programs: Programs, meter: Meter, window_s: float) -> Window:
    with trio.fail_after(WITHIN_S):
        while not meter.called_at_ms():  # noqa: ASYNC110 - what was before it subscribed is given to nobody
            await trio.sleep(LOOK_S)
    await trio.sleep(SETTLES * window_s)
    broker = programs.children["broker"].pid
    first, cpu, began = programs.store.last_position(), cpu_s(broker), time.perf_counter()
    await trio.sleep(window_s)
    with trio.fail_after(WITHIN_S):
        while programs.store.last_position() < first + FEWEST:  # noqa: ASYNC110 - another process's state
            await trio.sleep(LOOK_S)
    last, used_s, seconds = programs.store.last_position(), cpu_s(broker) - cpu, time.perf_counter() - began
    times = await _times_ms(programs, meter, first, last)
    return Window(
        events=last - first,
        seconds=seconds,
        broker_us=used_s / (last - first) * 1e6,
        median_ms=statistics.median(times),
        p99_ms=statistics.quantiles(times, n=100)[98],
    )


async def _times_ms(programs: Programs, meter: Meter, first: int, last: int) -> list[float]:
    called = await _level(meter, last)
    rows = programs.store.rows(
        "SELECT position, recorded_at_ms FROM events WHERE position > ? AND position <= ?", (first, last)
    )
    return [called[position] - recorded_at_ms for position, recorded_at_ms in rows]


async def _level(meter: Meter, position: int) -> dict[int, float]:
    """Return the calls once each event from the bot's first one up to a position has one."""
    with trio.move_on_after(WITHIN_S):
        while True:
            called = meter.called_at_ms()
            if called and all(each in called for each in range(min(called), position + 1)):
                return called
            await trio.sleep(LOOK_S)
    raise CountsWrong(f"the measured bot has not been called for every event up to {position}")


async def _make_events(programs: Programs, workflow: str, events_a_s: float) -> None:
    """Make runs so often that there are so many events a second; each looks at what came of those before."""
    began_s, begin = trio.current_time(), programs.store.last_position()
    targets = [
        Targets(kind=TargetKind.DEVICES, serials=list(programs.serials[first : first + DEVICES_A_RUN]))
        for first in range(0, len(programs.serials), DEVICES_A_RUN)
    ]
    made, events_a_run = 0, 7.0 * DEVICES_A_RUN
    while True:
        command = CreateRun(workflow=workflow, targets=targets[made % len(targets)])
        await programs.client.submit(CREATE_RUN, command)
        made += 1
        await trio.sleep_until(began_s + made * events_a_run / events_a_s)
        if made % 20 == 0:
            # A little of what was made last has not ended: over some seconds it does not matter.
            per_run = (programs.store.last_position() - begin) / made
            began_s, begin, made, events_a_run = trio.current_time(), programs.store.last_position(), 0, per_run


async def _start_meter(programs: Programs) -> Meter:
    path, folder = programs.folder / "called", programs.folder / NAME
    program = programs.folder / "meter.py"
    program.write_text(SOURCE.format(path=str(path)))
    await _add_bot(programs, NAME)
    await start_program(
        programs.children,  # type: ignore[arg-type]
        programs.folder,
        "bot",
        {
            "program": str(program),
            "endpoint": programs.children["broker"].ready["X_DOAI_ENDPOINT"],
            "broker_public_key": programs.children["broker"].ready["X_DOAI_PUBLIC_KEY"],
            "bot_dir": str(folder),
        },
    )
    return Meter(path)


async def _add_bot(programs: Programs, name: str) -> None:
    public = load_or_make_keypair(programs.folder / name / "keys" / "bot.key").public
    await programs.client.command(ADD_KEY, AddKey(name=name, role="bot", public_key=public))


@asynccontextmanager
async def _load(programs: Programs, name: str, count: int) -> AsyncIterator[Load]:
    """Yield a process with so many bots that have not joined; it is gone at the end of the block."""
    names = [f"{name}-{number:02d}" for number in range(count)]
    for each in names:
        await _add_bot(programs, each)
    ready = programs.children["broker"].ready
    settings = Settings(
        folder=str(programs.folder),
        endpoint=ready["X_DOAI_ENDPOINT"],
        server_key=ready["X_DOAI_PUBLIC_KEY"],
        names=names,
    )
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(
            partial(
                trio.run_process,
                [sys.executable, "-m", "bench.bot_load"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=ROOT,
            )
        )
        load = Load(process, names)
        await load.say(msgspec.json.encode(settings).decode(), "ready")
        yield load
        nursery.cancel_scope.cancel()


def lines(rounds: Sequence[Round], bots: int = BOTS) -> Iterator[Line]:
    """Yield the lines of some rounds."""
    one = statistics.median(each.one.p99_ms for each in rounds)
    rate = f"at {EVENTS_A_S:g} events/s"
    yield limited("bots.one.p99", "ms", one, GOAL_MS, more=rate)
    yield Line(name="bots.one.median", value=_median([each.one.median_ms for each in rounds]), unit="ms")
    many = statistics.median(each.many.p99_ms for each in rounds)
    yield limited(f"bots.with_{bots}.p99", "ms", many, GOAL_MS, more=rate)
    yield Line(name=f"bots.with_{bots}.median", value=_median([each.many.median_ms for each in rounds]), unit="ms")
    for name, windows in (("one", [each.one for each in rounds]), (f"with_{bots}", [each.many for each in rounds])):
        used = _median([each.broker_us for each in windows])
        yield Line(name=f"bots.{name}.broker_cpu", value=used, unit="us/event")
    cost = statistics.median(each.many.broker_us / each.one.broker_us for each in rounds)
    more = "of the broker's CPU an event"
    yield limited(f"bots.with_{bots}.cost", "times one bot", cost, GOAL_COST, more=more, digits=3)
    slower = statistics.median(each.hung.p99_ms / each.one.p99_ms for each in rounds)
    yield limited("bots.hung.p99", "times without", slower, GOAL_HUNG, more="p99 of the others", digits=3)
    written = statistics.median(each.one.events / each.one.seconds for each in rounds)
    yield Line(name="bots.events", value=round(written, 1), unit="events/s")


def _median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 2)
