"""What is believed of the store: for a while, bounded, and never over a change that was made here."""

from __future__ import annotations

import asyncio

from doai.admin.beliefs import Beliefs


class Store:
    """One word by key; a question may be held before its answer, which is that of the moment it was asked."""

    def __init__(self) -> None:
        self.word: str | None = "before"
        self.asked = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def look_up(self) -> str | None:
        self.asked += 1
        word = self.word
        await self.go_on.wait()
        return word


def test_an_answer_is_believed_for_a_while_and_that_there_is_none_is_not() -> None:
    async def scenario() -> None:
        now_s = 0.0
        store = Store()
        beliefs: Beliefs[str, str] = Beliefs(2.0, monotonic=lambda: now_s)
        store.word = None
        assert await beliefs.find("a", store.look_up) is None
        store.word = "before"
        assert await beliefs.find("a", store.look_up) == "before"
        store.word, now_s = "after", 1.9
        assert await beliefs.find("a", store.look_up) == "before"
        now_s = 2.0
        assert await beliefs.find("a", store.look_up) == "after"
        assert store.asked == 3

    asyncio.run(scenario())


def test_what_was_changed_is_looked_up_again_and_nothing_else() -> None:
    async def scenario() -> None:
        one, other = Store(), Store()
        other.word = "other"
        beliefs: Beliefs[str, str] = Beliefs(2.0, monotonic=lambda: 0.0)
        for key, store in (("one", one), ("other", other)):
            await beliefs.find(key, store.look_up)
        one.word = other.word = "after"
        beliefs.forget(lambda word: word == "before")
        assert await beliefs.find("one", one.look_up) == "after"
        assert await beliefs.find("other", other.look_up) == "other"
        beliefs.forget()
        assert await beliefs.find("other", other.look_up) == "after"

    asyncio.run(scenario())


def test_an_answer_that_was_under_way_when_something_was_changed_is_not_believed() -> None:
    async def scenario() -> None:
        store = Store()
        beliefs: Beliefs[str, str] = Beliefs(2.0, monotonic=lambda: 0.0)
        store.go_on.clear()
        early = asyncio.create_task(beliefs.find("a", store.look_up))
        await asyncio.sleep(0)
        store.word = "after"
        beliefs.forget()
        store.go_on.set()
        assert await early == "before", "it was asked before the change"
        assert await beliefs.find("a", store.look_up) == "after"

    asyncio.run(scenario())


def test_what_is_believed_is_bounded() -> None:
    async def scenario() -> None:
        store = Store()
        beliefs: Beliefs[int, str] = Beliefs(2.0, kept_max=10, monotonic=lambda: 0.0)
        for key in range(25):
            await beliefs.find(key, store.look_up)
            assert len(beliefs) <= 10

    asyncio.run(scenario())
