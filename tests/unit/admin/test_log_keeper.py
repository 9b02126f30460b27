"""The keeper of log lines: writes what came, tells what did not come, and outlives a broken file."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from doai.admin import log_keeper
from doai.admin.log_keeper import LogKeeper, LogUnavailable
from doai.codec import encode
from doai.errors import StoreError
from doai.messages.logs import LoggedLine, LogLines, RelayedLines
from doai.store.line_store import Line, LineFilter, LineStore
from doai.wire.log_tap import LogTap, tapped

LOG = logging.getLogger("doai.kept")


def relayed(first_n: int, *messages: str, life: str = "l", source: str = "node-1/i") -> RelayedLines:
    lines = [LoggedLine(5, 20, "doai.x", message, {"run_id": "r1"}) for message in messages]
    body = encode(LogLines(program="node", life=life, first_n=first_n, lines=lines))
    return RelayedLines(source=source, lines=msgspec.Raw(body))


async def messages(keeper: LogKeeper) -> list[str]:
    page = await keeper.page(LineFilter(), before=None, after=None, limit=100)
    return [line.message for line in reversed(page.lines)]


async def until(done: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(90):
        while not await done():  # noqa: ASYNC110 - a thread's work
            await asyncio.sleep(0.01)


async def kept(keeper: LogKeeper, last: str) -> list[str]:
    async def there() -> bool:
        try:
            return last in " ".join(await messages(keeper))
        except LogUnavailable:
            return False

    await until(there)
    return await messages(keeper)


def play(keeper: LogKeeper, scenario: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        running = asyncio.create_task(keeper.run())
        try:
            await scenario()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    LOG.setLevel("INFO")
    monkeypatch.setattr(log_keeper, "TELL_EVERY_S", 0.01)
    monkeypatch.setattr(log_keeper, "OPEN_AGAIN_S", 0.01)


def test_lines_of_others_and_of_the_admin_itself_are_there_also_after_a_start(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with tapped("admin", "a") as tap:
        keeper = LogKeeper(path, tap, "admin/a", days=7, lines_max=1000)

        async def scenario() -> None:
            LOG.info("the admin itself")
            keeper.relayed(relayed(1, "one", "two"))
            assert await kept(keeper, "two") == ["one", "two", "the admin itself"]
            keeper.relayed(relayed(3, "said last"))

        play(keeper, scenario)
    again = LogKeeper(path, LogTap("admin", "b"), "admin/b", days=7, lines_max=1000)

    async def look() -> None:
        assert (await kept(again, "said last"))[-1] == "said last"

    play(again, look)


def test_lines_that_did_not_come_are_told_as_a_line(tmp_path: Path) -> None:
    keeper = LogKeeper(tmp_path / "log.db", LogTap("admin", "a"), "admin/a", days=7, lines_max=1000)

    async def scenario() -> None:
        keeper.relayed(relayed(5, "five"))  # what was before the admin's own start is nobody's gap
        keeper.relayed(relayed(9, "nine"))
        keeper.relayed(relayed(1, "of another life", life="m"))
        keeper.relayed(relayed(10, "ten"))
        found = await kept(keeper, "ten")
        assert found[0] == "five"
        assert found[1].startswith("3 lines are missing here")
        assert found[2:] == ["nine", "of another life", "ten"]

    play(keeper, scenario)


def test_more_than_the_disk_takes_is_dropped_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_keeper, "WAITING_MAX", 3)
    keeper = LogKeeper(tmp_path / "log.db", LogTap("admin", "a"), "admin/a", days=7, lines_max=1000)

    async def scenario() -> None:
        keeper.relayed(relayed(1, *"abcde"))
        assert await kept(keeper, "e") == ["c", "d", "e"]
        keeper.relayed(relayed(6, "f"))
        found = await kept(keeper, "f")
        assert found[3].startswith("2 lines are missing here")
        assert found[4] == "f"

    play(keeper, scenario)


def test_lines_that_the_disk_did_not_take_are_told_as_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    append = LineStore.append

    def fail_once(_: LineStore, lines: Sequence[Line]) -> None:
        monkeypatch.setattr(LineStore, "append", append)
        raise StoreError("the disk is full")

    monkeypatch.setattr(LineStore, "append", fail_once)
    keeper = LogKeeper(tmp_path / "log.db", LogTap("admin", "a"), "admin/a", days=7, lines_max=1000)

    async def scenario() -> None:
        keeper.relayed(relayed(1, "one", "two"))

        async def told() -> bool:
            return "log lines are not kept here for now: the disk is full" in caplog.text

        await until(told)
        keeper.relayed(relayed(3, "three"))
        found = await kept(keeper, "three")
        assert found[0].startswith("2 lines are missing here")
        assert found[1:] == ["three"]

    play(keeper, scenario)


def test_a_file_that_can_not_be_used_is_said_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "log.db"
    path.write_text("no database, and long enough to be looked at" * 100)
    keeper = LogKeeper(path, LogTap("admin", "a"), "admin/a", days=7, lines_max=1000)

    async def scenario() -> None:
        async def told() -> bool:
            return "log lines are not kept here for now" in caplog.text

        await until(told)
        with pytest.raises(LogUnavailable, match=r"log\.db"):
            await messages(keeper)
        keeper.relayed(relayed(1, "meanwhile"))
        path.unlink()
        assert await kept(keeper, "meanwhile") == ["meanwhile"]

    play(keeper, scenario)


def test_nothing_is_kept_where_none_are_wanted(tmp_path: Path) -> None:
    keeper = LogKeeper(tmp_path / "log.db", LogTap("admin", "a"), "admin/a", days=0, lines_max=1000)

    async def scenario() -> None:
        await asyncio.sleep(0)
        with pytest.raises(LogUnavailable, match="keep_log_days is 0"):
            await messages(keeper)

    assert not keeper.keeps
    play(keeper, scenario)
    assert not (tmp_path / "log.db").exists()


def test_what_can_not_be_read_is_named_and_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keeper = LogKeeper(tmp_path / "log.db", LogTap("admin", "a"), "admin/a", days=7, lines_max=1000)
    keeper.relayed(RelayedLines(source="node-1/i", lines=msgspec.Raw(encode([1]))))
    assert "log lines of node-1/i can not be read" in caplog.text
