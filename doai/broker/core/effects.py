"""What the shell is to do after the commit, as data (steps 4, 5, 12)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from doai.changes.log import LogRequest
from doai.changes.ops import Op


class SendFrame(msgspec.Struct, frozen=True):
    """Send on this connection; if it is gone, drop it: what matters is sent again after the next WELCOME."""

    link: int
    header: bytes
    body: bytes


class OpenChannel(msgspec.Struct, frozen=True):
    """Frames of Kind.FORWARD for this handle go to this connection."""

    link: int
    handle: int


class ShutLink(msgspec.Struct, frozen=True):
    """Cut the connection."""

    link: int
    reason: str
    after_s: float = 0.0
    """So that a last frame can still arrive."""


class KeysChanged(msgspec.Struct, frozen=True):
    """Keys were added or revoked; connections of a revoked name are cut."""

    keys: Mapping[str, str]
    """All that may connect now: public key -> name."""
    revoked: str | None = None


class LogLine(msgspec.Struct, frozen=True):
    """Something for the log; ``ids`` are the fields of doai.log.IDS that apply."""

    level: str
    message: str
    ids: Mapping[str, str] = {}


class LoadAgain(msgspec.Struct, frozen=True):
    """This core decides nothing any more: begin a new one from what is on disk now."""

    reason: str


class ReadLog(msgspec.Struct, frozen=True):
    """Read a part of the event log from the store, off the loop, and give it to the core's `log_read`."""

    feed: tuple[str, str]
    """Bot and subscription."""
    ticket: int
    request: LogRequest


class GoOn(msgspec.Struct, frozen=True):
    """Tell the core (`BrokerCore.landed`) that a slice of its own long work is on disk: it does the next one then.

    Work that only looks at the clock decides faster than a busy disk commits, and whatever comes later waits behind
    all of it.
    """


Effect = SendFrame | OpenChannel | ShutLink | KeysChanged | LogLine | LoadAgain | ReadLog | GoOn


class Changes(msgspec.Struct, frozen=True):
    """What one event of the core comes to: ``ops`` in ONE transaction, then ``effects``, in their order."""

    ops: list[Op]
    effects: list[Effect]
