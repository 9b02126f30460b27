"""Which process had a bot's folder before: what it held when it was killed goes to others at once (step 14)."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Final

FILE: Final = "process"
"""In the bot's folder. Its text is the instance that has the folder, the host, and the file's own inode."""
BYTES_MAX: Final = 1000
_log: Final = logging.getLogger(__name__)


def take_place(folder: Path, instance: str) -> str:
    """Note that the folder is this process's; return the instance that had it before, empty when nobody can know.

    Only who holds the folder's lock may ask: the process before has ended then. A folder that was copied is another
    one: the process of the first may well live.
    """
    path, host = folder / FILE, socket.gethostname()
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        _log.warning(
            "%s can not be written (%s): after a kill the leases of its tasks must end", path, error.strerror
        )
        return ""
    with os.fdopen(descriptor, "r+b") as file:
        words = file.read(BYTES_MAX).decode("utf-8", "replace").split()
        inode = os.fstat(descriptor).st_ino
        file.seek(0)
        file.write(f"{instance} {host} {inode}".encode())
        file.truncate()
    return words[0] if words[1:] == [host, str(inode)] else ""
