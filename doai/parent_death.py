"""A process that ends when the one that started it does, however that ended: prctl(2) (all steps)."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)


def die_with_parent(parent: int) -> None:
    """Between fork and exec of a child: SIGTERM comes when ``parent`` (a process id) is gone."""
    # Our own handler is inherited until exec, and would swallow the signal: nobody here looks at what it notes.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # the parent died between fork and prctl
        os.kill(os.getpid(), signal.SIGTERM)
