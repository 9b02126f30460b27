"""What a peer's end of the link wants done, as data, and where it stands (step 11)."""

from __future__ import annotations

import msgspec

from doai.changes.outbox import OutboxOp
from doai.key_enum import KeyEnum
from doai.messages.link import Welcome


class OutgoingState(KeyEnum):
    """Where the link stands."""

    CLOSED = "closed"
    """Waits for the time of the next connection."""
    OPENING = "opening"
    """The socket looks for the broker, again and again by itself."""
    GREETING = "greeting"
    COMPARING = "comparing"
    """WELCOME came; whether the broker has the facts of this outbox is looked up in the file."""
    LIVE = "live"
    FENCED = "fenced"
    """The broker will not hear this process again."""


class OpenSocket(msgspec.Struct, frozen=True):
    """Close the socket of an earlier epoch, open a new one, and call `opened(epoch)` when it is connected."""

    epoch: int


class SendFrame(msgspec.Struct, frozen=True):
    """Send on the socket of this epoch; if that is gone, drop it."""

    epoch: int
    header: bytes
    body: bytes


class ReadFacts(msgspec.Struct, frozen=True):
    """Read facts after this seq from the outbox file, then call `facts_read(epoch, facts)`."""

    epoch: int
    after_seq: int


class Established(msgspec.Struct, frozen=True):
    """WELCOME came: the link is live; say what is held."""

    welcome: Welcome


class Renewing(msgspec.Struct, frozen=True):
    """The outbox begins a new incarnation: load the file when the ops are on disk, and call `renewed`."""

    reason: str
    cloned: bool
    """Another process told other facts from a copy of this outbox."""


class Stop(msgspec.Struct, frozen=True):
    """Fenced, or nothing in common with the broker: the process exits with this sentence."""

    reason: str
    refused: bool = True
    """By the broker; else this side refuses it."""


Effect = OpenSocket | SendFrame | ReadFacts | Established | Renewing | Stop


class Actions(msgspec.Struct, frozen=True):
    """What follows from one event: first the ops, durably, then the effects, in order."""

    ops: list[OutboxOp] = []
    effects: list[Effect] = []
