"""A bot that writes down what it handles: it is copied beside its journal, and killed in the middle of handlers.

A line is one write: ``b POSITION MS`` when a handler begins, ``e POSITION MS`` when it has done its work.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import trio

from doai.bots import Bot, Context

NAME = "witness"
JOURNAL = "journal"
TOPIC = "task.completed"
WORK_S = 0.05

bot = Bot(NAME, title="Writes down what it handles")


def note(what: str, position: int) -> None:
    line = f"{what} {position} {time.time_ns() // 1_000_000}\n"
    descriptor = os.open(Path(__file__).with_name(JOURNAL), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


@bot.on(TOPIC, name="journal", from_beginning=True)
async def handle(event: Any, ctx: Context) -> None:
    note("b", ctx.position)
    await trio.sleep(WORK_S)
    note("e", ctx.position)
