"""Files that are whole or absent after a crash, on disk when the call returns (step 10).

Blocking calls, meant for a thread. The order is the usual one: write under a temporary name, sync the file,
rename, sync the folder. A process that dies in between leaves at most a file that ends in `UNFINISHED`.
"""

from __future__ import annotations

import errno
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Final

UNFINISHED: Final = ".unfinished"
"""Ending of a file that was not whole yet; nothing reads it, and a start removes it."""

_NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})
"""What file systems without hard links (FAT, some network mounts) answer to link()."""


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, each synced into the one above it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def write_file(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file so that it is whole or absent; replaces one of that name. Raises OSError.

    A ``private`` one may be read by its owner only, from its first byte on.
    """
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        with open(unfinished, "wb", opener=partial(os.open, mode=0o600 if private else 0o666)) as file:
            if private:
                os.fchmod(file.fileno(), 0o600)  # of a leftover that had another
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)  # a full disk needs the space back
        raise
    sync_folder(path.parent)


def link_file(source: Path, path: Path) -> None:
    """Give a file a second name, durably, without copying it, or copy it where the file system has no hard links.

    A name that is there already is replaced: it is left over from a try that was not finished.
    """
    path.unlink(missing_ok=True)
    _sync_file(source)
    try:
        path.hardlink_to(source)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        write_file(path, source.read_bytes())
        return
    sync_folder(path.parent)


def remove_file(path: Path) -> None:
    """Remove a file for good; one that is gone already is fine."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def remove_folder(folder: Path) -> None:
    """Remove a folder with all it holds; one that is gone already is fine."""
    if folder.is_dir():
        shutil.rmtree(folder)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync_file(path: Path) -> None:
    _sync(path, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
