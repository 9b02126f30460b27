"""Reasons: the sentence of a code tells the code and its facts again, and both languages have words for each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.reasons import REASONS, facts_of, read_reason, reason
from doai.story.voice import ENGLISH, KOREAN, VOICES, words

ko = VOICES[KOREAN]


@pytest.mark.parametrize("code", REASONS)
def test_a_sentence_tells_its_code_and_its_facts(code: str) -> None:
    facts = {name: str(n) for n, name in enumerate(sorted(facts_of(REASONS[code])))}
    assert read_reason(reason(code, **facts)) == (code, facts)


@pytest.mark.parametrize("code", REASONS)
def test_both_languages_have_words_with_the_same_facts(code: str) -> None:
    korean, english = words()[f"reason.{code}"]
    assert english == REASONS[code]
    assert facts_of(korean) == facts_of(english)
    assert any("가" <= letter <= "힣" for letter in korean)


def test_no_words_are_left_of_reasons_that_nobody_gives() -> None:
    assert {key.partition(".")[2] for key in words() if key.startswith("reason.")} == set(REASONS)


def test_a_reason_within_a_reason_is_told_too() -> None:
    stopped = reason("run_stopped", why=reason("stop_after", failed=3, most=3))
    assert ko.reason(stopped) == "실행이 멈춤: 작업 3개 실패, 3개부터 멈춤"
    assert VOICES[ENGLISH].reason(stopped) == stopped == "the run was stopped: 3 tasks failed, and it stops after 3"
    verdict = reason("verdict", why=reason("in_a_row", count=5), message="it did not work; or did it")
    assert ko.reason(verdict) == "연속 5번 실패; 마지막 실패: it did not work; or did it"


def test_why_a_task_waits_is_told_in_both_languages() -> None:
    assert ko.reason(reason("queue_paused", queue="default")) == "대기열 default 일시정지"
    closed = reason("node_closed", node="node-1", why=reason("node_not_ready"))
    assert ko.reason(closed) == "노드 node-1: 작업을 받지 않음 (연결되지 않았거나, 가진 작업을 아직 알리지 않음)"


def test_what_a_person_wrote_and_what_is_old_stays_as_it_is() -> None:
    for text in ("", "the shelf is rewired", "선반 공사", "no word for ever", "x" * 5000, "{why}; the {0}"):
        assert ko.reason(text) == text


@given(st.text(max_size=80))
def test_any_text_is_told(text: str) -> None:
    assert isinstance(ko.reason(text), str)
    assert ko.reason(reason("verdict", why="a" + text, message="b" + text)).startswith("a")
