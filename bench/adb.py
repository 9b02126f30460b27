"""adb: ten steps on each of 20, 100, 200 simulated phones behind a real adb server, against a bare script.

The phones are one process, the supervised adb server is the node's. The bare side makes the same calls: it sends
the very commands that the phones' journal recorded of the tasks before it, phone by phone, 20 at a time, over the
same client and server. Both alternate within one run.
"""

from __future__ import annotations

import heapq
import os
import statistics
import time
from collections.abc import Iterator
from typing import Final

import msgspec
import trio

from bench.programs import Fleet, Programs, cpu_s, open_programs
from bench.report import Line, compared
from doai.codec import decode
from doai.drivers.adb.client import AdbClient
from doai.drivers.adb.shell import run_shell
from doai.envelope import Envelope
from doai.errors import DoaiError
from doai.messages.commands import CREATE_RUN, CreateRun, TargetKind, Targets
from doai.phone.journal import JournalEntry, read_journal

PHONES: Final = (20, 100, 200)
SLOTS: Final = 20
ROUNDS: Final = 3
GOAL_RUN: Final = round(1 / 1.1, 2)
"""The bare script's seconds to ours; that of 100 phones is wanted."""
GOAL_PHONES: Final = 100
RECIPE: Final = """
workflow: ten-steps
timeout: 5m
steps:
  - {id: ready, use: device.bootstrap}
  - {id: fresh, use: app.stop, with: {package: com.example.login}}
  - {id: launch, use: app.launch, with: {package: com.example.login}}
  - {id: field, use: ui.tap, with: {id: username}}
  - {id: name, use: ui.text, with: {text: demo}, idempotent: true}
  - {id: model, use: device.shell, with: {command: getprop ro.product.model}}
  - {id: shot, use: screen.capture}
  - {id: back, use: ui.key, with: {key: BACK}, idempotent: true}
  - {id: tap, use: ui.tap, with: {x: 50%, y: 50%}}
  - {id: battery, use: device.shell, with: {command: dumpsys battery}}
"""
STEPS: Final = 10
LOOK_S: Final = 0.2
"""The times are those of the facts: whoever looks for the end more often only takes CPU from what is measured."""
MS: Final = 1000

Calls = dict[str, list[str]]
"""Serial -> its command lines in their order."""


class CallsDiffer(DoaiError):
    """What the phones recorded can not be sent again by the bare side."""

    code = "calls_differ"


class Round(msgspec.Struct, frozen=True):
    """One run of the workflow on all phones, and the same calls without doai."""

    seconds: float
    bare_s: float
    occupied: float
    """Share of the slots' time in use, until fewer devices than slots had something to do."""
    calls: int
    cpu_ms: dict[str, float]
    """CPU of each process, a phone and run; ``bare`` is the script's."""


class Span(msgspec.Struct, frozen=True):
    """When a task had its slot, in ms since 1970 of the node's clock."""

    began_ms: int
    ended_ms: int


def run() -> Iterator[Line]:
    """Yield occupied slot time and seconds against the bare script; takes some 80 s."""
    for phones in PHONES:
        yield from lines(trio.run(measure, phones, ROUNDS), phones)


def lines(rounds: list[Round], phones: int) -> Iterator[Line]:
    """Yield the lines of a measurement."""
    occupied = statistics.median(taken.occupied for taken in rounds)
    name = f"adb.phones_{phones}"
    yield Line(
        name=f"{name}.slots.occupied",
        value=round(occupied, 4),
        unit="share",
        ratio=round(occupied, 4),
        against=f"{SLOTS} slots, {phones} phones, {STEPS} steps; until fewer than {SLOTS} phones had a task",
    )
    against = f"bare trio script of the same {rounds[-1].calls} calls, {SLOTS} phones at once"
    ours, bare = [taken.seconds for taken in rounds], [taken.bare_s for taken in rounds]
    goal = GOAL_RUN if phones == GOAL_PHONES else None
    yield compared(f"{name}.run", "s", ours, bare, against, "less", goal)
    for process in rounds[0].cpu_ms:
        cpu_ms = statistics.median(taken.cpu_ms[process] for taken in rounds)
        yield Line(name=f"{name}.cpu.{process}", value=round(cpu_ms, 2), unit="ms/phone")


