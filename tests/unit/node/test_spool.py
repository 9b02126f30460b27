"""The spool: nothing acknowledged is lost and nothing half-written is seen, wherever the process dies."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from doai.artifact_path import parse_artifact_path
from doai.errors import ErrorClass, StepError
from doai.ids import Token
from doai.node.artifacts import ArtifactOwner
from doai.node.spool import WRITTEN_AT_ONCE_BYTES, Refusal, Spool
from doai.node.steps.base import ArtifactRef

OWNER = ArtifactOwner(
    content_id="video-1",
    run_id="01JD0000000000000000000000",
    task_id="01JD0000000000000000000001",
    token=Token(1, 7),
    device_serial="PHONE-1",
    step_id="login/shot",
)
AT_MS = 1_795_250_700_123
PICTURE = b"\x89PNG picture"


async def keep(spool: Spool, data: bytes = PICTURE, owner: ArtifactOwner = OWNER, **fields: Any) -> ArtifactRef:
    return await spool.keep(owner, data, extension="png", media_type="image/png", utc_ms=AT_MS, **fields)


async def keep_and_spool(spool: Spool, data: bytes = PICTURE) -> ArtifactRef:
    ref = await keep(spool, data)
    return await spool.spool(OWNER.task_id, OWNER.token, ref.name)


def files_of(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


async def test_a_kept_file_has_its_hash_and_a_valid_path(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "node-1")
    ref = await keep(spool)
    assert ref.name == "login.shot-1.png"
    assert ref.sha256 == hashlib.sha256(PICTURE).hexdigest()
    assert ref.path == f"video-1/node-1/PHONE-1/{OWNER.run_id}/20261121T084500.123Z-login.shot-1.png"
    assert parse_artifact_path(ref.path).node_id == "node-1"
    assert files_of(tmp_path) == {f"tasks/{OWNER.task_id}-1.7-login.shot-1.png"}


async def test_names_and_paths_stay_unique_within_an_attempt(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "node-1")
    again = msgspec.structs.replace(OWNER, try_number=2)
    refs = [await keep(spool), await keep(spool), await keep(spool, owner=again), await keep(spool, name="end")]
    assert [ref.name for ref in refs] == ["login.shot-1.png", "login.shot-1-2.png", "login.shot-2.png", "end-1.png"]
    assert len({ref.path for ref in refs}) == 4


async def test_spooling_twice_is_one_entry(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "node-1")
    ref = await keep_and_spool(spool)
    assert await spool.spool(OWNER.task_id, OWNER.token, ref.name) == ref
    assert spool.statistics().waiting == 1


async def test_what_was_spooled_outlives_its_task_and_its_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "node-1")
    ref = await keep_and_spool(spool)
    await keep(spool)
    await spool.drop_tasks([(OWNER.task_id, OWNER.token)])
    await spool.drop_tasks([(OWNER.task_id, OWNER.token)])
    assert not list((tmp_path / "tasks").iterdir())

    after = Spool(tmp_path, "node-1")
    entry = await after.take()
    assert (entry.path, entry.sha256, entry.size_bytes) == (ref.path, ref.sha256, ref.size_bytes)
    assert (entry.run_id, entry.task_id, entry.step_id) == (OWNER.run_id, OWNER.task_id, "login/shot")
    assert after.file_of(entry).read_bytes() == PICTURE
    await after.stored(entry)
    assert files_of(tmp_path) == set()
    assert Spool(tmp_path, "node-1").statistics().waiting == 0


async def test_files_of_a_former_life_that_were_never_spooled_are_removed(tmp_path: Path) -> None:
    await keep(Spool(tmp_path, "node-1"))
    assert Spool(tmp_path, "node-1").statistics().kept == 0
    assert files_of(tmp_path) == set()


async def test_an_unknown_artifact_is_the_recipes_mistake(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "node-1")
    await keep(spool)
    with pytest.raises(StepError, match=r"no artifact 'x.png' \(it has: login.shot-1.png\)") as caught:
        await spool.spool(OWNER.task_id, OWNER.token, "x.png")
    assert (caught.value.failure.error_class, caught.value.code) == (ErrorClass.USER, "unknown_artifact")


@pytest.mark.parametrize("content_id", ["../../etc", "", "a/b", ".."])
async def test_a_content_id_that_could_leave_the_folder_is_refused(tmp_path: Path, content_id: str) -> None:
    spool = Spool(tmp_path, "node-1")
    with pytest.raises(StepError, match="content_id") as caught:
        await keep(spool, owner=msgspec.structs.replace(OWNER, content_id=content_id))
    assert (caught.value.failure.error_class, caught.value.code) == (ErrorClass.USER, "bad_artifact_path")
    assert files_of(tmp_path) == set()
    assert spool.statistics().kept == 0


async def test_an_entry_given_back_with_a_delay_waits_behind_others(tmp_path: Path, autojump_clock: object) -> None:
    spool = Spool(tmp_path, "node-1")
    await keep_and_spool(spool)
    await keep_and_spool(spool, b"second")
    first = await spool.take()
    spool.give_back(first, delay_s=5.0)
    began = trio.current_time()
    second = await spool.take()
    assert second.entry_id != first.entry_id
    assert await spool.take() == first
    assert trio.current_time() - began == pytest.approx(5.0)
    spool.give_back(first)
    assert await spool.take() == first


async def test_a_taker_is_woken_by_a_new_entry(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "node-1")
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(spool.take)
            await trio.testing.wait_all_tasks_blocked()
            await keep_and_spool(spool)


async def test_a_refused_entry_is_kept_aside_with_its_reason(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "node-1")
    await keep_and_spool(spool)
    refused = await spool.refuse(await spool.take(), Refusal(status=409, reason="other bytes"))
    await spool.drop_tasks([(OWNER.task_id, OWNER.token)])
    names = {f"spool/refused/{refused.entry_id}.data", f"spool/refused/{refused.entry_id}.json"}
    assert files_of(tmp_path) == names
    statistics = Spool(tmp_path, "node-1").statistics()
    assert (statistics.waiting, statistics.refused) == (0, 1)

    for name in names:  # what an operator does to try it again
        (tmp_path / name).replace(tmp_path / "spool" / Path(name).name)
    entry = await Spool(tmp_path, "node-1").take()
    assert entry.refusal is None
    assert entry.path == refused.path


@pytest.mark.parametrize("text", [b"", b"{", b'{"entryId": 1}', b"\xff"])
async def test_a_damaged_entry_is_set_aside_and_said(
    tmp_path: Path, text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path, "node-1")
    await keep_and_spool(spool)
    entry = await spool.take()
    (tmp_path / "spool" / f"{entry.entry_id}.json").write_bytes(text)
    after = Spool(tmp_path, "node-1")
    assert (after.statistics().waiting, after.statistics().refused) == (0, 1)
    assert "can not be uploaded" in caplog.text
    assert (tmp_path / "spool/refused" / f"{entry.entry_id}.data").read_bytes() == PICTURE
    assert (tmp_path / "spool/refused" / f"{entry.entry_id}.json").read_bytes() == text


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "disk_full"), (errno.EDQUOT, "disk_full"), (errno.EIO, "disk_error")]
)
async def test_a_failing_disk_is_the_infrastructures_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    spool = Spool(tmp_path, "node-1")
    ref = await keep(spool)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(Path, "write_bytes", fail)
    for call in (lambda: keep(spool), lambda: spool.spool(OWNER.task_id, OWNER.token, ref.name)):
        with pytest.raises(StepError) as caught:
            await call()
        assert (caught.value.failure.error_class, caught.value.code) == (ErrorClass.INFRASTRUCTURE, code)
        assert str(tmp_path) in str(caught.value)
    monkeypatch.undo()
    assert (await keep(spool)).name == "login.shot-1-2.png"  # the name that could not be written is free again
    assert (await spool.spool(OWNER.task_id, OWNER.token, ref.name)).path == ref.path
    assert not [name for name in files_of(tmp_path) if name.endswith(".unfinished")]


class Crash(BaseException):
    """The process ends here: no code of its own runs after this."""


class CrashAt:
    """Ends the process before the n-th call that changes the disk."""

    CALLS = ("fsync", "replace", "link", "unlink", "mkdir", "rmdir")

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        self.calls: list[str] = []
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, real: Any) -> Any:
        def call(*arguments: Any, **fields: Any) -> Any:
            if self.left == 0:
                raise Crash
            self.left -= 1
            self.calls.append(name)
            return real(*arguments, **fields)

        return call


@pytest.fixture
def crash_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[CrashAt]:
    yield CrashAt(monkeypatch)
    monkeypatch.undo()


async def test_a_crash_at_any_point_of_spooling_leaves_a_whole_entry_or_none(
    tmp_path: Path, crash_at: CrashAt
) -> None:
    seen: set[int] = set()
    for at in range(100):
        folder = tmp_path / str(at)
        spool = Spool(folder, "node-1")
        crash_at.left = at
        acknowledged = False
        try:
            await keep_and_spool(spool)
            acknowledged = True
        except Crash:
            pass
        crash_at.left = -1
        after = Spool(folder, "node-1")
        waiting = after.statistics().waiting
        assert waiting == 1 or not acknowledged
        seen.add(waiting)
        if waiting:
            entry = await after.take()
            assert after.file_of(entry).read_bytes() == PICTURE
            assert files_of(folder) == {f"spool/{entry.entry_id}.data", f"spool/{entry.entry_id}.json"}
        else:
            assert files_of(folder) == set()
        if acknowledged:
            break
    else:
        pytest.fail("spooling never came to its end")
    assert seen == {0, 1}
    assert at >= 7


async def test_a_crash_at_any_point_of_an_end_leaves_the_entry_or_its_end(
    tmp_path: Path, crash_at: CrashAt
) -> None:
    for end in ("stored", "refuse"):
        for at in range(100):
            folder = tmp_path / end / str(at)
            spool = Spool(folder, "node-1")
            await keep_and_spool(spool)
            entry = await spool.take()
            crash_at.left = at
            ended = False
            try:
                if end == "stored":
                    await spool.stored(entry)
                else:
                    await spool.refuse(entry, Refusal(status=409, reason="other bytes"))
                ended = True
            except Crash:
                pass
            crash_at.left = -1
            after = Spool(folder, "node-1").statistics()
            assert after.waiting <= 1
            assert not (ended and after.waiting)
            if end == "refuse":
                assert after.waiting + after.refused >= 1
                held = [file for file in folder.rglob("*.data") if file.read_bytes() == PICTURE]
                assert held, "the picture is in the spool or among the refused"
            if ended:
                break
        else:
            pytest.fail("the end never came")


async def test_a_file_is_synced_before_it_has_its_name_and_the_folder_after(
    tmp_path: Path, crash_at: CrashAt
) -> None:
    spool = Spool(tmp_path, "node-1")
    ref = await keep(spool)
    crash_at.calls.clear()
    await spool.spool(OWNER.task_id, OWNER.token, ref.name)
    calls = [call for call in crash_at.calls if call != "unlink"]
    assert calls == ["fsync", "link", "fsync", "fsync", "replace", "fsync"]


async def test_a_file_that_can_not_be_dropped_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, "node-1")
    other = msgspec.structs.replace(OWNER, task_id="01JD0000000000000000000002")
    await keep(spool)
    await keep(spool, b"x" * (WRITTEN_AT_ONCE_BYTES + 1), other)
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if OWNER.task_id in path.name:
            raise OSError(errno.EIO, "Input/output error")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StepError, match="Input/output error"):
        await spool.drop_tasks([(OWNER.task_id, OWNER.token), (other.task_id, other.token)])
    assert spool.statistics().kept == 0
    assert files_of(tmp_path) == {f"tasks/{OWNER.task_id}-1.7-login.shot-1.png"}


async def test_a_file_system_without_hard_links_gets_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    spool = Spool(tmp_path, "node-1")
    await keep_and_spool(spool)
    await spool.drop_tasks([(OWNER.task_id, OWNER.token)])
    assert spool.file_of(await spool.take()).read_bytes() == PICTURE
