"""The broker, a node, and what an admin does beside them, on a store that was filled before (all steps)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import trio

from bench.mesh_client import CommandFailed, open_mesh_client
from bench.ops_admin import Settings as AdminSettings
from bench.programs import Programs
from bench.recovery import Daemons
from bench.report import ROOT
from bench.store_view import open_store_view
from doai.messages import queues as q
from doai.wire.keys import load_or_make_keypair

WITHIN_S: Final = 300.0
STOP_S: Final = 30.0


class Admin:
    """The process that removes and backs up."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._lines = b""

    async def ask(self, do: str, **line: object) -> dict[str, Any]:
        """Have it do something; returns what it tells."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(json.dumps({"do": do, **line}).encode() + b"\n")
        told: dict[str, Any] = json.loads(await self.line())
        return told

    async def line(self) -> str:
        """Return its next line; raises CommandFailed when there is none."""
        assert self._process.stdout is not None
        with trio.fail_after(WITHIN_S):
            while b"\n" not in self._lines:
                more = await self._process.stdout.receive_some()
                if not more:
                    raise CommandFailed("the process that removes and backs up has ended: its words are above")
                self._lines += more
        line, _, self._lines = self._lines.partition(b"\n")
        return line.decode()


@asynccontextmanager
async def open_site(daemons: Daemons, queues: Sequence[str], paused: str) -> AsyncIterator[tuple[Programs, Admin]]:
    """Start everything on a store that was filled; the queues are there, one is paused from the beginning."""
    await daemons.start("broker")
    ready, folder = daemons.children["broker"].ready, daemons.folder
    endpoint, server_key = ready["X_DOAI_ENDPOINT"], ready["X_DOAI_PUBLIC_KEY"]
    keys = load_or_make_keypair(folder / "broker" / "keys" / "admin.key")
    settings = AdminSettings(
        data_dir=str(folder / "broker"), endpoint=endpoint, server_key=server_key, backups=str(folder / "backups")
    )
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "bench.ops_admin"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdin is not None
        await process.stdin.send_all(msgspec.json.encode(settings) + b"\n")
        admin = Admin(process)
        await admin.line()
        async with open_mesh_client(endpoint, keys, server_key) as client:
            for name in queues:
                await client.command(q.PUT_QUEUE, q.PutQueue(name=name))
            await client.command(q.PAUSE_QUEUE, q.PauseQueue(name=paused))
            await daemons.start("node")
            with open_store_view(daemons.store_path) as store:
                with trio.fail_after(WITHIN_S):
                    serials = await store.wait_devices(daemons.devices)
                programs = Programs(folder, daemons.children, client, store, 0)
                programs.serials = serials
                yield programs, admin
    finally:
        with trio.CancelScope(shield=True), trio.move_on_after(STOP_S):
            if process.stdin is not None:
                await process.stdin.aclose()
            await process.wait()
        if process.returncode is None:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
