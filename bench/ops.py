"""ops: actions of operators with a million finished and 100,000 open tasks; retention and a backup beside a load.

Broker, node and what an admin does are processes. Answers are timed from command to reply; their effects are told
by the order of the event log. Windows of the same load with and without retention or a backup alternate in one
run; a latency is from the time at which a task was due to be sent to its result on disk.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import trio

from bench.backlog import fill_store
from bench.mesh_client import CommandFailed, MeshClient
from bench.ops_fill import FAILED, FILL_TIMEOUT_S, OLD, ROWS_A_TASK, Fill, fill_ended
from bench.ops_site import WITHIN_S, Admin, open_site
from bench.programs import Fleet, Programs
from bench.recovery import Daemons, open_daemons
from bench.report import Line, limited
from bench.store_view import CountsWrong, StoreView, open_store_view
from bench.task import RECIPE, observe, submit_at_rate
from doai.changes.retention import DAY_MS
from doai.envelope import Message
from doai.messages import commands as c
from doai.messages import finished as f
from doai.messages import queues as q
from doai.states import Outcome

ANSWER_S: Final = 1.0
"""The goal of every answer."""
P99_TIMES: Final = 1.5
"""The goal of the load's p99 beside retention, and beside a backup."""
LIVE: Final = "live"
"""Queue of the load."""
DEFAULT: Final = "default"
LOOK_S: Final = 0.01
PROBE_S: Final = 0.05
DRAIN_MAX_S: Final = 30.0
MS: Final = 1e3


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is; tasks in whole runs of a hundred."""

    finished: int
    cleaned: int
    """Of the finished."""
    failed: int
    open_tasks: int
    rate: int
    window_s: float
    rounds: int
    """Of windows without, with retention, without, with a backup."""
    actions: int
    """Times of each action that can be undone."""
    devices: int


FULL: Final = Sizes(
    finished=1_000_000,
    cleaned=100_000,
    failed=2_000,
    open_tasks=100_000,
    rate=500,
    window_s=10.0,
    rounds=4,
    actions=5,
    devices=100,
)
SMALL: Final = Sizes(
    finished=400, cleaned=200, failed=100, open_tasks=1000, rate=20, window_s=0.2, rounds=1, actions=1, devices=2
)


class Measured(msgspec.Struct, kw_only=True):
    """What a run came to."""

    answers_s: dict[str, list[float]] = {}
    """Seconds of every answer, by action."""
    effects_s: dict[str, float] = {}
    """Seconds from the command until what it wants is so."""
    stored_ms: dict[str, list[float]] = {}
    """Latencies of the load by what went on beside it."""
    kept: dict[str, int] = {}
    """Tasks of the load of which the result was seen before the window's end."""
    rows_removed: int = 0
    retention_s: float = 0.0
    backups: int = 0
    backup_s: float = 0.0
    store_bytes: int = 0


def run() -> Iterator[Line]:
    """Yield answers and effects of actions, then latencies beside retention and backups; takes some 6 minutes."""
    yield from lines(trio.run(measure, FULL), FULL)


async def measure(sizes: Sizes) -> Measured:
    """Fill a store, start everything, act, load, count."""
    async with open_daemons(Fleet(devices=sizes.devices)) as daemons:
        _fill(daemons, sizes)
        async with open_site(daemons, (LIVE, OLD, FAILED), DEFAULT) as (programs, admin):
            client, store = programs.client, programs.store
            measured = Measured()
            bench = _Bench(client, store, admin, measured, sizes, daemons.workflow)
            await bench.stop_and_go()
            workflow = await programs.store_workflow(RECIPE)
            await bench.stand_still()
            await bench.load(programs, workflow)
            await bench.discard()
            await bench.retry_failed()
            await bench.clean()
            bench.check_order()
            measured.store_bytes = daemons.store_path.stat().st_size
            return measured


