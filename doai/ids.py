"""Identifiers and addresses: how they look, how they are made from given time and randomness (all steps).

Ids are 26 characters of Crockford's base 32 (10 of time, 16 of randomness: the ULID layout), so that they
sort by time, which keeps the store's indexes append-only. Nothing here reads a clock or a random source.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from doai.errors import ProtocolError

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS: Final = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_LOW_40: Final = (1 << 40) - 1
PERSON: Final = "user"
"""People act as ``user/NAME``, peers as ``NAME/INSTANCE``: so that these differ no peer has this name."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_INSTANCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SERIAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,126}")
_ID: Final = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


def make_id(utc_ms: int, random80: int) -> str:
    """Return the id for a time (ms since 1970, UTC) and 80 random bits."""
    p, low = _PAIRS, random80 & _LOW_40
    return (
        f"{_first_18(utc_ms, random80 >> 40)}"
        f"{p[low >> 30]}{p[low >> 20 & 1023]}{p[low >> 10 & 1023]}{p[low & 1023]}"
    )


def _first_18(utc_ms: int, random40: int) -> str:
    """Return the characters of the time and of the first 40 random bits."""
    p, t, high = _PAIRS, utc_ms, random40
    # Each shift is of a small integer: those of 128 bits at once take three times as long.
    return (
        f"{p[t >> 40]}{p[t >> 30 & 1023]}{p[t >> 20 & 1023]}{p[t >> 10 & 1023]}{p[t & 1023]}"
        f"{p[high >> 30]}{p[high >> 20 & 1023]}{p[high >> 10 & 1023]}{p[high & 1023]}"
    )


def is_id(text: str) -> bool:
    """Whether the text has the form of an id."""
    return _ID.fullmatch(text) is not None


class IdSource(Protocol):
    """Where a core takes new ids from: the shell's is random, the simulator's comes from its seed."""

    def new_id(self, utc_ms: int) -> str:
        """Return an id never returned before, sorted by ``utc_ms``."""
        ...

    def new_trace_id(self) -> str:
        """Return a W3C trace id: 32 lowercase hexadecimal digits, not all zero."""
        ...


_COUNTED_BITS: Final = 40


class RandomIds:
    """An `IdSource` over a function that returns the given number of random bits.

    Ids of one millisecond count up from a random one: each goes behind the one before in an index, and costs a
    third of an id made anew.
    """

    def __init__(self, getrandbits: Callable[[int], int]) -> None:
        self._getrandbits = getrandbits
        self._utc_ms = -1
        self._head = ""
        """Time and the first 40 random bits of the newest id."""
        self._prefix = ""
        """Of the newest id, all but its last 10 bits."""
        self._count = 0
        """The other 30 bits of that."""
        self._last = 1024
        """The last 10 bits of the next id; 1024 = the count goes on."""

    def new_id(self, utc_ms: int) -> str:
        last = self._last
        if utc_ms != self._utc_ms or last == 1024:
            last = self._begin(utc_ms)
        self._last = last + 1
        return self._prefix + _PAIRS[last]

    def _begin(self, utc_ms: int) -> int:
        """Make what the next ids have in common; return the last 10 bits of the first of them."""
        count, last = self._count + 1, 0
        if utc_ms != self._utc_ms or count >> _COUNTED_BITS - 10:
            self._utc_ms = utc_ms
            bits = self._getrandbits(80)
            self._head = _first_18(utc_ms, bits >> _COUNTED_BITS)
            count, last = bits >> 10 & (1 << _COUNTED_BITS - 10) - 1, bits & 1023
        self._count = count
        self._prefix = self._head + _PAIRS[count >> 20] + _PAIRS[count >> 10 & 1023] + _PAIRS[count & 1023]
        return last

    def new_trace_id(self) -> str:
        return f"{self._getrandbits(128) or 1:032x}"


class Token(msgspec.Struct, frozen=True, order=True, array_like=True):
    """Fences attempts: larger at every Dispatch, never used again.

    ``generation`` counts the lives of the broker's store (a restore begins a new one), ``n`` counts dispatches.
    """

    generation: int
    n: int

    def __str__(self) -> str:
        return f"{self.generation}.{self.n}"


class Address(msgspec.Struct, frozen=True, array_like=True):
    """``name/instance`` of a peer. The CURVE key proves the name, never the routing id."""

    name: str
    instance: str

    def __str__(self) -> str:
        return f"{self.name}/{self.instance}"


def parse_address(text: str) -> Address:
    """Read ``name/instance``; raises ProtocolError with the rule that was broken."""
    name, slash, instance = text.partition("/")
    if not slash or not is_name(name) or _INSTANCE.fullmatch(instance) is None:
        raise ProtocolError(f"{text[:130]!r} is no address: it must be name/instance", code="bad_address")
    return Address(name, instance)


def is_name(text: str) -> bool:
    """Whether the text may name a peer, workflow, queue or parameter: 1-63 of a-z 0-9 . _ - ."""
    return _NAME.fullmatch(text) is not None


def peer_name_mistake(text: str) -> str:
    """Return why the text can not name a peer, as a sentence; empty when it can."""
    if not is_name(text):
        return f"{text[:80]!r} can not be a name: use 1-63 of a-z 0-9 . _ -"
    if text == PERSON:
        return f"{text!r} can not be a name of a node, bot or admin: people act as {PERSON}/NAME"
    return ""


def is_serial(text: str) -> bool:
    """Whether the text may be a device serial; it becomes a path part, so it has no slash and no leading dot."""
    return _SERIAL.fullmatch(text) is not None
