"""One process a file: a lock beside a database that names its holder; the kernel frees it (steps 3, 10)."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from doai import limits
from doai.errors import STORE_LOCKED, StoreUnavailable


class FileLock:
    """Holds ``PATH.lock`` (flock, exclusive) until `release`.

    A file of its own: closing any descriptor of the database itself would drop SQLite's locks on it.
    """

    def __init__(self, path: Path, what: str, *, wait_s: float = limits.STORE_LOCK_WAIT_S) -> None:
        """Take the lock; raises StoreUnavailable, naming the holder's pid, when another keeps it for ``wait_s``."""
        lock_path = path.with_name(path.name + ".lock")
        try:
            self._fd: int | None = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(
                f"{lock_path} can not be opened: {error.strerror}; choose a folder that exists and can be written",
                code="store_unreadable",
            ) from error
        if not self._taken_within(self._fd, wait_s):
            holder = os.pread(self._fd, 64, 0).decode("ascii", "replace").strip() or "unknown"
            self.release()
            raise StoreUnavailable(
                f"{what} {path} is in use by process {holder}: stop that one first, or choose another data folder",
                code=STORE_LOCKED,
            )
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go; may be called twice. The file stays, empty of meaning: removing it would race with a taker."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def _taken_within(self, fd: int, wait_s: float) -> bool:
        # flock itself has no time limit. Only a start waits here, before there is an event loop to hold up.
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.02)
            else:
                return True
