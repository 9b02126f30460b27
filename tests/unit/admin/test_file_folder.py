"""The bytes of files for phones, and the reserve of the disk that every upload leaves alone."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from doai.admin.artifact_folder import ArtifactFolder
from doai.admin.file_folder import UNNAMED_KEPT_S, FileFolder
from doai.admin.receiving import Announced, DamagedUpload, DiskFull, Intake
from doai.artifact_path import parse_artifact_path
from doai.errors import ConfigError, NotFoundError

MB = 1024 * 1024
PATH = parse_artifact_path("video/node-1/A1/01KAJD8B00R0N0000000000001/20251121T080000.123Z-shot.png")


def opened(root: Path) -> FileFolder:
    folder = FileFolder(Intake(root), size_max_bytes=1000)
    folder.open()
    return folder


async def parts(*found: bytes) -> AsyncIterator[bytes]:
    for part in found:
        yield part


async def put(folder: FileFolder, data: bytes, sha256: str = "") -> str:
    async with folder.receive(Announced(sha256=sha256, size_bytes=len(data)), parts(data[:2], data[2:])) as draft:
        await folder.sync(draft)
        await folder.place(draft)
        return draft.sha256


async def read(folder: FileFolder, sha256: str, start: int = 0) -> bytes:
    return b"".join([chunk async for chunk in folder.read(sha256, start)])


def left(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def test_the_same_bytes_are_there_once(tmp_path: Path) -> None:
    folder, data = opened(tmp_path), os.urandom(700_000)
    sha256 = asyncio.run(put(folder, data))
    assert sha256 == hashlib.sha256(data).hexdigest() == asyncio.run(put(folder, data, sha256))
    assert left(tmp_path) == [sha256]
    assert asyncio.run(folder.size_of(sha256)) == len(data)
    assert asyncio.run(read(folder, sha256)) == data
    assert asyncio.run(read(folder, sha256, 699_990)) == data[699_990:]
    asyncio.run(folder.drop(sha256))
    asyncio.run(folder.drop(sha256))
    assert left(tmp_path) == []
    with pytest.raises(NotFoundError, match="put the file again as a new version"):
        asyncio.run(folder.size_of(sha256))


def test_damage_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DamagedUpload, match="X-Content-Sha256"):
        asyncio.run(put(opened(tmp_path), b"data", "0" * 64))
    assert left(tmp_path) == []


def test_a_start_removes_old_bytes_without_a_name(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    named, new, old = (asyncio.run(put(folder, data)) for data in (b"named", b"new", b"old"))
    then = time.time() - UNNAMED_KEPT_S - 10
    for sha256 in (named, old):
        os.utime(tmp_path / sha256[:2] / sha256, (then, then))
    asyncio.run(folder.sweep({named}))
    assert left(tmp_path) == sorted([named, new])


def test_a_folder_that_can_not_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="files_dir"):
        opened(tmp_path / "file")


@pytest.mark.parametrize(("free", "sentence"), [(4 * MB, "takes no file now"), (5 * MB, "has 5 MB left")])
def test_an_upload_leaves_the_reserve_of_the_disk_alone(tmp_path: Path, free: int, sentence: str) -> None:
    intake = Intake(tmp_path, reserve_bytes=5 * MB, free=lambda folder: free)
    folder = ArtifactFolder(intake)
    folder.open()
    data = b"x" * 1000
    told = Announced(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
    with pytest.raises(DiskFull, match=sentence):
        asyncio.run(folder.store(PATH, told, parts(data)))
    assert left(tmp_path) == []


def test_there_is_room_again_when_there_is(tmp_path: Path) -> None:
    room = {"free": 4 * MB}
    folder = FileFolder(
        Intake(tmp_path, reserve_bytes=5 * MB, free=lambda folder: room["free"]), size_max_bytes=1000
    )
    folder.open()
    with pytest.raises(DiskFull):
        asyncio.run(put(folder, b"data"))
    room["free"] = 6 * MB
    assert asyncio.run(put(folder, b"data"))
