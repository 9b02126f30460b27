"""Which seeds have bots, plug-ins and peers of other versions; most worlds are busy shelves without (step 1)."""

from __future__ import annotations

from typing import Final

BOTS: Final = frozenset({1})
"""Two bots that hear of events and samples."""
SAMPLES: Final = frozenset({1})
BOT_TASKS: Final = frozenset({4})
PLUGINS: Final = frozenset({2, 10})
NEWER: Final = frozenset({14})
IN_ONE_OF: Final = 16
"""Seeds: what is left when a seed is divided by it says what its world has."""


def has(seed: int, what: frozenset[int]) -> bool:
    """Return whether the world of a seed has it."""
    return seed % IN_ONE_OF in what


def has_bots(seed: int) -> bool:
    """Return whether any bot is in it."""
    return has(seed, BOTS | SAMPLES | BOT_TASKS)
