"""What a running command asks of whoever runs it, as data (way of a task: 9)."""

from collections.abc import Generator

import msgspec

STDOUT, STDERR = 1, 2


class Output(msgspec.Struct, frozen=True):
    """Bytes for stdout (1) or stderr (2), in the order they were written."""

    fd: int
    data: bytes


class Wait(msgspec.Struct, frozen=True):
    """The command takes this long before it goes on."""

    duration_s: float


class Read(msgspec.Struct, frozen=True):
    """The command wants more of its standard input; the answer is b"" at the end of it."""


class Reboot(msgspec.Struct, frozen=True):
    """The phone restarts; the command is never answered."""

    reason: str


Effect = Output | Wait | Read | Reboot
Running = Generator[Effect, bytes, int]
"""A command under way: yields effects, is sent bytes (b"" unless the effect was Read), returns its exit code."""
