"""One request at a time, and late answers are counted and thrown away."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.drivers.xiaowei.answers import Answer, AnswerError, RefusedError, StrayError
from doai.drivers.xiaowei.exchange import Counts, Exchange, Question
from doai.errors import LocalProtocolError


def question(number: int) -> Question[int]:
    """Is answered by its own number; another number is another's answer."""

    def read(answer: Answer) -> int:
        if answer.code == 10001:
            raise RefusedError("no")
        if answer.code == 0:
            raise AnswerError("nonsense")
        if answer.code != number:
            raise StrayError("another's")
        return answer.code

    return Question(f"ask {number}", read)


def said(number: int) -> str:
    return json.dumps({"code": number})


def test_the_answer_settles_the_request() -> None:
    exchange = Exchange(Counts())
    pending = exchange.ask(question(5))
    with pytest.raises(LocalProtocolError):
        exchange.ask(question(6))
    assert exchange.take(said(5))
    assert pending.result() == 5
    exchange.leave()
    assert not exchange.owed
    exchange.ask(question(6))


def test_a_late_answer_is_owed_counted_and_never_the_next_ones() -> None:
    counts = Counts()
    exchange = Exchange(counts)
    exchange.ask(question(5))
    exchange.leave()
    assert exchange.owed
    with pytest.raises(LocalProtocolError):
        exchange.ask(question(6))
    assert not exchange.take(said(5))
    assert (counts.late, counts.stray, exchange.owed) == (1, 0, False)


def test_what_nobody_asked_for_is_counted() -> None:
    counts = Counts()
    exchange = Exchange(counts)
    assert not exchange.take("garbage {")
    pending = exchange.ask(question(5))
    assert not exchange.take(said(4))
    assert exchange.take(said(5))
    assert not exchange.take(said(5))
    assert pending.result() == 5
    assert counts.stray == 3


def test_after_an_answer_that_can_not_be_read_the_true_one_is_owed() -> None:
    exchange = Exchange(Counts())
    pending = exchange.ask(question(5))
    assert exchange.take(said(0))
    exchange.leave()
    assert exchange.owed
    with pytest.raises(AnswerError):
        pending.result()


def test_a_refusal_is_an_answer() -> None:
    exchange = Exchange(Counts())
    pending = exchange.ask(question(5))
    assert exchange.take(said(10001))
    exchange.leave()
    assert not exchange.owed
    with pytest.raises(RefusedError):
        pending.result()


@given(st.lists(st.one_of(st.integers(1, 3), st.just(0), st.just(10001), st.text()), max_size=20))
def test_no_request_is_settled_by_anothers_answer(messages: list[int | str]) -> None:
    counts = Counts()
    exchange = Exchange(counts)
    pending = exchange.ask(question(2))
    for message in messages:
        exchange.take(said(message) if isinstance(message, int) else message)
    if pending.settled and pending.error is None:
        assert pending.result() == 2
    settling = next((m for m in messages if m not in (1, 3)), None)
    assert pending.settled == (settling is not None)
    assert (pending.error is None) == (settling in (None, 2))
    assert counts.late == 0
