"""Tells whoever started a program that it serves, and that it is not stuck: sd_notify(3) (all programs).

For systemd and `doai up`; both only listen, so a program does the same without them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

PATIENCE_S: Final = 1.0
"""For a supervisor whose queue (ten messages on Linux) is full; not for signs of life, another one follows."""


def notify(environ: Mapping[str, str] = os.environ, **variables: str) -> bool:
    """Send ``NAME=value`` lines to the socket that NOTIFY_SOCKET names; False when nobody asked.

    ``READY="1"`` means that requests are served, ``STATUS`` is a line for people, names with ``X_`` are for
    programs (``X_DOAI_ENDPOINT``, ``X_DOAI_URL``). A supervisor that went away, or does not read, is no error.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    text = "\n".join(f"{name}={value}" for name, value in variables.items())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        # A supervisor that reads slowly must not stop the loop: signs of life that it has not read yet are enough.
        sender.settimeout(0 if variables.keys() == {"WATCHDOG"} else PATIENCE_S)
        try:
            sender.sendto(text.encode(), address)
        except (ConnectionRefusedError, FileNotFoundError, BlockingIOError, TimeoutError):
            return False
    return True


def watchdog_every_s(environ: Mapping[str, str] = os.environ) -> float | None:
    """Return how often a sign of life is wanted, a third of what the supervisor waits; None when nobody waits.

    WATCHDOG_USEC and WATCHDOG_PID as in sd_watchdog_enabled(3): a child that inherits them is not meant.
    """
    wait_us, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not wait_us.isdecimal() or int(wait_us) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(wait_us) / 3_000_000


async def keep_watchdog(
    prove_turn: Callable[[], Awaitable[None]],
    sleep: Callable[[float], Awaitable[None]],
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Send a sign of life each time that ``prove_turn`` has returned; ends at once when none is wanted.

    ``prove_turn`` returns only when the program's own work goes on, so that the signs stop when that stands
    still. ``sleep`` is that of the event loop in which this runs.
    """
    every_s = watchdog_every_s(environ)
    if every_s is None:
        return
    while True:
        await prove_turn()
        notify(environ, WATCHDOG="1")
        await sleep(every_s)