def _fill(daemons: Daemons, sizes: Sizes) -> None:
    with open_store_view(daemons.store_path) as store:
        serials = [serial for (serial,) in store.rows("SELECT serial FROM devices ORDER BY serial")]
    fill = Fill(
        path=str(daemons.store_path),
        workflow=daemons.workflow,
        serials=serials,
        retired=sizes.finished - sizes.cleaned,
        cleaned=sizes.cleaned,
        failed=sizes.failed,
    )
    fill_ended(fill)
    fill_store(daemons.store_path, daemons.workflow, open_tasks=sizes.open_tasks, timeout_s=FILL_TIMEOUT_S)


class _Bench:
    """The parts of a measurement."""

    def __init__(
        self, client: MeshClient, store: StoreView, admin: Admin, measured: Measured, sizes: Sizes, workflow: str
    ) -> None:
        self._client = client
        self._store = store
        self._admin = admin
        self._measured = measured
        self._sizes = sizes
        self._workflow = workflow

    async def _ask(self, name: str, command: str, payload: Message) -> dict[str, Any]:
        began = time.perf_counter()
        answer: dict[str, Any] = await self._client.command(command, payload)
        self._measured.answers_s.setdefault(name, []).append(time.perf_counter() - began)
        return answer

    async def _until(self, name: str, began: float, sql: str, bindings: tuple[object, ...], wanted: int) -> None:
        with trio.fail_after(WITHIN_S):
            while self._store.number(sql, bindings) != wanted:  # noqa: ASYNC110 - another process's state
                await trio.sleep(LOOK_S)
        self._measured.effects_s[name] = time.perf_counter() - began

    # --- actions ------------------------------------------------------------------------------------------

    async def stop_and_go(self) -> None:
        """Resume, configure, drain and pause the queue with the open tasks, while a node works on them."""
        for number in range(self._sizes.actions):
            began, position = time.perf_counter(), self._store.last_position()
            await self._ask("resume", q.RESUME_QUEUE, q.ResumeQueue(name=DEFAULT))
            given = "SELECT EXISTS (SELECT 1 FROM events WHERE position > ? AND type = 'task.dispatched')"
            await self._until("resume", began, given, (position,), 1)
            await self._ask("configure", q.PUT_QUEUE, q.PutQueue(name=DEFAULT, priority=number))
            await self._ask("drain", q.DRAIN_QUEUE, q.DrainQueue(name=DEFAULT))
            targets = c.Targets(kind=c.TargetKind.ALL)
            try:
                await self._client.command(c.CREATE_RUN, c.CreateRun(workflow=self._workflow, targets=targets))
            except CommandFailed:
                await self._client.command(q.RESUME_QUEUE, q.ResumeQueue(name=DEFAULT))
            else:
                raise CountsWrong("a queue that drains took a run")
            await self._ask("pause", q.PAUSE_QUEUE, q.PauseQueue(name=DEFAULT))

    async def stand_still(self) -> None:
        """Wait until nodes hold nothing of the queue that is paused."""
        began = time.perf_counter()
        held = (
            "SELECT count(*) FROM tasks WHERE queue = ? AND state <> 'passed'"
            " AND state IN ('dispatched', 'running', 'unproven', 'cancelling')"
        )
        await self._until("pause", began, held, (DEFAULT,), 0)

    def check_order(self) -> None:
        """No task of a paused queue was given out between the events of the pause and of what ended it."""
        moves = self._store.rows(
            "SELECT position, type FROM events WHERE type IN ('queue.paused', 'queue.resumed') ORDER BY position"
        )
        ends = [*moves[1:], (self._store.last_position() + 1, "")]
        for (position, event_type), (end, _) in zip(moves, ends, strict=True):
            if event_type != "queue.paused":
                continue
            given = self._store.number(
                "SELECT count(*) FROM events AS e JOIN tasks AS t ON 'task/' || t.task_id = e.subject"
                " WHERE e.position BETWEEN ? AND ? AND e.type = 'task.dispatched' AND t.queue = ?",
                (position, end, DEFAULT),
            )
            if given:
                raise CountsWrong(f"{given} tasks were given out after position {position}, where it was paused")

    async def discard(self) -> None:
        """Throw away what waits, and ask for something else meanwhile."""
        first = await self._ask("discard.ask", q.DISCARD_QUEUE, q.DiscardQueue(name=DEFAULT))
        began = time.perf_counter()
        wish = q.DiscardQueue(name=DEFAULT, confirm=first["confirm"])
        await self._ask("discard.do", q.DISCARD_QUEUE, wish)
        # Cheap to ask again and again: what is asked stands in the way of what is timed.
        under_way = "SELECT count(*) FROM queues WHERE name = ? AND discard_to <> 0"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._probe)
            await self._until("discard", began, under_way, (DEFAULT,), 0)
            nursery.cancel_scope.cancel()
        cancelled = self._store.number("SELECT count(*) FROM tasks WHERE state = 'cancelled'")
        if cancelled != first["tasks"]:
            raise CountsWrong(f"{cancelled} tasks are cancelled, {first['tasks']} were to be discarded")

    async def _probe(self) -> None:
        number = 0
        while True:
            number += 1
            await self._ask("beside_a_discard", q.PUT_QUEUE, q.PutQueue(name=LIVE, priority=number))
            await trio.sleep(PROBE_S)

    async def retry_failed(self) -> None:
        """Try all that gave up again, slice by slice."""
        began = time.perf_counter()
        wish, retried = f.RetryFailed(name=FAILED), 0
        while True:
            answer = await self._ask("retry_failed", f.RETRY_FAILED, wish)
            retried += answer["retried"]
            if not answer.get("left"):
                break
            wish = f.RetryFailed(name=FAILED, after=answer["after"], up_to=answer["upTo"])
        self._measured.effects_s["retry_failed"] = time.perf_counter() - began
        made = self._store.number(
            "SELECT count(*) FROM dead_letters AS l JOIN tasks AS t ON t.task_id = l.retried_as"
        )
        if not self._sizes.failed <= retried == made:
            raise CountsWrong(f"{retried} tasks are tried again, {made} new ones are there")

    async def clean(self) -> None:
        """Remove what has ended in a queue, and only that."""
        before_ms = time.time_ns() // 1_000_000 - 30 * DAY_MS
        about = {"queue": OLD, "before_ms": before_ms}
        began = time.perf_counter()
        found = await self._admin.ask("cleanable", **about)
        self._measured.answers_s["clean.look"] = [found["seconds"]]
        wish = f.CleanQueue(
            name=OLD,
            ended_before_ms=before_ms,
            outcomes=[Outcome.PASSED],
            runs=found["runs"],
            tasks=found["tasks"],
            digest=found["digest"],
        )
        first = await self._ask("clean.ask", f.CLEAN_QUEUE, wish)
        await self._ask("clean.do", f.CLEAN_QUEUE, msgspec.structs.replace(wish, confirm=first["confirm"]))
        if self._sizes is FULL:
            return  # what it removes is the matter of the windows beside a load
        removed = await self._admin.ask("clean", **about)
        self._measured.effects_s["clean"] = time.perf_counter() - began
        left = self._store.number("SELECT count(*) FROM tasks WHERE queue = ?", (OLD,))
        if (removed["tasks"], left) != (found["tasks"], 0):
            raise CountsWrong(f"{removed['tasks']} of {found['tasks']} tasks are cleaned, {left} are left")

    # --- load ---------------------------------------------------------------------------------------------

    async def load(self, programs: Programs, workflow: str) -> None:
        """The same load again and again, with something beside it every second time."""
        await self._window(programs, workflow, "warm")
        del self._measured.stored_ms["warm"]
        for _ in range(self._sizes.rounds):
            await self._window(programs, workflow, "without")
            before, began = self._rows_of_old(), time.perf_counter()
            await self._admin.ask("begin", what="retention")
            await self._window(programs, workflow, "retention")
            if not self._measured.rows_removed:
                await self._until_some_went(before)  # a short window on a slow machine ends before the first slice
            await self._admin.ask("stop", what="retention")
            self._measured.retention_s += time.perf_counter() - began
            self._measured.rows_removed += before - self._rows_of_old()
            await self._window(programs, workflow, "without")
            began = time.perf_counter()
            await self._admin.ask("begin", what="backup")
            await self._window(programs, workflow, "backup")
            await self._admin.ask("stop", what="backup")
            self._measured.backup_s += time.perf_counter() - began
            self._measured.backups += 1

    async def _until_some_went(self, before: int) -> None:
        with trio.fail_after(WITHIN_S):
            while self._rows_of_old() == before:  # noqa: ASYNC110 - another process's state
                await trio.sleep(LOOK_S)

    def _rows_of_old(self) -> int:
        tasks = self._store.number("SELECT count(*) FROM tasks WHERE queue = ?", (OLD,))
        return tasks * ROWS_A_TASK + self._store.number("SELECT count(*) FROM runs WHERE queue = ?", (OLD,))

    async def _window(self, programs: Programs, workflow: str, name: str) -> None:
        sizes = self._sizes
        count = round(sizes.rate * sizes.window_s)
        due_s: dict[str, float] = {}
        seen_s: dict[str, float] = {}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(observe, programs, seen_s, count)
            began = time.perf_counter()
            await submit_at_rate(programs, workflow, sizes.rate, count, began, due_s, queue=LIVE)
            last_submit = time.perf_counter()
            nursery.cancel_scope.deadline = trio.current_time() + DRAIN_MAX_S
        passed = self._store.number("SELECT count(*) FROM tasks WHERE queue = ? AND state = 'passed'", (LIVE,))
        if len(due_s) != count or len(seen_s) != count or passed % count:
            raise CountsWrong(f"{len(seen_s)} of {count} tasks of the load had a result, {passed} have passed")
        self._measured.stored_ms.setdefault(name, []).extend(
            (seen_s[task] - due) * MS for task, due in due_s.items()
        )
        kept = sum(seen <= last_submit for seen in seen_s.values())
        self._measured.kept[name] = self._measured.kept.get(name, 0) + kept


