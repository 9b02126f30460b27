"""The node's file cache: one fetch however many ask, the oldest go first, nothing half-done survives."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from doai.errors import ErrorClass, StepError
from doai.ids import Token
from doai.messages.work import FilePin
from doai.node.file_cache import FileCache
from doai.node.steps.base import step_failed

MB = 1024 * 1024


def pin(name: str, size_bytes: int = 1000) -> FilePin:
    return FilePin(reference=name, version="1", sha256=digest(name, size_bytes), size_bytes=size_bytes)


def digest(name: str, size_bytes: int) -> str:
    return hashlib.sha256(content(name, size_bytes)).hexdigest()


def content(name: str, size_bytes: int) -> bytes:
    return (name * size_bytes).encode()[:size_bytes]


class Source:
    """Writes what was asked for; can be held up and can fail."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate: trio.Event | None = None
        self.cancelled = 0
        self.failure: StepError | None = None

    async def fetch(self, pin: FilePin, path: Path) -> None:
        await trio.Path(path).write_bytes(b"a part")
        self.asked.append(pin.reference)
        try:
            if self.gate is not None:
                await self.gate.wait()
        except trio.Cancelled:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        await trio.Path(path).write_bytes(content(pin.reference, pin.size_bytes))


class Cache:
    """A cache over a Source, with one attempt a letter."""

    def __init__(self, folder: Path, nursery: trio.Nursery, limit_bytes: int = 10 * MB, **about: Any) -> None:
        self.folder = folder
        self.source = Source()
        self.cache = FileCache(folder, self.source, limit_bytes=limit_bytes, **about)
        self.nursery = nursery

    async def start(self) -> Cache:
        await self.nursery.start(self.cache.run)
        return self

    async def get(self, wanted: FilePin, task_id: str = "A") -> Path:
        with trio.fail_after(90):
            return await self.cache.get(wanted, task_id, Token(1, 1))

    def release(self, task_id: str = "A") -> None:
        self.cache.release(task_id, Token(1, 1))

    async def names(self) -> list[str]:
        with trio.fail_after(90):
            while any(path.name.endswith(".evicted") for path in self.folder.iterdir()):  # noqa: ASYNC110
                await trio.sleep(0.001)
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
async def cache(tmp_path: Path, nursery: trio.Nursery) -> Cache:
    return await Cache(tmp_path / "files", nursery).start()


async def test_a_file_is_fetched_once_however_many_ask(cache: Cache) -> None:
    cache.source.gate = trio.Event()
    paths: list[Path] = []

    async def ask(task_id: str) -> None:
        paths.append(await cache.get(pin("app"), task_id))

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(ask, f"T{number}")
        while not cache.source.asked:
            await trio.lowlevel.checkpoint()
        cache.source.gate.set()
    assert set(paths) == {cache.folder / pin("app").sha256}
    assert paths[0].read_bytes() == content("app", 1000)
    await cache.get(pin("app"), "later")
    assert cache.source.asked == ["app"]
    assert cache.cache.statistics().fetched == 1


async def test_one_who_gives_up_leaves_the_fetch_to_the_others(cache: Cache) -> None:
    cache.source.gate = trio.Event()
    got: list[Path] = []

    async def ask() -> None:
        got.append(await cache.get(pin("app"), "B"))

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(ask)
            nursery.start_soon(_when_asked, cache, scope)
            await cache.get(pin("app"), "A")
        assert not got
        cache.source.gate.set()
    assert len(got) == 1
    assert (cache.source.cancelled, cache.source.asked) == (0, ["app"])


async def test_a_fetch_that_nobody_waits_for_ends_and_can_begin_again(cache: Cache) -> None:
    cache.source.gate = trio.Event()
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(_when_asked, cache, scope)
            await cache.get(pin("app"), "A")
    cache.source.gate = None
    await cache.get(pin("app"), "B")
    assert (cache.source.cancelled, cache.source.asked) == (1, ["app", "app"])
    assert await cache.names() == [pin("app").sha256]


async def _when_asked(cache: Cache, scope: trio.CancelScope) -> None:
    while not cache.source.asked:
        await trio.lowlevel.checkpoint()
    scope.cancel()


async def test_all_who_wait_learn_why_it_failed_and_nothing_is_left(cache: Cache) -> None:
    cache.source.failure = step_failed(ErrorClass.INFRASTRUCTURE, "file_unavailable", "no")
    codes = []

    async def ask(task_id: str) -> None:
        with pytest.raises(StepError) as caught:
            await cache.get(pin("app"), task_id)
        codes.append(caught.value.code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, "A")
        nursery.start_soon(ask, "B")
    assert codes == ["file_unavailable"] * 2
    assert len(cache.source.asked) == 1
    assert await cache.names() == []


