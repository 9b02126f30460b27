"""What can be configured of the xiaowei driver, each bound with its reason (step 9)."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from doai.drivers.xiaowei.vocabulary import DEFAULT_URL

Seconds = Annotated[float, Meta(gt=0.0, le=3600.0)]

MESSAGE_BYTES_MAX: Final = 96 * 1024 * 1024
"""Of one answer: 64 MiB of output, the bound of the adb driver, are 86 MiB as base64 with line breaks."""
CONNECT_S: Final = 5.0
"""For the handshake with a program of this host."""
CLOSE_S: Final = 1.0
"""For the closing handshake; after it the socket is closed without one."""
LATE_S: Final = 60.0
"""How long a late answer is waited for on a connection that is used for nothing else any more."""
RETIRED_MAX: Final = 16
"""Such connections; with more, the oldest is closed."""
PROBE_LIMIT: Final = 2
"""Probes in flight: silent phones hold one for its whole timeout, and the steps' commands come first."""
PROVE_EVERY_S: Final = 10.0
"""How often it is told that the program lists a phone as usable."""
MISSING_LISTS: Final = 2
"""Lists in a row without a phone before it counts as gone: one list may be another's answer."""
HANGS_AFTER: Final = 3
"""Lists in a row that were not answered before the program counts as hung."""


class XiaoweiConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the driver is told: ``xiaowei.NAME=VALUE`` in a node's ``driver_settings``."""

    url: str = DEFAULT_URL
    """Where the vendor's program listens."""
    folder: str = ""
    """Folder of this host in which files lie on their way to a phone; the program reads them from there. Empty = a
    temporary one."""
    connections: Annotated[int, Meta(ge=1, le=32)] = 4
    """Commands in flight together, one a connection; one more connection asks for the list."""
    list_every_s: Seconds = 2.0
    """How often the list of phones is asked for."""
    list_timeout_s: Seconds = 10.0
    """How long an answer to that may take."""
    probe_every_s: Seconds = 20.0
    """A phone that answered nothing for this long is asked for a sign of life."""
    probe_timeout_s: Seconds = 5.0
    """How long it has for that."""
    probe_misses: Annotated[int, Meta(ge=1, le=100)] = 3
    """Signs of life missed in a row before the phone counts as unresponsive and its calls end."""
    settle_s: Seconds = 10.0
    """How long a file may take to be whole on the phone after the program said that it was sent."""
