"""The phone's files."""

import pytest

from doai.phone.faults import Fault, FaultBook, FaultOrder
from doai.phone.files import FileError, FileSystem


def test_write_read_remove() -> None:
    files = FileSystem(FaultBook())
    files.write("/sdcard/a.txt", b"one", 7)
    assert files.read("/storage/emulated/0/../0/a.txt") == b"one"
    files.write("/sdcard/a.txt", b"two", 8, append=True)
    assert files.stat("/sdcard/a.txt").size_bytes == files.used_bytes == 6
    files.remove("/sdcard/a.txt")
    with pytest.raises(FileError, match="No such file"):
        files.read("/sdcard/a.txt")


def test_folders() -> None:
    files = FileSystem(FaultBook())
    with pytest.raises(FileError, match="No such file"):
        files.write("/sdcard/new/a", b"", 0)
    files.make_folder("/sdcard/new/er", parents=True)
    files.write("/sdcard/new/er/a", b"x", 0)
    assert [entry.name for entry in files.entries("/sdcard/new")] == ["er"]
    files.remove("/sdcard/new", recursive=True)
    assert files.used_bytes == 0
    with pytest.raises(FileError, match="Permission denied"):
        files.remove("/data", recursive=True)
    with pytest.raises(FileError, match="Read-only"):
        files.write("/system/x", b"", 0)


def test_storage_full() -> None:
    faults = FaultBook()
    faults.order(FaultOrder(Fault.STORAGE_FULL))
    with pytest.raises(FileError, match="No space left on device"):
        FileSystem(faults).write("/sdcard/a", b"x", 0)
    assert faults.struck == {Fault.STORAGE_FULL: 1}
