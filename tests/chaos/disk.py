"""A small disk of its own for one program's folder, which can be filled to the last byte (steps 3, 10 and 13)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SIZE_MIB: Final = 256
"""More than a campaign of minutes writes; filling it takes a moment."""
_FILLER: Final = "filler"
_CHUNK: Final = bytes(1024 * 1024)


class SmallDisk:
    """A mounted folder."""

    def __init__(self, folder: Path) -> None:
        self._filler = folder / _FILLER

    def fill(self) -> None:
        """Write until there is no room."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (len(_CHUNK), 4096):
                try:
                    while file.write(_CHUNK[:size]):
                        pass
                except OSError:
                    continue  # Full, for writes of this size.

    def free(self) -> None:
        """Give the room back."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk | None]:
    """Mount a small disk on a new folder; None, and it is an ordinary one, where mounting is not allowed."""
    folder.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=700", "chaos", str(folder)]
    mounted = subprocess.run(words, capture_output=True, check=False).returncode == 0
    if not mounted:
        yield None
        return
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
