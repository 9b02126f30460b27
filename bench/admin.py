"""admin: pages, map and event stream of a dashboard over 10,000 devices, 1,000,000 tasks, 3,000,000 events.

The store is written directly, the admin is the real program without a broker, one client asks page after page as a
signed-in person; the time of a page is that of the whole answer over loopback, its connection kept. The stream: 50
viewers while 500 events a second are committed; a latency is from the commit to a viewer's bytes of its event.
Then what viewers cost tasks (bench/admin_beside.py), with a broker and a node.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import httpx
import msgspec
import trio

from bench import admin_beside
from bench.admin_beside import Beside
from bench.admin_curves import curves
from bench.admin_map import map_lines
from bench.ops_fill import Fill, fill_ended
from bench.programs import rss_bytes
from bench.report import ROOT, Line, limited
from bench.store_view import open_store_view
from doai.admin.access import sha256_hex
from doai.admin.sessions import COOKIE
from doai.changes import ops
from doai.changes.people import PutSession, PutUser, SessionRow, UserRow
from doai.changes.rows import Description, DeviceRow, NodeRow, SampleRow
from doai.codec import encode, raw
from doai.envelope import Envelope
from doai.messages.link import DeviceProof, Heartbeat, HostSample
from doai.states import DeviceState
from doai.store.process_writer import ProcessWriter, open_process_writer
from doai.wire.keys import load_or_make_keypair

PAGE_MS: Final = 300.0
"""The goal of every page's 95th percentile."""
RSS_MIB: Final = 200.0
HOUR_MS: Final = 3_600_000
READY_S: Final = 60.0
PAGES: Final = (
    "/",
    "/throughput",
    "/devices",
    "/devices?q=sm-g&state=online",
    "/devices?view=map",
    "/devices/map.json",
    "/devices/{serial}",
    "/runs",
    "/runs/{run}",
    "/runs/new",
    "/tasks",
    "/tasks?state=failed",
    "/tasks?device={serial}",
    "/tasks/{task}",
    "/queues",
    "/dead",
    "/nodes",
    "/bots",
    "/incidents",
    "/audit",
    "/schedules",
    "/settings",
    "/api/v1/devices?limit=500",
)


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is, and how long it is looked."""

    nodes: int
    devices_per_node: int
    tasks: int
    failed: int
    looks: int
    """At each page."""
    viewers: int
    rate: int
    """Events a second."""
    stream_s: float
    map_s: float
    """The map of devices is looked at so long."""
    beside: Beside


FULL: Final = Sizes(
    nodes=100,
    devices_per_node=100,
    tasks=998_000,
    failed=2_000,
    looks=30,
    viewers=50,
    rate=500,
    stream_s=10.0,
    map_s=8.0,
    beside=admin_beside.FULL,
)
SMALL: Final = Sizes(
    nodes=2,
    devices_per_node=5,
    tasks=200,
    failed=100,
    looks=2,
    viewers=3,
    rate=50,
    stream_s=0.3,
    map_s=0.3,
    beside=admin_beside.SMALL,
)


def run() -> Iterator[Line]:
    """Yield the times of pages, then those of the stream, then memory; takes some 10 minutes."""
    yield from measure(FULL)


def measure(sizes: Sizes) -> Iterator[Line]:
    """Fill a store, start an admin on it, look."""
    with tempfile.TemporaryDirectory(prefix="doai-bench-admin-") as folder:
        data_dir, cookie = Path(folder), secrets.token_urlsafe(32)
        names = fill(data_dir, sizes, cookie)
        with admin_of(data_dir) as (url, pid), _writer(data_dir) as writer:
            slowest = 0.0
            with httpx.Client(base_url=url, cookies={COOKIE: cookie}, timeout=60.0, trust_env=False) as client:
                for path in PAGES:
                    line = _page(client, path, path.format(**names), sizes.looks)
                    slowest = max(slowest, line.value)
                    yield line
            yield limited("admin.pages.p95.slowest", "ms", slowest, PAGE_MS, digits=1)
            stream = trio.run(_stream, url, cookie, writer, _last_position(data_dir / "broker.db"), sizes)
            yield Line(name="admin.stream.p99", value=round(stream[0], 1), unit="ms")
            yield Line(name="admin.stream.rate", value=round(stream[1], 1), unit="events/s a viewer",
                       ratio=round(stream[1] / sizes.rate, 3), against=f"{sizes.rate} events/s")  # fmt: skip
            yield from map_lines(
                url, cookie, sizes.nodes * sizes.devices_per_node, sizes.map_s, _changer(writer, sizes)
            )
            yield limited("admin.rss", "MiB", rss_bytes(pid) / 2**20, RSS_MIB, digits=1)
    yield from admin_beside.beside_lines(sizes.beside)


def _changer(writer: ProcessWriter, sizes: Sizes) -> Callable[[], None]:
    """Return what describes the devices of the next node anew."""
    turns = itertools.count()

    def change() -> None:
        turn = next(turns)
        node = turn % sizes.nodes
        first = node * sizes.devices_per_node
        serials = [f"R{n:09}" for n in range(first, first + sizes.devices_per_node)]
        writer.commit(_devices(f"node-{node}", serials, turn + sizes.nodes, _now_ms()))

    return change


def fill(data_dir: Path, sizes: Sizes, cookie: str) -> dict[str, str]:
    """Write a store as a fleet would have left it; return a serial, a task and a run of it."""
    path, now_ms = data_dir / "broker.db", _now_ms()
    serials = [f"R{n:09}" for n in range(sizes.nodes * sizes.devices_per_node)]
    with _writer(data_dir) as writer:
        user = UserRow(name="bench", role="admin", password_hash="x", created_at_ms=now_ms, created_by="bench",
                       password_at_ms=now_ms)  # fmt: skip
        session = SessionRow(token_sha256=sha256_hex(cookie), user="bench", created_at_ms=now_ms,
                             expires_at_ms=now_ms + 24 * HOUR_MS, address="127.0.0.1")  # fmt: skip
        writer.commit([PutUser(user), PutSession(session)])
        for n in range(sizes.nodes):
            own = serials[n * sizes.devices_per_node : (n + 1) * sizes.devices_per_node]
            writer.commit([*_node(f"node-{n}", own, now_ms), *_devices(f"node-{n}", own, n, now_ms)])
        writer.commit([*curves(serials[0], now_ms)])
    fill_ended(
        Fill(
            path=str(path),
            workflow="playback-check@1",
            serials=serials,
            retired=sizes.tasks,
            cleaned=0,
            failed=sizes.failed,
            events=3,
        )
    )
    load_or_make_keypair(data_dir / "keys" / "broker.key")
    return {"serial": serials[0], **_ids(path)}


def _writer(data_dir: Path) -> closing[ProcessWriter]:
    return closing(open_process_writer(data_dir / "broker.db", new_store_id="bench", now_ms=_now_ms()))


def _node(node_id: str, serials: list[str], now_ms: int) -> list[ops.Op]:
    row = NodeRow(node_id=node_id, host=node_id, version="1", slots=20, capabilities=[], started_at_ms=now_ms,
                  first_seen_at_ms=now_ms, connected_at_ms=now_ms, state="online", state_reason="connected",
                  changed_at_ms=now_ms)  # fmt: skip
    host = HostSample(host=node_id, pid=1, version="1", started_at_ms=now_ms, slots=20)
    beat = Heartbeat(sample=host, devices=[DeviceProof(serial, 0.5, 1.5) for serial in serials])
    sample = SampleRow(name=node_id, instance="1", received_at_ms=now_ms, body=encode(beat))
    return [ops.PutNode(row), ops.PutSample(sample)]


def _devices(node_id: str, serials: list[str], shelf: int, now_ms: int) -> list[ops.Op]:
    models = ("SM-G960N", "SM-S901N", "LM-G710N")
    return [
        ops.PutDevice(
            DeviceRow(
                serial=serial,
                node_id=node_id,
                state=DeviceState.OFFLINE if n % 29 == 28 else DeviceState.ONLINE,
                reason="",
                driver="adb",
                connection="usb",
                model=models[n % 3],
                manufacturer="samsung",
                sdk=33,
                android="13",
                screen_width=1080,
                screen_height=2340,
                tags=["lab"],
                first_seen_at_ms=now_ms,
                changed_at_ms=now_ms,
                description=Description(label=f"no. {n}", shelf=f"A{shelf}-{n}", groups=[f"g{n % 7}"]),
            )
        )
        for n, serial in enumerate(serials)
    ]


def _ids(path: Path) -> dict[str, str]:
    with open_store_view(path) as store:
        [(task, run_id)] = store.rows("SELECT task_id, run_id FROM tasks WHERE state = 'failed' LIMIT 1")
    return {"task": str(task), "run": str(run_id)}


def _last_position(path: Path) -> int:
    with open_store_view(path) as store:
        return store.last_position()


@contextmanager
def admin_of(data_dir: Path) -> Iterator[tuple[str, int]]:
    """Run the real admin; yield its address and process."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "doai.cli.admin", "--data-dir", str(data_dir), "--port", str(port),
               "--endpoint", "tcp://127.0.0.1:9", "--backup-every-h", "0", "--retention-every-h", "0"]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DOAI_")}
    with (data_dir / "admin.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=ROOT, env=environment | {"PYTHONPATH": str(ROOT)}
        )
    try:
        _wait(url, process, data_dir / "admin.log")
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(READY_S)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            if httpx.get(f"{url}/healthz", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"the admin did not start: {log.read_text()[-800:]}")


