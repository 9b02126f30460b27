"""Bodies of the frames that carry the link itself (step 11): HELLO, WELCOME, heartbeats, records, farewells."""

from __future__ import annotations

import msgspec

from doai.envelope import Message
from doai.key_enum import KeyEnum
from doai.wire_versions import GREETING


class Role(KeyEnum):
    """What a peer is; decides what it may say."""

    NODE = "node"
    BOT = "bot"
    ADMIN = "admin"


class HostSample(Message, frozen=True, kw_only=True):
    """How the peer's host and process are; a sample, so the newest wins and none is stored for ever."""

    host: str
    pid: int
    version: str
    started_at_ms: int
    slots: int = 0
    running: int = 0
    passed: int = 0
    failed: int = 0
    cpu_percent: float = 0.0
    """Share of all cores of the host in use, 0-100."""
    memory_percent: float = 0.0
    """Share of the host's memory in use, 0-100."""
    rss_bytes: int = 0
    """Resident memory of this process."""
    utc_ms: int | None = None
    """What the clock of the host says, ms since 1970; None = it is not told."""
    outbox_facts: int = 0
    """Facts that the broker has not confirmed."""
    disk_low: bool = False
    """Its disk has only room left for what has begun."""
    unknown_frames: int = 0
    """Frames of the broker of kinds that this process does not know, and ignored."""
    wire_lowest: int = GREETING
    wire_highest: int = GREETING
    """The process speaks these wire versions and those between."""


class Hello(Message, frozen=True, kw_only=True):
    """First words of every connection. Of the stream fields a bot or an admin sends the defaults."""

    name: str
    instance: str
    role: Role
    sample: HostSample
    incarnation: str = ""
    """One life of the outbox file: random, kept in the file; empty = no outbox."""
    epoch: int = 0
    """Counts connections of this incarnation; persisted before HELLO is sent."""
    highest_seq: int = 0
    trimmed_seq: int = 0
    """Highest sequence number that an ack allowed the sender to drop."""
    store_id: str = ""
    """The broker store this outbox last spoke to; empty = none yet."""
    capabilities: list[str] = []
    """Names of what the peer can do; nodes list their steps as ``step:NAME``, drivers as ``driver:NAME``;
    an admin that wants log lines says ``log-lines``."""
    wire_lowest: int = GREETING
    wire_highest: int = GREETING
    """The peer speaks these wire versions and those between."""


class Welcome(Message, frozen=True, kw_only=True):
    """The broker's answer to HELLO. Acks, credit and dispatches of an earlier connection are void."""

    store_id: str
    last_seq: int
    """Highest sequence number committed for this (name, incarnation)."""
    capacity: int
    """Tasks the scheduler will give this peer at most."""
    heartbeat_s: float
    handle: int
    """The peer's channel for FORWARD frames."""
    new_incarnation: bool = False
    """The outbox must begin a new incarnation (a rollback was seen on either side), then say HELLO again."""
    digests: bytes = b""
    """8 bytes (BLAKE2b of the envelope) of each fact after the HELLO's `trimmed_seq` that the broker has, up to its
    `highest_seq`: where one differs, another process told other facts from a copy of this outbox. The oldest may be
    missing."""
    broker_life: str = ""
    """One life of the broker's process: a node tells a new one its devices again, for what was only in memory."""
    wire_version: int = GREETING
    """What both speak from now on, in the header of every frame that is not of the greeting."""
    doai_version: str = ""
    """Release of the broker."""
    takes_log_lines: bool = False
    """LOG_LINES may be sent."""


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One fact of the stream: its place and the envelope as encoded bytes, hashed as they are."""

    seq: int
    envelope: msgspec.Raw


class Records(msgspec.Struct, frozen=True, array_like=True):
    """Body of RECORDS: facts with contiguous sequence numbers."""

    records: list[Record]


class DeviceProof(msgspec.Struct, frozen=True, array_like=True):
    """Ages of a device's last proofs at the moment of the heartbeat, in seconds; -1 = never."""

    serial: str
    adb_age_s: float
    answer_age_s: float


class Heartbeat(Message, frozen=True, kw_only=True):
    """The peer's core lives; extends the leases of the tokens it lists."""

    sample: HostSample
    tokens: list[tuple[int, int]] = []
    """Tokens (generation, n) the node holds."""
    as_of_seq: int = 0
    """Facts up to here are included in `tokens`: absence is judged only once they are applied."""
    devices: list[DeviceProof] = []
    intake_closed: str = ""
    """Why the peer starts no new task now, one sentence; empty = it does."""
    said_s: float = 0.0
    """The peer's own clock; BEAT repeats it, so that the peer knows which of its words was heard."""


class Beat(Message, frozen=True, kw_only=True):
    """The broker's answer to a heartbeat: its core lives, and it counts on what that heartbeat listed."""

    said_s: float = 0.0
    """Of the heartbeat; 0 = it does not count on all of that, and will say on what."""


class Bye(Message, frozen=True, kw_only=True):
    """The peer leaves on purpose; it is offline at once."""

    reason: str


class Fenced(Message, frozen=True, kw_only=True):
    """The broker will not hear this connection again; the process exits with the sentence."""

    reason: str
