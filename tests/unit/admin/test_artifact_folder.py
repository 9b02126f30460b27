"""The folder of artifacts: wholly and durably there, or not at all."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from doai.admin.artifact_folder import ArtifactFolder
from doai.admin.receiving import INCOMING, Announced, DamagedUpload, DiskFull, Intake
from doai.artifact_path import ArtifactPath, parse_artifact_path
from doai.errors import ConfigError, ConflictError, NotFoundError

PATH = parse_artifact_path("video/node-1/A1/01KAJD8B00R0N0000000000001/20251121T080000.123Z-shot.png")


def announced(data: bytes, **more: object) -> Announced:
    return Announced(**{"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data), **more})  # type: ignore[arg-type]


async def parts(*found: bytes) -> AsyncIterator[bytes]:
    for part in found:
        yield part


def store(folder: ArtifactFolder, data: bytes, *, path: ArtifactPath = PATH, told: Announced | None = None) -> bool:
    return asyncio.run(folder.store(path, told or announced(data), parts(data[:3], data[3:])))


def opened(root: Path) -> ArtifactFolder:
    folder = ArtifactFolder(Intake(root))
    folder.open()
    return folder


def left(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


async def read(folder: ArtifactFolder) -> bytes:
    return b"".join([chunk async for chunk in folder.read(PATH)])


def test_stored_once_and_read_back(tmp_path: Path) -> None:
    folder, data = opened(tmp_path), os.urandom(700_000)
    assert store(folder, data)
    assert not store(folder, data), "it was there"
    assert asyncio.run(read(folder)) == data
    assert asyncio.run(folder.size_of(PATH)) == len(data)
    assert left(tmp_path) == [tmp_path / str(PATH)]
    assert (tmp_path / str(PATH)).stat().st_mode & 0o077 == 0


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    assert store(opened(tmp_path), b"")


def test_a_name_is_never_given_to_other_bytes(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    store(folder, b"first")
    with pytest.raises(ConflictError, match="never changes"):
        store(folder, b"other")
    assert asyncio.run(read(folder)) == b"first"
    assert left(tmp_path) == [tmp_path / str(PATH)]


@pytest.mark.parametrize(
    "told",
    [
        announced(b"data", size_bytes=5),
        announced(b"data", size_bytes=3),
        announced(b"data", sha256="0" * 64),
    ],
)
def test_what_is_not_as_announced_leaves_nothing(tmp_path: Path, told: Announced) -> None:
    with pytest.raises(DamagedUpload):
        store(opened(tmp_path), b"data", told=told)
    assert left(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, number: int) -> None:
    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    folder = ArtifactFolder(Intake(tmp_path, sync=full))
    folder.open()
    with pytest.raises(DiskFull, match="make space"):
        store(folder, b"data")
    assert left(tmp_path) == []


def test_file_and_every_new_folder_are_synced_before_it_counts(tmp_path: Path) -> None:
    synced: list[str] = []
    synced_path = "/proc/self/fd/{}".format
    intake = Intake(tmp_path, sync=lambda fd: synced.append(str(Path(synced_path(fd)).readlink())))
    folder = ArtifactFolder(intake)
    folder.open()
    store(folder, b"data")
    target = tmp_path / str(PATH)
    assert Path(synced[0]).parent == tmp_path / INCOMING
    assert synced[1:] == [
        str(tmp_path),
        *(str(parent) for parent in reversed(target.parents) if tmp_path in parent.parents),
    ]


def test_an_upload_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    folder = opened(tmp_path)

    async def endless(begun: asyncio.Event) -> AsyncIterator[bytes]:
        yield b"x" * 300_000
        begun.set()
        await asyncio.Event().wait()

    async def scenario() -> None:
        begun = asyncio.Event()
        storing = asyncio.create_task(folder.store(PATH, announced(b"x" * 600_000), endless(begun)))
        await begun.wait()
        storing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await storing

    asyncio.run(scenario())
    assert left(tmp_path) == []


def test_a_start_removes_what_was_half_received_but_not_what_is_being_received(tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / INCOMING / "dead").write_bytes(b"half")
    with (tmp_path / INCOMING / "living").open("wb") as living:
        fcntl.flock(living, fcntl.LOCK_EX)
        opened(tmp_path)
        assert left(tmp_path) == [tmp_path / INCOMING / "living"]


def test_a_folder_that_can_not_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="artifacts_dir"):
        ArtifactFolder(Intake(tmp_path / "file")).open()


def test_a_file_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="gone from the admin's disk"):
        asyncio.run(opened(tmp_path).size_of(PATH))