# --- lines ----------------------------------------------------------------------------------------------------


def lines(measured: Measured, sizes: Sizes) -> Iterator[Line]:
    """Yield the longest answer of each action, how long each effect took, and p99 with and without."""
    for name, seconds in measured.answers_s.items():
        longest = max(seconds)
        more = f"the longest of {len(seconds)}"
        yield limited(f"ops.{name}.answer", "ms", longest * MS, ANSWER_S * MS, more=more)
    for name, taken_s in measured.effects_s.items():
        yield Line(name=f"ops.{name}.effect", value=round(taken_s, 3), unit="s")
    p99 = {name: statistics.quantiles(ms, n=100, method="inclusive")[98] for name, ms in measured.stored_ms.items()}
    yield from _load_lines(p99, measured, sizes)


def _load_lines(p99: Mapping[str, float], measured: Measured, sizes: Sizes) -> Iterator[Line]:
    yield Line(name="ops.load.p99", value=round(p99["without"], 2), unit="ms")
    for name in ("retention", "backup"):
        against = f"the same load ({sizes.rate} tasks/s) without: {p99['without']:.4g} ms; goal 1 / {P99_TIMES:g}"
        yield Line(
            name=f"ops.{name}.p99",
            value=round(p99[name], 2),
            unit="ms",
            ratio=round(p99["without"] / p99[name], 3),
            against=against,
            goal=round(1 / P99_TIMES, 2),
        )
    windows = {"without": 2 * sizes.rounds, "retention": sizes.rounds, "backup": sizes.rounds}
    for name, count in windows.items():
        share = measured.kept[name] / (sizes.rate * sizes.window_s * count)
        yield Line(name=f"ops.{name}.kept", value=round(share, 4), unit="share")
    yield Line(
        name="ops.retention.rate", value=round(measured.rows_removed / measured.retention_s, 1), unit="rows/s"
    )
    seconds = measured.backup_s / measured.backups
    yield Line(name="ops.backup.seconds", value=round(seconds, 2), unit="s")
    yield Line(name="ops.store.size", value=round(measured.store_bytes / 2**20, 1), unit="MiB")
