"""For whom a device is held: a bot's own runs go on a device that it holds, nobody's on a person's (step 4)."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from doai.broker.core.tables import Device, Task


def is_held(device: Device) -> bool:
    """Return whether it is reserved for somebody."""
    return device.row is not None and device.row.hold is not None


def is_idle(device: Device) -> bool:
    """Return whether it has nothing to do, and may be given what goes to any device."""
    return not device.held and not is_held(device) and device.waiting.first() is None


def holding_bot(bots: Container[str], device: Device) -> str:
    """Return the bot for which it is held; empty when it is held for a person, or for nobody."""
    hold = device.row.hold if device.row is not None else None
    name = hold.by.partition("/")[0] if hold is not None else ""
    return name if name in bots else ""


def made_by(task: Task, bot: str) -> bool:
    """Return whether a process of this bot made the task's run."""
    run = task.run.row
    return run.interface == "bot" and run.actor.partition("/")[0] == bot
