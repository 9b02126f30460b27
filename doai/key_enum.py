"""Enums whose members are looked up in tables for every task: found as fast as a number is (all steps).

`Enum` hashes a member by its name and finds its value, both in Python: 0.3 us each time, 50 times a task. There is
one object a member, so its identity is as good; and nothing may depend on the order of a set anyway.
"""

from __future__ import annotations

import enum
from operator import attrgetter
from typing import TYPE_CHECKING


class KeyEnum(enum.Enum):
    """As `Enum`, with members that are hashed by identity."""

    __hash__ = object.__hash__

    if not TYPE_CHECKING:  # the same value, found without a Python frame
        value = property(attrgetter("_value_"))
