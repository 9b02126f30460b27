"""Bounds of one broker that may be configured; the rest is in doai.limits (steps 2-5, 12)."""

from __future__ import annotations

from typing import Final

import msgspec

from doai import limits
from doai.wire_versions import SPOKEN, WireVersions

QUEUE_AHEAD: Final = 100
"""Tasks a node holds beyond its slots: one for each device of a full shelf, so that the node's round-robin finds
work for whichever device is next, and a round trip to the broker costs no slot."""
TOKENS_RESERVED: Final = 10_000
"""Tokens reserved with one write; a crash wastes at most as many, of 2**63."""
REPLY_TASK_IDS_MAX: Final = 4096
"""Ids named in the answer to CreateRun: 28 bytes each, so that the answer fits a frame."""
EVENT_BYTES_KEPT: Final = 1024
"""Bytes kept of what could not be decoded."""
QUEUE: Final = "default"


class RateLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A token bucket: so many a second, and so many at once."""

    rate_per_s: float
    burst: float


class CoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a broker may be told; the defaults are those of doai.limits."""

    source: str = "broker/main"
    """Address under which the broker's own events are written."""
    heartbeat_s: float = limits.HEARTBEAT_S
    lease_s: float = limits.LEASE_S
    queue_ahead: int = QUEUE_AHEAD
    held_per_device_max: int = limits.TASKS_PER_DEVICE_HELD
    tokens_reserved: int = TOKENS_RESERVED
    quarantine_after: int = limits.QUARANTINE_IN_A_ROW
    """Failures in a row after which a device or node is given no tasks for a while; 0 = only a person does it."""
    quarantine_first_s: float = limits.QUARANTINE_FIRST_S
    quarantine_max_s: float = limits.QUARANTINE_MAX_S
    disk_reserve_bytes: int = limits.DISK_RESERVE_MB * 1024 * 1024
    """With less free no run and no workflow is taken in."""
    cursor_lag_max: int = limits.CURSOR_LAG_MAX
    queues: dict[str, int] = msgspec.field(default_factory=lambda: {QUEUE: 0})
    """Queues by name and their priority; larger goes first."""
    frames: RateLimit = RateLimit(rate_per_s=5_000.0, burst=10_000.0)
    """Frames of one key. A node sends some hundreds a second at full load, an admin a command each."""
    hellos: RateLimit = RateLimit(rate_per_s=2.0, burst=20.0)
    """HELLOs of one key: reconnects are seconds apart, several processes of one name may start at once."""
    wire: WireVersions = SPOKEN
    notices: RateLimit = RateLimit(rate_per_s=0.2, burst=5.0)
    """system.error events about one key's bytes: a broken peer must not fill the event log."""