def _page(client: httpx.Client, name: str, path: str, looks: int) -> Line:
    took_ms = []
    for _ in range(looks + 1):
        begun = time.perf_counter()
        answer = client.get(path)
        took_ms.append((time.perf_counter() - begun) * 1000)
        if answer.status_code != httpx.codes.OK:
            raise RuntimeError(f"{path}: HTTP {answer.status_code}: {answer.text[-600:]}")
    p95 = sorted(took_ms[1:])[max(0, round(0.95 * looks) - 1)]
    more = f"median {statistics.median(took_ms[1:]):.1f} ms"
    return limited(f"admin.page {name}", "ms", p95, PAGE_MS, more=more, digits=1)


async def _stream(url: str, cookie: str, writer: ProcessWriter, position: int, sizes: Sizes) -> tuple[float, float]:
    """Return the 99th percentile of latencies in ms, and the events a second of the slowest viewer."""
    told: dict[int, float] = {}
    # An event may come before the commit of it has returned: what came when is put together at the end.
    seen: list[dict[int, float]] = [{} for _ in range(sizes.viewers)]
    ready, over = 0, trio.Event()
    all_ready = trio.Event()

    async def view(number: int) -> None:
        nonlocal ready
        client = httpx.AsyncClient(cookies={COOKIE: cookie}, timeout=60.0, trust_env=False)
        async with client, client.stream("GET", f"{url}/api/stream") as answer:
            async for line in answer.aiter_lines():
                if line.startswith("event: beat") and not all_ready.is_set():
                    ready += 1
                    if ready == sizes.viewers:
                        all_ready.set()
                if line.startswith("id: ") and int(line[4:]) > position:
                    seen[number].setdefault(int(line[4:]), time.perf_counter())
                if over.is_set():
                    return

    async with trio.open_nursery() as nursery:
        for number in range(sizes.viewers):
            nursery.start_soon(view, number)
        with trio.fail_after(READY_S):
            await all_ready.wait()
        begun = trio.current_time()
        await _commit(writer, position, told, sizes)
        took_s = trio.current_time() - begun
        with trio.move_on_after(READY_S):
            while min(map(len, seen)) < len(told):  # noqa: ASYNC110 - told by all viewers together
                await trio.sleep(0.05)
        took_s = max(took_s, 1e-3)
        over.set()
        nursery.cancel_scope.cancel()
    latencies_ms = sorted((at - told[n]) * 1000 for each in seen for n, at in each.items())
    return latencies_ms[int(len(latencies_ms) * 0.99)], min(map(len, seen)) / took_s


async def _commit(writer: ProcessWriter, position: int, told: dict[int, float], sizes: Sizes) -> None:
    """Commit events at a rate, twenty times a second."""
    begun, sent, wanted = trio.current_time(), 0, max(1, int(sizes.stream_s * sizes.rate))
    while sent < wanted:
        due = min(int((trio.current_time() - begun) * sizes.rate), wanted) - sent
        if due > 0:
            rows = [ops.AppendEvent(position + n + 1, _event(position + n + 1), _now_ms()) for n in range(due)]
            await trio.to_thread.run_sync(writer.commit, rows)
            now = time.perf_counter()
            told |= {row.position: now for row in rows}
            position, sent = position + due, sent + due
        await trio.sleep(0.05)


def _event(position: int) -> Envelope:
    return Envelope(
        event_id=f"B{position:025}", type="task.started", subject=f"task/T{position % 1000}", source="broker/main",
        trace_id="a" * 32, occurred_at_ms=_now_ms(), payload=raw({"taskId": f"T{position % 1000}"}),
    )  # fmt: skip


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    for each in measure(SMALL):
        print(json.dumps(msgspec.to_builtins(each)))
