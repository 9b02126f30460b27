"""A bot for the tests of its pages: it looks after queues, has a configuration, and gives up on every event."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.browser.desk import Desk
from tests.integration.installed import environment

GUARD = """
from typing import Annotated, Any

import msgspec

from doai.bots import Bot, Context, GiveUp


class Config(msgspec.Struct, frozen=True):
    limit_c: Annotated[float, msgspec.Meta(ge=30, le=60, description="A phone hotter than this rests.")] = 45
    only: list[str] = []
    loud: bool = False


bot = Bot("guard", title="Looks after queues", config=Config)


@bot.on("queue.*", name="queues")
async def see(event: Any, ctx: Context) -> None:
    raise GiveUp("nothing is done about queues")


bot.run()
"""


@contextmanager
def guard(desk: Desk, folder: Path) -> Iterator[None]:
    """Run the bot as a process of its own."""
    program, home = folder / "guard.py", folder / "guard"
    program.write_text(GUARD)
    desk.site.doai("bots", "enroll", "guard", "--program", str(program), "--dir", str(home))
    command = [sys.executable, "-m", "doai.cli.bot", "--config", str(home / "bot.toml")]
    with (folder / "guard.err").open("wb") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=errors, cwd=folder, env=environment(folder)
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=90)