async def measure(phones: int, rounds: int, slots: int = SLOTS) -> list[Round]:
    """Run the workflow and the bare script in turn; the first turn of each warms up and does not count."""
    async with open_programs(Fleet(devices=phones, phones=True, slots=slots)) as programs:
        workflow = await programs.store_workflow(RECIPE)
        create = CreateRun(workflow=workflow, targets=Targets(kind=TargetKind.DEVICES, serials=programs.serials))
        taken: list[Round] = []
        for turn in range(rounds + 1):
            seen = len(await trio.to_thread.run_sync(read_journal, programs.journal))
            position, cpu, began_ms = programs.store.last_position(), programs.cpu_s(), time.time_ns() // 1_000_000
            await programs.client.command(CREATE_RUN, create)
            await programs.store.wait_runs_ended(LOOK_S)
            ours_cpu = programs.cpu_s()
            programs.store.verify(phones * (turn + 1), turn + 1)
            calls = recorded_calls((await trio.to_thread.run_sync(read_journal, programs.journal))[seen:])
            bare_cpu = cpu_s(os.getpid())
            bare_s = await run_bare(programs.adb_port, calls, slots)
            used = {name: ours_cpu[name] - cpu[name] for name in cpu if name != "client"}
            used["bare"] = cpu_s(os.getpid()) - bare_cpu
            spans = spans_after(programs, position)
            if turn:
                taken.append(
                    Round(
                        seconds=(max(span.ended_ms for span in spans) - began_ms) / MS,
                        bare_s=bare_s,
                        occupied=occupied_share(spans, slots),
                        calls=sum(map(len, calls.values())),
                        cpu_ms={name: seconds / phones * MS for name, seconds in used.items()},
                    )
                )
        return taken


# --- slots ----------------------------------------------------------------------------------------------------


def spans_after(programs: Programs, position: int) -> list[Span]:
    """Return when each task after a position of the log had its slot."""
    began: dict[str, int] = {}
    spans: list[Span] = []
    for event_type, subject, body in programs.store.rows(
        "SELECT type, subject, envelope FROM events"
        " WHERE position > ? AND type IN ('task.started', 'task.completed') ORDER BY position",
        (position,),
    ):
        occurred_at_ms = decode(body, Envelope).occurred_at_ms
        if event_type == "task.started":
            began[subject] = occurred_at_ms
        else:
            spans.append(Span(began[subject], occurred_at_ms))
    return spans


def occupied_share(spans: list[Span], slots: int) -> float:
    """Return occupied slot time / (slots x time), from the first start until fewer devices than slots have a task.

    Every device has one task, so that many are eligible as tasks have not ended.
    """
    first = min(span.began_ms for span in spans)
    # The end of the task after which fewer than `slots` are left.
    last = heapq.nlargest(min(slots, len(spans)), (span.ended_ms for span in spans))[-1]
    if last <= first:
        return 1.0
    occupied = sum(max(0, min(span.ended_ms, last) - span.began_ms) for span in spans)
    return occupied / (slots * (last - first))


# --- the bare script ------------------------------------------------------------------------------------------


def recorded_calls(journal: list[JournalEntry]) -> Calls:
    """Return what the tasks had the phones execute; the driver's own signs of life are not among it."""
    calls: Calls = {}
    for entry in journal:
        if entry.step is None:
            continue
        if not entry.service.startswith("shell"):
            raise CallsDiffer(
                f"a step used {entry.service} on {entry.serial}: the bare side only sends shell commands"
            )
        calls.setdefault(entry.serial, []).append(entry.command)
    return calls


async def run_bare(adb_port: int, calls: Calls, concurrency: int) -> float:
    """Send all calls of each phone in their order, so many phones at once; return the seconds."""
    client = AdbClient(adb_port)
    transports = await _transports(client)
    waiting = list(calls.items())

    async def work() -> None:
        while waiting:
            serial, commands = waiting.pop()
            for command in commands:
                await run_shell(client, transports[serial], command)

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(concurrency):
            nursery.start_soon(work)
    return time.perf_counter() - began


async def _transports(client: AdbClient) -> dict[str, int]:
    """Return serial -> transport: the server lists addresses, the phones tell who they are."""
    found: dict[str, int] = {}
    for listed in await client.devices():
        answer = await run_shell(client, listed.transport_id, "getprop ro.serialno")
        found[answer.text.strip()] = listed.transport_id
    return found
