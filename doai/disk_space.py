"""What is free on a disk, as shells tell it to their cores (steps 2, 7)."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

_log: Final = logging.getLogger(__name__)


def free_bytes(folder: Path) -> int | None:
    """Return what this user may still write on the disk of a folder; None when the folder can not be looked at."""
    try:
        found = os.statvfs(folder)
    except OSError as error:
        _log.error("the disk of %s can not be looked at: %s", folder, error.strerror)
        return None
    return found.f_bavail * found.f_frsize
