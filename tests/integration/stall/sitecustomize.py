"""Python loads this first where PYTHONPATH names its folder: then the disk hangs while the file DISK_HANGS exists.

So a program is started by its own command and is otherwise as it is. Syncs through apsw hang (broker, node), and so
do the transactions of the admin's reader.
"""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import apsw

from doai.store.read_connections import ReadConnections

FLAG = Path(os.environ["DISK_HANGS"])
BASE = "unix"
LOOK_S = 0.05


class HangingDisk(apsw.VFS):
    """The default VFS of this process."""

    def __init__(self) -> None:
        super().__init__("hanging", BASE, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return HangingFile(name, flags)


class HangingFile(apsw.VFSFile):
    """One file of it."""

    def __init__(self, name: Any, flags: list[int]) -> None:
        super().__init__(BASE, name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802
        while FLAG.exists():
            threading.Event().wait(LOOK_S)
        super().xSync(flags)


answer = ReadConnections._answer


async def hanging_answer(self: ReadConnections, questions: Any) -> Any:
    while FLAG.exists():  # noqa: ASYNC110, ASYNC240 - another process makes it
        await asyncio.sleep(LOOK_S)
    return await answer(self, questions)


ReadConnections._answer = hanging_answer  # type: ignore[method-assign]
DISK = HangingDisk()
