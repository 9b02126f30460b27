"""What an admin does beside the load, without its API: retention, cleanings and backups, told by lines of JSON.

A process of its own, as the admin is one. Reads its settings, says "ready", and then does what each line says until
the line "stop" (of what goes on) or the end of its input.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import msgspec

from doai import __version__
from doai.admin.backups import Backups
from doai.admin.janitor import Janitor
from doai.admin.mesh import Mesh
from doai.admin.problems import CommandRefused
from doai.codec import raw
from doai.envelope import Envelope, Message
from doai.ids import RandomIds
from doai.messages.catalogue import COMMANDS
from doai.messages.link import HostSample
from doai.states import Outcome
from doai.store.retention_reader import Cleaning, Policy, RetentionReader
from doai.wire.keys import load_or_make_keypair

POLICY: Final = Policy(
    tasks_days=60,
    tasks_max=0,
    events_days=0,
    events_max=0,
    artifacts_days=0,
    artifacts_disk_percent=0,
    audit_days=0,
    audit_max=0,
    samples_hours=0,
    sample_hours_days=0,
)
_TYPE_OF: Final = {payload: name for name, (payload, _) in COMMANDS.items()}
_IDS: Final = RandomIds(secrets.randbits)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker is, and where backups go."""

    data_dir: str
    endpoint: str
    server_key: str
    backups: str


class Worker:
    """Does one thing at a time."""

    def __init__(self, settings: Settings) -> None:
        data_dir = Path(settings.data_dir)
        keys = load_or_make_keypair(data_dir / "keys" / "admin.key")
        sample = HostSample(host="bench", pid=os.getpid(), version=__version__, started_at_ms=0)
        self.mesh = Mesh(
            settings.endpoint, lambda: (keys, settings.server_key), instance="ops", sample=lambda: sample
        )
        self._backups = Backups(
            data_dir / "broker.db", data_dir / "keys", Path(settings.backups), every_h=0, keep=1
        )
        self._janitor = Janitor(
            RetentionReader(data_dir / "broker.db"),
            data_dir / "artifacts",
            POLICY,
            every_h=0,
            wait_free=self._backups.wait_free,
        )
        self._going_on: asyncio.Task[None] | None = None

    async def obey(self, line: dict[str, Any]) -> dict[str, Any]:
        """Do what a line says; returns what there is to tell."""
        works: dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
            "cleanable": self._cleanable,
            "clean": self._clean,
            "begin": self._begin,
            "stop": self._stop,
        }
        return await works[line["do"]](line)

    async def _cleanable(self, line: dict[str, Any]) -> dict[str, Any]:
        began = time.perf_counter()
        found = await self._janitor.reader.cleanable(_cleaning(line))
        return {**msgspec.structs.asdict(found), "seconds": time.perf_counter() - began}

    async def _clean(self, line: dict[str, Any]) -> dict[str, Any]:
        done = await self._janitor.clean(self._command, _cleaning(line))
        return msgspec.structs.asdict(done)

    async def _begin(self, line: dict[str, Any]) -> dict[str, Any]:
        work = self._retire if line["what"] == "retention" else self._back_up
        self._going_on = asyncio.create_task(work())
        return {}

    async def _stop(self, line: dict[str, Any]) -> dict[str, Any]:
        assert self._going_on is not None
        if line["what"] == "retention":  # a backup is made to its end
            self._going_on.cancel()
        await asyncio.wait([self._going_on])
        if not self._going_on.cancelled() and (error := self._going_on.exception()) is not None:
            raise error
        return msgspec.structs.asdict(self._janitor.progress)

    async def _retire(self) -> None:
        await self._janitor.sweep(self._command)

    async def _back_up(self) -> None:
        await self._backups.make()

    async def _command(self, payload: Message) -> object:
        now_ms = time.time_ns() // 1_000_000
        envelope = Envelope(
            event_id=_IDS.new_id(now_ms),
            type=_TYPE_OF[type(payload)],
            subject="retention",
            source=self.mesh.source,
            trace_id=_IDS.new_trace_id(),
            occurred_at_ms=now_ms,
            payload=raw(payload),
            idempotency_key=f"auto-{_IDS.new_id(now_ms)}",
            actor="user/bench",
            interface="system",
        )
        reply = await self.mesh.command(envelope)
        if reply.problem is not None:
            raise CommandRefused(reply.problem)
        return reply

    async def close(self) -> None:
        """End what is open."""
        await self._janitor.close()


def _cleaning(line: dict[str, Any]) -> Cleaning:
    return Cleaning(queue=line["queue"], ended_before_ms=line["before_ms"], outcomes=[Outcome.PASSED])


async def main() -> None:
    """Work until the input ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    worker = Worker(msgspec.json.decode(await lines.readline(), type=Settings))
    connection = asyncio.create_task(worker.mesh.run())
    await worker.mesh.wait_live()
    print("ready", flush=True)
    try:
        while line := await lines.readline():
            print(json.dumps(await worker.obey(json.loads(line))), flush=True)
    finally:
        await worker.close()
        connection.cancel()
        await asyncio.gather(connection, return_exceptions=True)


if __name__ == "__main__":
    work: Coroutine[Any, Any, None] = main()
    asyncio.run(work)
