"""`bin/bot` as a process, on real sockets, with a broker that the test plays: it starts, is killed, ends well."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from doai import exits
from doai.bots.played_broker import PlayedBroker, refusal
from doai.bots.program import SystemClock
from doai.ids import RandomIds
from doai.messages.bots import REGISTER_BOT
from doai.messages.events import SystemNotice
from doai.wire.keys import KeyTable, load_or_make_keypair, make_keypair
from doai.wire.router import open_router
from tests.integration.installed import environment

WAIT_S = 90.0
NOTES = """
import pathlib

import trio

from doai.bots import Bot

bot = Bot("notes")
here = pathlib.Path(__file__).parent


def called(text):
    with (here / "calls").open("a") as calls:
        calls.write(text + "\\n")


@bot.on("system.alert")
async def note(event, ctx):
    called(event.message)
    if event.message == "wait":
        await trio.sleep_forever()
    await ctx.state.put("last", event.message)


bot.run()
"""


class Site:
    """A played broker, and the bot of a file as a process of its own."""

    def __init__(self, folder: Path, broker: PlayedBroker, endpoint: str, server_key: str) -> None:
        self.folder = folder
        self.broker = broker
        self.errors = folder / "bot.err"
        settings = {
            "program": str(folder / "notes.py"),
            "endpoint": endpoint,
            "broker_public_key": server_key,
            "bot_dir": str(folder / "bot"),
            "drain_s": 0.5,
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        (folder / "bot.toml").write_text("\n".join(lines) + "\n")
        (folder / "notes.py").write_text(NOTES)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().split() if path.exists() else []

    def start(self) -> None:
        self.broker.registration = None
        command = [sys.executable, "-m", "doai.cli.bot", "--config", str(self.folder / "bot.toml")]
        with self.errors.open("ab") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stderr=errors, cwd=self.folder, env=environment(self.folder)
            )

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        assert self._process is not None
        return await trio.to_thread.run_sync(self._process.wait, WAIT_S)

    async def wait_for_call(self, message: str) -> None:
        while message not in self.calls:  # noqa: ASYNC110 - another process writes the file
            await trio.sleep(0.02)

    def give(self, message: str) -> int:
        return self.broker.append("system.alert", "node/n1", SystemNotice(code="t", message=message, subject=""))

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(WAIT_S)


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    server, ring = make_keypair(), KeyTable()
    ring.add(load_or_make_keypair(folder / "bot/keys/bot.key").public, "notes")
    ids = RandomIds(random.Random(1).getrandbits)
    with trio.fail_after(WAIT_S * 2):
        async with open_router("tcp://127.0.0.1:0", server, ring) as router, trio.open_nursery() as nursery:
            broker = PlayedBroker(router, ids, SystemClock())
            nursery.start_soon(broker.run)
            place = Site(folder, broker, router.endpoint, server.public)
            try:
                yield place
            finally:
                place.close()
            nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_a_bot_is_stopped_in_the_middle_of_a_try_which_does_not_count(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        place.start()
        await place.broker.wait(lambda: bool(place.broker.feeds))
        place.give("first")
        place.give("wait")
        await place.wait_for_call("wait")
        place.signal(signal.SIGTERM)
        assert await place.ended() == exits.PASSED
        await place.broker.wait(lambda: place.broker.goodbyes != [])  # its last words come after its end, perhaps
        assert place.broker.goodbyes == ["the bot was stopped by SIGTERM"]
        assert place.broker.feeds["note"].done == {1}, "the other was not done, and is given again"
        assert place.broker.dead_letters == []
        assert (tmp_path / "bot/state.db").exists()


@pytest.mark.slow
async def test_a_bot_that_is_refused_ends_with_one_sentence(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        place.broker.answers[REGISTER_BOT] = lambda _: refusal("the schema of its configuration is none")
        place.start()
        assert await place.ended() == exits.CONFIG
        assert place.errors.read_text().splitlines()[-1] == (
            "bot: notes: the broker does not take this bot in: the schema of its configuration is none"
        )
