"""A disk that forgets: what was written and not synced is lost, torn or kept at random when the power goes.

Files are inodes with a durable content and the changes since their last sync; the folder has durable names and
the changes since it was last synced. Knows no SQLite; `vfs` puts it under one.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import msgspec

SECTORS = (512, 4096)


class PowerCut(Exception):
    """The power is gone: nothing of this life reaches the disk any more."""


class Write(msgspec.Struct, frozen=True):
    """Bytes written and not synced."""

    offset: int
    data: bytes


class Truncate(msgspec.Struct, frozen=True):
    """A new, smaller size that is not synced."""

    size: int


class Inode:
    """One file: what is durable, and what happened since."""

    def __init__(self, content: bytes = b"") -> None:
        self.durable = bytearray(content)
        self.pending: list[Write | Truncate] = []

    def sync(self) -> None:
        for change in self.pending:
            apply(self.durable, change)
        self.pending.clear()


class Disk:
    """A folder of files under test; `cut_in` says after how many operations the power goes."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.is_cut = False
        self.operations = 0
        self.faults: Counter[str] = Counter()
        self._left: int | None = None
        self._durable = {name: Inode(content) for name, content in (files or {}).items()}
        self._names = dict(self._durable)
        self._renamed: list[tuple[str, Inode | None]] = []

    def cut_in(self, operations: int) -> None:
        """Let the power go at this operation from now on (1 = the next one)."""
        self._left = operations

    def cut(self) -> None:
        """Let the power go now."""
        self.is_cut = True

    def open(self, name: str) -> tuple[Inode, bool]:
        """Return the file and whether it was created for this."""
        inode = self._names.get(name)
        if inode is not None:
            self._check()
            return inode, False
        self._count()
        inode = self._names[name] = Inode()
        self._renamed.append((name, inode))
        return inode, True

    def delete(self, name: str) -> None:
        self._count()
        if self._names.pop(name, None) is not None:
            self._renamed.append((name, None))

    def sync_folder(self) -> None:
        for name, inode in self._renamed:
            self._set_durable(name, inode)
        self._renamed.clear()

    def change(self, inode: Inode, change: Write | Truncate) -> None:
        """Note a change; the one during which the power goes may reach the disk too."""
        self._check()
        inode.pending.append(change)
        self._count()

    def sync(self, inode: Inode) -> None:
        """Everything of this file is durable, unless the power goes meanwhile."""
        self._count()
        inode.sync()

    def after_cut(self, rng: random.Random) -> dict[str, bytes]:
        """Return the files as the next start finds them."""
        lost: set[str] = set()
        for name, inode in self._renamed:
            # A file system may reorder names, but not two changes of one name.
            if name in lost or rng.random() < 0.5:
                lost.add(name)
                self.faults["names lost"] += 1
            else:
                self._set_durable(name, inode)
        return {name: self._torn(inode, rng) for name, inode in self._durable.items()}

    def _torn(self, inode: Inode, rng: random.Random) -> bytes:
        content = bytearray(inode.durable)
        mood = rng.choice(("none", "all", "first ones", "any", "any", "sectors", "sectors"))
        kept_share, sector = rng.choice((0.1, 0.5, 0.9)), rng.choice(SECTORS)
        first_ones = rng.randint(0, len(inode.pending))
        lost_before = False
        for index, change in enumerate(inode.pending):
            if mood == "sectors" and isinstance(change, Write):
                self._tear(content, change, sector, kept_share, rng)
                continue
            kept = {"none": False, "all": True, "first ones": index < first_ones}.get(
                mood, rng.random() < kept_share
            )
            if kept:
                apply(content, change)
                self.faults["reordered"] += lost_before
            else:
                lost_before = True
                self.faults["writes lost" if isinstance(change, Write) else "sizes lost"] += 1
        return bytes(content)

    def _tear(self, content: bytearray, write: Write, sector: int, kept_share: float, rng: random.Random) -> None:
        end = write.offset + len(write.data)
        start = write.offset
        while start < end:
            stop = min(end, (start // sector + 1) * sector)
            if rng.random() < kept_share:
                apply(content, Write(start, write.data[start - write.offset : stop - write.offset]))
            elif start >= len(content) and rng.random() < 0.3:
                # The size was written ahead of the data: what was on that place of the disk before shows.
                apply(content, Write(start, rng.randbytes(stop - start)))
                self.faults["garbage sectors"] += 1
            else:
                self.faults["sectors torn"] += 1
            start = stop

    def _set_durable(self, name: str, inode: Inode | None) -> None:
        if inode is None:
            self._durable.pop(name, None)
        else:
            self._durable[name] = inode

    def _check(self) -> None:
        if self.is_cut:
            raise PowerCut

    def _count(self) -> None:
        self._check()
        self.operations += 1
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self.is_cut = True
                raise PowerCut


def apply(content: bytearray, change: Write | Truncate) -> None:
    """Do a change to a content; a write beyond the end fills the hole with zeros."""
    if isinstance(change, Truncate):
        del content[change.size :]
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Put the files into a folder."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
