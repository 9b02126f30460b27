"""The servers of other queues as processes for one measurement, each on a port and in a folder of its own.

Redis syncs each write before its reply; PostgreSQL syncs each commit, as it does unless told otherwise. Serves
`bin/bench peers`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from doai.errors import DoaiError
from doai.ports import free_port

START_S: Final = 20.0
STOP_S: Final = 10.0
POSTGRES_USER: Final = "postgres"
"""PostgreSQL does not run as root: there it runs as this one."""
OTHERS: Final[Mapping[str, str]] = {"JetStream": "nats-server", "RabbitMQ": "rabbitmq-server"}
"""Queues that would be peers where their servers are installed, and the programs."""


class PeersMissing(DoaiError):
    """The environment of the peers is not there, or one of them did not work."""

    code = "peers_missing"


def has_postgres() -> bool:
    """Say whether PostgreSQL is installed, and may run: as root it needs its own user."""
    programs = all(shutil.which(name) for name in ("initdb", "postgres"))
    return programs and (os.geteuid() != 0 or _postgres_user() is not None)


@contextmanager
def redis_server(program: Path, folder: Path) -> Iterator[dict[str, str]]:
    """Run a Redis server with appendfsync always; yield what its users need to know, as variables."""
    port = free_port()
    settings = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "")
    always = ("--appendonly", "yes", "--appendfsync", "always", "--loglevel", "warning")
    with (folder / "redis.log").open("wb") as log, process([str(program), *settings, *always], log=log):
        _wait_port("Redis", port)
        yield {"DOAI_BENCH_REDIS": f"redis://127.0.0.1:{port}/0"}


@contextmanager
def postgres_server(folder: Path) -> Iterator[dict[str, str]]:
    """Run a PostgreSQL server of its own, not that of the machine; yield what its users need to know."""
    port, data, user = free_port(), folder / "postgres", None
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        user = POSTGRES_USER
        folder.chmod(0o711)
        shutil.chown(data, user)
    make = ["initdb", "-D", str(data), "-U", "bench", "-A", "trust", "-E", "UTF8", "--no-locale"]
    done = subprocess.run(make, capture_output=True, text=True, cwd=data, user=user, check=False)
    if done.returncode:
        raise PeersMissing(f"`initdb` failed: {done.stderr.strip()[-300:]}")
    serve = ["postgres", "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", ""]
    with (folder / "postgres.log").open("wb") as log, process(serve, log=log, cwd=data, user=user):
        _wait_port("PostgreSQL", port)
        yield {"DOAI_BENCH_POSTGRES": f"host=127.0.0.1 port={port} user=bench dbname=postgres"}


@contextmanager
def process(
    command: list[str],
    *,
    log: object,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process, with its own children in a group; they are gone at the end of the block."""
    started = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdout=log,  # type: ignore[call-overload]
        stderr=subprocess.STDOUT,
        start_new_session=True,
        user=user,
    )
    try:
        yield started
    finally:
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(started.pid, signal_number)
                started.wait(STOP_S)
                break
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                started.wait(STOP_S)
                break


def _postgres_user() -> str | None:
    try:
        return pwd.getpwnam(POSTGRES_USER).pw_name
    except KeyError:
        return None


def _wait_port(name: str, port: int) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise PeersMissing(f"the {name} server does not listen on port {port} after {START_S:.0f} s")
