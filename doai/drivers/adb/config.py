"""What can be configured of the adb driver, each bound with its reason (step 9)."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(gt=0.0, le=3600.0)]

SOCKETS_MAX: Final = 48
"""Sockets open to the adb server: 32-64 gives the most commands a second, 500 gave a p99 above one second."""
CONNECT_LIMIT: Final = 8
"""`host:connect` in flight; each can hold a thread of the server for 10 s."""
PROBE_LIMIT: Final = 8
"""Probes in flight: silent phones hold one for its whole timeout, and slots come first."""


class AdbConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``[drivers.adb]`` table of a node's configuration."""

    server_port: Port = 5037
    """TCP port of the adb server on this host; 5037 is where a person's `adb devices` looks too."""
    start_server: bool = True
    """Run and supervise the adb server; false = use the one that somebody else runs there."""
    usb: bool = True
    """Whether the server that is started looks for USB devices; without it, it answers three seconds sooner."""
    adb_path: str | None = None
    """The adb program; None = the one in the adbutils package, else the one on the PATH."""
    home: str | None = None
    """Folder in which the server keeps its key (.android/adbkey); None = the user's home."""
    connect: list[str] = []
    """Addresses (``host:port``) of network devices, connected again whenever they are away."""
    probe_every_s: Seconds = 10.0
    """A device that answered nothing for this long is asked for a sign of life."""
    probe_timeout_s: Seconds = 5.0
    """How long it has for that."""
    probe_misses: Annotated[int, Meta(ge=1, le=100)] = 3
    """Signs of life missed in a row before the device counts as unresponsive and its calls end."""
    reconnect_after_offline_s: Seconds = 20.0
    """A network device that adb lists as offline for longer is disconnected and connected anew: the server itself
    reconnects within a second where the phone is there, and calls a phone that never spoke "already connected"."""
