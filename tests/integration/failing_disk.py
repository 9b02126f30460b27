"""Starts a real program over a disk whose next sync fails once, when a file says so.

`python -m tests.integration.failing_disk FLAG doai.cli.broker --data-dir ...`: the sync fails with EIO and takes
the file FLAG away; what it was to make durable may be on the disk, as with a real one. Then the disk works again.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import apsw

from doai.store import process_writer

BASE = "unix"
WRITER = "doai.store.writer_process"


class FailingDisk(apsw.VFS):
    """The default VFS of this process."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag
        super().__init__("failing", BASE, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return FailingFile(name, flags, self.flag)


class FailingFile(apsw.VFSFile):
    """One file of it."""

    def __init__(self, name: Any, flags: list[int], flag: Path) -> None:
        self._flag = flag
        super().__init__(BASE, name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._flag.exists():
            self._flag.unlink()
            raise apsw.IOError("the disk failed at a sync")
        super().xSync(flags)


def main() -> int:
    """Run the program with what follows."""
    flag, module, *arguments = sys.argv[1:]
    disk = FailingDisk(Path(flag))
    # Its store may be written by a process of its own: that one's disk is the same.
    process_writer.WRITER_COMMAND = (  # type: ignore[misc]
        *(sys.executable, "-m", "tests.integration.failing_disk", flag, WRITER),
    )
    called = [int(arguments[0])] if module == WRITER else [arguments]
    code: int = importlib.import_module(module).main(*called)
    disk.unregister()
    return code


if __name__ == "__main__":
    sys.exit(main())
