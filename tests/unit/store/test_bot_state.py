"""A bot's own file and its twin in memory: what is put is there after a restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from doai.bots.errors import BotError
from doai.bots.state import VALUE_BYTES_MAX, State
from doai.errors import StoreUnavailable
from doai.store.bot_state import BotStateFile, MemoryBotState, SqliteBotState

Open = Callable[[], BotStateFile]


@pytest.fixture(params=["sqlite", "memory"])
def open_file(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    memory = MemoryBotState()
    return (lambda: memory) if request.param == "memory" else (lambda: SqliteBotState(tmp_path / "state.db"))


def test_entries_stay_change_and_go(open_file: Open) -> None:
    file = open_file()
    file.apply({"a/1": b"one", "a/2": b"two", "b": b"", "ab": b"x"})
    file.apply({"a/1": b"uno", "b": None})
    file.close()
    again = open_file()
    assert (again.get("a/1"), again.get("b"), again.get("nowhere")) == (b"uno", None, None)
    assert again.list("a/", 10) == [("a/1", b"uno"), ("a/2", b"two")]
    assert again.list("", 2) == [("a/1", b"uno"), ("a/2", b"two")]
    again.close()


def test_a_second_process_is_told_that_the_file_is_in_use(tmp_path: Path) -> None:
    first = SqliteBotState(tmp_path / "state.db")
    with pytest.raises(StoreUnavailable, match="the state of a bot"):
        SqliteBotState(tmp_path / "state.db")
    first.close()


async def test_values_are_read_as_the_type_that_is_asked_for(open_file: Open) -> None:
    state = State(open_file, in_thread=False)
    await state.change({"count": 3, "seen/R1": [1, 2], "seen/R2": [3]})
    assert await state.get("count", type=int) == 3
    assert await state.get("nothing", 7) == 7
    assert await state.list("seen/", type=list[int]) == {"seen/R1": [1, 2], "seen/R2": [3]}
    await state.drop("count")
    assert await state.get("count") is None
    with pytest.raises(BotError, match=r"the value of seen/R1 is another than asked for"):
        await state.get("seen/R1", type=int)
    with pytest.raises(BotError, match="the most is"):
        await state.put("large", "x" * VALUE_BYTES_MAX)
    with pytest.raises(BotError, match="can not be kept"):
        await state.put("odd", object())
    with pytest.raises(BotError, match="1 to 200 characters"):
        await state.put("", 1)
    state.close()
