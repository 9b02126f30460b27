"""Tells whoever started a program that it serves now: sd_notify(3), for systemd and `doai up` (all programs)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


def notify(environ: Mapping[str, str] = os.environ, **variables: str) -> bool:
    """Send ``NAME=value`` lines to the socket that NOTIFY_SOCKET names; False when nobody asked.

    ``READY="1"`` means that requests are served, ``STATUS`` is a line for people, names with ``X_`` are for
    programs (``X_DOAI_ENDPOINT``, ``X_DOAI_URL``). A supervisor that went away is no error.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    text = "\n".join(f"{name}={value}" for name, value in variables.items())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(text.encode(), address)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
    return True
