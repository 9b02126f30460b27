"""An SQLite VFS over a `Disk`: files are real, so that reads, locks and shared memory are SQLite's own, while the
disk notes what would survive a power cut.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw

from tests.power.disk import Disk, Inode, PowerCut, Truncate, Write

NEW_FOLDER_ENTRY = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL
"""SQLite syncs the folder with the first sync of a new file of these kinds, and only of these."""


class PowerCutVfs(apsw.VFS):
    """Registered under ``name`` until `unregister`.

    After the cut the process goes on as a ghost until the harness looks: real files change, the disk does not.
    """

    def __init__(self, name: str, disk: Disk) -> None:
        self.vfs_name = name
        self.disk = disk
        super().__init__(name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        if name is None:  # a temporary file: nothing of it matters after a cut
            return apsw.VFSFile("", name, flags)
        filename = name.filename() if isinstance(name, apsw.URIFilename) else name
        try:
            inode, created = self.disk.open(Path(filename).name)
        except PowerCut:
            return apsw.VFSFile("", name, flags)
        return PowerCutFile(name, flags, self.disk, inode, created and bool(flags[0] & NEW_FOLDER_ENTRY))

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        with suppress(PowerCut):
            self.disk.delete(Path(filename).name)
            if syncdir:
                self.disk.sync_folder()


class PowerCutFile(apsw.VFSFile):
    """One open file."""

    def __init__(
        self, name: str | apsw.URIFilename, flags: list[int], disk: Disk, inode: Inode, syncs_folder: bool
    ) -> None:
        self._disk = disk
        self._inode = inode
        self._syncs_folder = syncs_folder
        super().__init__("", name, flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        with suppress(PowerCut):
            self._disk.change(self._inode, Write(offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        with suppress(PowerCut):
            self._disk.change(self._inode, Truncate(newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        # The real file is not synced: what would survive is what the disk noted.
        with suppress(PowerCut):
            self._disk.sync(self._inode)
            if self._syncs_folder:
                self._disk.sync_folder()
                self._syncs_folder = False
