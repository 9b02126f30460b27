"""Wire versions: which a process speaks, on which two agree, what to upgrade when they share none (step 11).

A peer tells its range in HELLO, WELCOME tells the one chosen: the highest of both. What is needed for that is
the same in all versions, for ever: the layout of the header, and the frames of the greeting, which always say
`GREETING`.
"""

from __future__ import annotations

from typing import Final

import msgspec

GREETING: Final = 1
"""What the header of HELLO, WELCOME, HELLO_REQUIRED and FENCED says, whichever version is agreed on after."""
REFUSED: Final = "refused: "
"""How the reason of a node begins that is offline because it shares no version with the broker."""
_TOLD_COUNTS: Final = frozenset(10**power for power in range(12))


class WireVersions(msgspec.Struct, frozen=True):
    """The versions that a process speaks, both ends included."""

    lowest: int
    highest: int

    def __contains__(self, version: int) -> bool:
        return self.lowest <= version <= self.highest

    def __str__(self) -> str:
        return f"{self.lowest}" if self.lowest == self.highest else f"{self.lowest} to {self.highest}"

    def agreed(self, other: WireVersions) -> int | None:
        """Return the highest version that both speak, None if there is none."""
        highest = min(self.highest, other.highest)
        return highest if highest >= max(self.lowest, other.lowest) else None


SPOKEN: Final = WireVersions(1, 1)
"""Of this release. A new version comes with the one before it: broker and nodes are not upgraded in one moment."""


def unknown_frame(kind: int, sender: str, count: int) -> str:
    """Return what is to be logged of a frame of a kind that this process does not know; mostly nothing."""
    if count not in _TOLD_COUNTS:
        return ""
    newer = f"{sender} sends frames of kind {kind}, which this doai does not know and ignores"
    return f"{newer} ({count} so far): upgrade doai here"


def refusal(peer: str, theirs: WireVersions, ours: WireVersions, their_doai: str, our_doai: str) -> str:
    """Say that a peer and the broker share no version, and which of them is to be upgraded."""
    older = f"upgrade doai where {peer} runs" if theirs.highest < ours.lowest else "upgrade the broker first"
    return (
        f"{peer} (doai {their_doai}) speaks wire version {theirs}, the broker (doai {our_doai}) {ours}: "
        f"{older}, then start {peer} again"
    )
