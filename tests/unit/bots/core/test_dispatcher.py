"""Which calls run: the one that a cancel names, by the attempt and not by the task."""

from __future__ import annotations

from doai.bots.core.boxes import Tasks
from doai.bots.core.dispatcher import Dispatcher, Lanes
from doai.bots.core.work import Ended
from doai.ids import Token
from doai.messages.bots import BotTask


def test_an_attempt_is_found_by_its_token_while_an_earlier_one_of_the_task_still_runs() -> None:
    tasks = Tasks("count", "robot.count", timeout_s=30.0)
    dispatcher = Dispatcher(Lanes([], 1), Lanes([tasks], 2))
    first, second = Token(1, 7), Token(1, 8)
    for token in (first, second):
        tasks.give(
            BotTask(
                task_id="T",
                run_id="R",
                token=token,
                kind="robot.count",
                attempt=1,
                params={},
                timeout_s=30.0,
                trace_id="",
                lease_s=60.0,
            )
        )
    dispatcher.pump(0.0)
    numbers = {work.token: number for number, work in enumerate(dispatcher.running, 1)}
    assert {token: dispatcher.number_of(token) for token in (first, second)} == numbers
    number = dispatcher.number_of(first)
    assert number is not None
    dispatcher.ended(number, Ended(), 1.0, 0.5)
    assert dispatcher.number_of(first) is None
    assert dispatcher.number_of(second) == numbers[second]
