"""A peer's end of the agreement on a wire version: what HELLO offers, what WELCOME chose (step 11)."""

from __future__ import annotations

from doai.codec import Kind, pack_header
from doai.wire_versions import GREETING, WireVersions


class Agreement:
    """Which wire version this peer and the broker speak."""

    def __init__(self, name: str, offered: WireVersions) -> None:
        self._name = name
        self.offered = offered
        self.version = GREETING
        """What the broker chose, from WELCOME on."""

    def take(self, version: int) -> str:
        """WELCOME chose this version; returns why that can not be, one sentence; empty when it can."""
        if version not in self.offered:
            return (
                f"the broker chose wire version {version}, {self._name} speaks {self.offered}: "
                "upgrade the broker first, then start this again"
            )
        self.version = version
        return ""

    def header(self, kind: Kind) -> bytes:
        """Return the header of a frame of the session."""
        return pack_header(kind, version=self.version)
