"""A bot of the SDK that notes when it was called for each event (step 14)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import trio

from doai.bots import Bot

NAME: Final = "meter"
SOURCE: Final = "from bench.bot_meter import meter\nbot = meter({path!r})\n"
"""The bot's file; ``path``: where it writes lines of a position and a time in ms since 1970."""


def meter(path: str) -> Bot:
    """Return the bot."""
    bot = Bot(NAME, title="Notes when it is called")
    lines: list[str] = []

    @bot.on("**")
    async def note(event: Any, ctx: Any) -> None:
        lines.append(f"{ctx.position} {time.time_ns() / 1e6:.3f}\n")

    @bot.every("500ms")
    async def write(ctx: Any) -> None:
        told, lines[:] = "".join(lines), []
        await trio.to_thread.run_sync(_append, Path(path), told)

    return bot


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
