"""A bot as a process at a real broker: killed in the middle of handlers, it loses nothing and repeats nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from doai import exits
from doai.messages.bots import SET_BOT_STATUS, BotSettings, BotStatus, SetBotStatus
from doai.wire.keys import load_or_make_keypair, public_key_file
from tests.integration.installed import environment
from tests.integration.test_bots import Site, wait_position

ENDS_S = 90.0
IN_ALL_S = 240.0
GUARD = """
import os
import pathlib

import trio

from doai.bots import Bot

bot = Bot("guard")
here = pathlib.Path(__file__).parent
with (here / "pids").open("a") as pids:
    pids.write(f"{os.getpid()}\\\\n")


@bot.on("file.*", name="s")
async def handle(event, ctx):
    with (here / "begun").open("a") as begun:
        begun.write(f"{ctx.position}\\\\n")
    if (here / "hold").exists():
        await trio.sleep_forever()


bot.run()
"""


class Guard:
    """The bot of a file outside the checkout, one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        (folder / "guard.py").write_text(GUARD.replace("\\\\", "\\"))
        self.key = load_or_make_keypair(folder / "bot/keys/bot.key")

    @property
    def begun(self) -> list[int]:
        path = self.folder / "begun"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    async def wait_begun(self, position: int) -> None:
        while position not in self.begun:  # noqa: ASYNC110 - another process writes the file
            await trio.sleep(0.02)

    @property
    def pids(self) -> list[int]:
        path = self.folder / "pids"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    async def wait_processes(self, count: int) -> int:
        """Wait until it was started so often; return the last process."""
        while len(self.pids) < count:  # noqa: ASYNC110 - another process writes the file
            await trio.sleep(0.02)
        return self.pids[-1]

    @contextmanager
    def process(self, site: Site) -> Iterator[subprocess.Popen[bytes]]:
        settings = write_settings(self.folder / "bot.toml", site, bot_dir=str(self.folder / "bot"))
        with started([str(self.folder / "guard.py"), "--config", str(settings)], self.folder) as process:
            yield process


def write_settings(path: Path, site: Site, **more: object) -> Path:
    key = str(public_key_file(site.folder / "keys/broker.key"))
    settings = {"endpoint": site.endpoint, "broker_public_key": key, **more}
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    return path


@contextmanager
def started(words: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "bot.err").open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, *words], stdin=subprocess.DEVNULL, stderr=errors, cwd=folder, env=environment(folder)
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(ENDS_S)


@pytest.mark.slow
async def test_kills_in_the_middle_of_handlers_lose_nothing_and_repeat_nothing_that_was_acked(
    tmp_path: Path,
) -> None:
    guard, site = Guard(tmp_path / "outside"), Site(tmp_path / "site")
    site.folder.mkdir()
    site.keys = {"guard": guard.key}
    acked: list[int] = []
    held: list[int] = []
    with trio.fail_after(IN_ALL_S):
        async with site._broker():
            await _kill(guard, site, acked, held)
    count = Counter(guard.begun)
    assert {position: count[position] for position in acked} == dict.fromkeys(acked, 1)
    assert {position: count[position] for position in held} == dict.fromkeys(held, 2)


async def _kill(guard: Guard, site: Site, acked: list[int], held: list[int]) -> None:
    hold = guard.folder / "hold"
    with guard.process(site):
        # A subscription begins with what comes after it: the first event that is seen says that it is there.
        while not guard.begun:
            await site.event("first")
            await trio.sleep(0.1)
    for _ in range(2):
        with guard.process(site) as process:
            acked += [await site.event("app") for _ in range(3)]
            await wait_position(site, acked[-1])
            hold.touch()
            held.append(await site.event("app"))
            await guard.wait_begun(held[-1])
            process.send_signal(signal.SIGKILL)
            await trio.to_thread.run_sync(process.wait, ENDS_S)
        hold.unlink()
    with guard.process(site) as process:
        acked.append(await site.event("other"))
        await wait_position(site, acked[-1])
        process.send_signal(signal.SIGTERM)
        assert await trio.to_thread.run_sync(process.wait, ENDS_S) == exits.PASSED


async def wait_gone(pid: int) -> None:
    while is_there(pid):  # noqa: ASYNC110 - a process of a process
        await trio.sleep(0.02)


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.slow
async def test_a_supervisor_starts_and_stops_bots_as_an_operator_says(tmp_path: Path) -> None:
    guard, site = Guard(tmp_path / "outside"), Site(tmp_path / "site")
    site.folder.mkdir()
    folder = tmp_path / "bots"
    folder.mkdir()
    own = tmp_path / "host-1"
    site.keys = {"guard": guard.key, "host-1": load_or_make_keypair(own / "keys/bot.key")}
    with trio.fail_after(IN_ALL_S):
        async with site._broker():
            settings = write_settings(
                tmp_path / "host.toml", site, name="host-1", supervise=str(folder), bot_dir=str(own)
            )
            write_settings(
                folder / "guard.toml",
                site,
                bot_dir=str(guard.folder / "bot"),
                program=str(guard.folder / "guard.py"),
            )
            with started(["-m", "doai.cli.bot", "--config", str(settings)], tmp_path) as supervisor:
                first = await guard.wait_processes(1)
                while not guard.begun:
                    await site.event("first")
                    await trio.sleep(0.1)
                rest = SetBotStatus(name="guard", status=BotStatus.INACTIVE, reason="a look")
                await site.admin.do(SET_BOT_STATUS, rest, BotSettings)
                await wait_gone(first)
                missed = await site.event("app")
                wake = SetBotStatus(name="guard", status=BotStatus.ACTIVE)
                await site.admin.do(SET_BOT_STATUS, wake, BotSettings)
                second = await guard.wait_processes(2)
                await guard.wait_begun(missed)
                await wait_position(site, missed)
                os.kill(second, signal.SIGKILL)
                third = await guard.wait_processes(3)
                supervisor.send_signal(signal.SIGTERM)
                assert await trio.to_thread.run_sync(supervisor.wait, ENDS_S) == exits.PASSED
                await wait_gone(third)
    assert guard.begun.count(missed) == 1
