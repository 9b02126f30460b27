"""Log lines on their way to the admin: ephemeral, gathered for half a second, numbered so that a gap is seen."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from doai.envelope import Message

MESSAGE_CHARS_MAX = 4_000
"""A longer message is cut: the process's own log has all of it."""
LINES_MAX = 500
"""In a frame."""
HEARS_LOG = "log-lines"
"""Capability of an admin that wants RELAYED_LINES."""


class LoggedLine(msgspec.Struct, frozen=True, array_like=True):
    """One line of a process's log."""

    at_ms: int
    """By the clock of its host, ms since 1970."""
    level: Annotated[int, Meta(ge=0, le=100)]
    """As in Python's logging: 20 info, 30 warning, 40 error."""
    logger: Annotated[str, Meta(max_length=200)]
    message: Annotated[str, Meta(max_length=MESSAGE_CHARS_MAX)]
    fields: dict[str, Annotated[str, Meta(max_length=500)]] = {}
    """Ids of what it is about (doai.log.IDS) and whatever else was said."""
    exception: Annotated[str, Meta(max_length=MESSAGE_CHARS_MAX)] = ""


class LogLines(Message, frozen=True, kw_only=True):
    """What a peer's process logged."""

    program: Annotated[str, Meta(max_length=40)]
    life: Annotated[str, Meta(max_length=40)]
    """One life of the process: its lines are numbered from 1."""
    first_n: Annotated[int, Meta(ge=1)]
    """Number of the first line here; others follow without a gap."""
    lines: Annotated[list[LoggedLine], Meta(max_length=LINES_MAX)]


class RelayedLines(Message, frozen=True, kw_only=True):
    """What some process logged, passed on to an admin."""

    source: str
    """Address of the peer, proven by its key."""
    lines: msgspec.Raw
    """LogLines as the peer encoded them; the broker has not read them."""