async def test_the_oldest_unneeded_go_first(tmp_path: Path, nursery: trio.Nursery) -> None:
    cache = await Cache(tmp_path / "files", nursery, limit_bytes=3000).start()
    for name in ("a", "b", "c"):
        await cache.get(pin(name))
    await cache.get(pin("a"))
    cache.release()
    await cache.get(pin("d", 1500), "D")
    assert await cache.names() == sorted(p.sha256 for p in (pin("a"), pin("d", 1500)))
    assert cache.cache.statistics().evicted == 2


async def test_what_an_open_task_needs_stays_and_a_full_cache_says_so(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    cache = await Cache(tmp_path / "files", nursery, limit_bytes=3 * MB).start()
    await cache.get(pin("a", 2 * MB), "A")
    with pytest.raises(StepError, match="open tasks of this node need 2 of the 3 MB") as caught:
        await cache.get(pin("b", 2 * MB), "B")
    assert (caught.value.code, caught.value.failure.error_class) == ("file_cache_full", ErrorClass.INFRASTRUCTURE)
    with pytest.raises(StepError, match="raise file_cache_mb") as caught:
        await cache.get(pin("c", 4 * MB), "B")
    assert (caught.value.code, caught.value.failure.error_class) == ("file_too_large", ErrorClass.USER)
    cache.release("A")
    await cache.get(pin("b", 2 * MB), "B")
    assert await cache.names() == [pin("b", 2 * MB).sha256]


async def test_the_disk_reserve_is_kept(tmp_path: Path, nursery: trio.Nursery) -> None:
    room = {"free": 5 * MB}
    cache = Cache(tmp_path / "files", nursery, free_bytes=lambda: room["free"], reserve_bytes=4 * MB)
    await cache.start()
    with pytest.raises(StepError, match="disk has 5 MB left and 4 MB are kept") as caught:
        await cache.get(pin("a", 2 * MB), "A")
    assert caught.value.code == "disk_low"
    await cache.get(pin("b", MB), "B")
    cache.release("B")
    await cache.get(pin("a", 2 * MB), "A")  # in the place of b
    assert await cache.names() == [pin("a", 2 * MB).sha256]


async def test_a_start_keeps_what_is_whole_and_cleans_the_rest(tmp_path: Path, nursery: trio.Nursery) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    whole, damaged, old = pin("whole"), pin("damaged"), pin("old")
    for at, (name, data) in enumerate(
        [
            (old.sha256, content("old", 1000)),
            (whole.sha256, content("whole", 1000)),
            (damaged.sha256, b"x" * 1000),
            (f"{pin('part').sha256}.unfinished", b"a part"),
            (f"{pin('gone').sha256}.evicted", b"gone"),
        ]
    ):
        (folder / name).write_bytes(data)
        os.utime(folder / name, (at, at))
    cache = await Cache(folder, nursery, limit_bytes=3000).start()
    assert await cache.names() == sorted([whole.sha256, damaged.sha256, old.sha256])
    assert (await cache.get(whole)).read_bytes() == content("whole", 1000)
    assert cache.source.asked == []
    assert (await cache.get(damaged)).read_bytes() == content("damaged", 1000)
    assert cache.source.asked == ["damaged"]
    await cache.get(pin("new"))
    assert await cache.names() == sorted([whole.sha256, damaged.sha256, pin("new").sha256]), "the oldest went"


async def test_a_file_that_somebody_removed_is_fetched_again(cache: Cache) -> None:
    (await cache.get(pin("app"))).unlink()
    assert (await cache.get(pin("app"))).read_bytes() == content("app", 1000)
    assert cache.source.asked == ["app", "app"]


async def test_files_can_be_had_within_run_only(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="does not run"):
        await FileCache(tmp_path / "files", Source(), limit_bytes=1000).get(pin("app"), "A", Token(1, 1))


_DIES = """
import os, signal, sys
from pathlib import Path
import trio
from doai.ids import Token
from doai.messages.work import FilePin
from doai.node.file_cache import FileCache

class Killed:
    async def fetch(self, pin, path):
        path.write_bytes(b"half of it")
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    cache = FileCache(Path(sys.argv[1]), Killed(), limit_bytes=10**6)
    async with trio.open_nursery() as nursery:
        await nursery.start(cache.run)
        pin = FilePin(reference="app", version="1", sha256=sys.argv[2], size_bytes=1000)
        await cache.get(pin, "A", Token(1, 1))

trio.run(main)
"""


async def test_a_node_that_is_killed_amid_a_fetch_begins_it_anew(tmp_path: Path, nursery: trio.Nursery) -> None:
    folder = tmp_path / "files"
    command = [sys.executable, "-c", _DIES, str(folder), pin("app").sha256]
    with trio.fail_after(90):
        killed = await trio.run_process(command, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in folder.iterdir()] == [f"{pin('app').sha256}.unfinished"]
    cache = await Cache(folder, nursery).start()
    assert await cache.names() == []
    assert (await cache.get(pin("app"))).read_bytes() == content("app", 1000)
    assert await cache.names() == [pin("app").sha256]
