"""A bot as a process at a real broker: killed in the middle of handlers, it loses nothing and repeats nothing."""

from __future__ import annotations

import json
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
from doai.wire.keys import load_or_make_keypair, public_key_file
from tests.integration.installed import environment
from tests.integration.test_bots import Site, wait_position

ENDS_S = 60.0
IN_ALL_S = 240.0
GUARD = """
import pathlib

import trio

from doai.bots import Bot

bot = Bot("guard")
here = pathlib.Path(__file__).parent


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

    @contextmanager
    def process(self, site: Site) -> Iterator[subprocess.Popen[bytes]]:
        settings = {
            "endpoint": site.endpoint,
            "broker_public_key": str(public_key_file(site.folder / "keys/broker.key")),
            "bot_dir": str(self.folder / "bot"),
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        (self.folder / "bot.toml").write_text("\n".join(lines) + "\n")
        command = [sys.executable, str(self.folder / "guard.py"), "--config", str(self.folder / "bot.toml")]
        with (self.folder / "bot.err").open("ab") as errors:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stderr=errors, cwd=self.folder, env=environment(self.folder)
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
