"""The phone's files, in memory (way of a task: 9)."""

import posixpath
import stat

import msgspec

from doai.phone.faults import Fault, FaultBook

FILE_BYTES_MAX = 64 * 1024 * 1024
"""All files of one phone together; more is `No space left on device`. Bounds a shelf's memory."""

FILE_MODE = stat.S_IFREG | 0o660
FOLDER_MODE = stat.S_IFDIR | 0o771
FOLDERS = (
    "/",
    "/data",
    "/data/local",
    "/data/local/tmp",
    "/dev",
    "/proc",
    "/storage",
    "/storage/emulated",
    "/storage/emulated/0",
    "/storage/emulated/0/DCIM",
    "/storage/emulated/0/Download",
    "/storage/emulated/0/Movies",
    "/storage/emulated/0/Pictures",
    "/system",
    "/system/bin",
)
FOLDERS_MODIFIED_AT_S = 1_230_768_000
"""1 January 2009: the date that Android's own images give their files."""
READ_ONLY = ("/system", "/proc")


class FileError(OSError):
    """A file operation failed; the text is what the phone's own programs print."""


class File(msgspec.Struct, frozen=True):
    """One file: its bytes, its mode with the type bits, and when it was last written (Unix seconds)."""

    data: bytes
    mode: int
    modified_at_s: int


class Entry(msgspec.Struct, frozen=True):
    """One name in a folder, or what STAT says of a path; mode 0 = it is not there."""

    name: str
    mode: int
    size_bytes: int
    modified_at_s: int


class FileSystem:
    """A tree of files under absolute paths. `/sdcard` is the emulated storage."""

    def __init__(self, faults: FaultBook) -> None:
        self._faults = faults
        self._files: dict[str, File] = {}
        self._folders: set[str] = set(FOLDERS)

    @property
    def used_bytes(self) -> int:
        """The sum of all files' sizes."""
        return sum(len(file.data) for file in self._files.values())

    def path(self, path: str) -> str:
        """The real path of a path: absolute, without `..`, `/sdcard` resolved."""
        clean = posixpath.normpath("/" + path.lstrip("/"))
        if clean == "/sdcard" or clean.startswith("/sdcard/"):
            clean = "/storage/emulated/0" + clean[len("/sdcard") :]
        return clean

    def read(self, path: str) -> bytes:
        """A file's bytes. Raises FileError."""
        real = self.path(path)
        if real == "/dev/null":
            return b""
        if real in self._folders:
            raise FileError("Is a directory")
        file = self._files.get(real)
        if file is None:
            raise FileError("No such file or directory")
        return file.data

    def write(self, path: str, data: bytes, at_s: int, *, mode: int = FILE_MODE, append: bool = False) -> None:
        """Writes a file; its folder must exist. Raises FileError: no space, no folder, read-only."""
        real = self.path(path)
        if real == "/dev/null":
            return
        if real in self._folders:
            raise FileError("Is a directory")
        if posixpath.dirname(real) not in self._folders:
            raise FileError("No such file or directory")
        if real.startswith(READ_ONLY):
            raise FileError("Read-only file system")
        old = self._files.get(real)
        if append and old is not None:
            data = old.data + data
        grows_bytes = len(data) - (len(old.data) if old else 0)
        if self._faults.take(Fault.STORAGE_FULL, real) or self.used_bytes + grows_bytes > FILE_BYTES_MAX:
            raise FileError("No space left on device")
        self._files[real] = File(data, stat.S_IFREG | stat.S_IMODE(mode), at_s)

    def make_folder(self, path: str, *, parents: bool = False) -> None:
        """Makes a folder, with those above it if `parents`. Raises FileError."""
        real = self.path(path)
        if real in self._files or (real in self._folders and not parents):
            raise FileError("File exists")
        above = posixpath.dirname(real)
        if above not in self._folders:
            if not parents:
                raise FileError("No such file or directory")
            self.make_folder(above, parents=True)
        self._folders.add(real)

    def remove(self, path: str, *, recursive: bool = False) -> None:
        """Removes a file, or a folder with all in it if `recursive`. Raises FileError."""
        real = self.path(path)
        if real in self._folders:
            if not recursive:
                raise FileError("Is a directory")
            if real in FOLDERS:
                raise FileError("Permission denied")
            inside = real + "/"
            self._folders = {name for name in self._folders if name != real and not name.startswith(inside)}
            for name in [name for name in self._files if name.startswith(inside)]:
                del self._files[name]
        elif self._files.pop(real, None) is None:
            raise FileError("No such file or directory")

    def stat(self, path: str) -> Entry:
        """What is at a path; mode 0 if nothing is."""
        real = self.path(path)
        name = posixpath.basename(real)
        if real in self._folders:
            return Entry(name, FOLDER_MODE, 4096, FOLDERS_MODIFIED_AT_S)
        file = self._files.get(real)
        if file is None:
            return Entry(name, 0, 0, 0)
        return Entry(name, file.mode, len(file.data), file.modified_at_s)

    def entries(self, path: str) -> list[Entry]:
        """What a folder holds, by name; empty if it is no folder."""
        real = self.path(path)
        if real not in self._folders:
            return []
        names = [name for name in (*self._files, *self._folders) if posixpath.dirname(name) == real]
        return sorted((self.stat(name) for name in names if name != real), key=lambda entry: entry.name)
