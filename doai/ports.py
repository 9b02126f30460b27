"""A TCP port of loopback for a program that is told its port before it starts, such as an adb server (step 8)."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Final

RANGE_FILE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""The ports that Linux gives to whoever asks for any, and to connections that go out."""
_LOWEST: Final = 10_000
_TRIES: Final = 100


def free_port() -> int:
    """Return a port that nobody uses now, and that the kernel gives to nobody before its program has started."""
    try:
        end = int(RANGE_FILE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        end = _LOWEST
    ports = range(_LOWEST, end)
    for port in random.sample(ports, min(_TRIES, len(ports))):
        if bound := _bind(port):
            return bound
    # All ports are the kernel's to give, as it was set.
    return _bind(0)


def _bind(port: int) -> int:
    """Return the port that was free; 0 when it was not."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            if port == 0:
                raise
            return 0
        found: int = probe.getsockname()[1]
    return found
