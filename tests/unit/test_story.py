"""Every event of the catalogue has a sentence in each language, whole and with only what must be there."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai import topics
from doai.messages.catalogue import EVENTS
from doai.messages.contract import example
from doai.moments import duration
from doai.story.sentences import SENTENCES, sentence
from doai.story.voice import KOREAN, VOICES, Voice, words

HANGUL = re.compile("[가-힣]")
PLACE = re.compile(r"\{\w+\}")
PARTICLE = re.compile(r"\}(이|가|은|는|을|를|와|과|로|으로|이며|이고|라|이라|아|야)(?![가-힣])")
"""Which of two forms is right depends on the last sound of the word before it."""
OF_PLACES_ALONE = {"queue.or", "waiting.silent", "now.is_held", "now.standing"}
"""Words that Korean needs none for."""
KO = VOICES[KOREAN]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["message", "step", "code"]), inner)
    ),
    max_leaves=3,
)
NAMES = sorted({field.encode_name for payload in EVENTS.values() for field in msgspec.structs.fields(payload)})


def whole(event_type: str) -> dict[str, Any]:
    """A payload in which every field says something."""
    payload: dict[str, Any] = msgspec.to_builtins(example(EVENTS[event_type]))
    return payload


def test_every_type_of_the_catalogue_is_told() -> None:
    assert SENTENCES.keys() == EVENTS.keys()


@pytest.mark.parametrize("voice", VOICES.values(), ids=VOICES)
@pytest.mark.parametrize("event_type", EVENTS)
def test_every_type_of_the_catalogue_has_a_sentence(event_type: str, voice: Voice) -> None:
    text = sentence(event_type, whole(event_type), voice)
    assert text
    assert not set(text) & set("\n?{}")
    assert "None" not in text
    assert not text.startswith(event_type), "it has words of its own"
    assert bool(HANGUL.search(text)) == (voice is KO)


@pytest.mark.parametrize("event_type", EVENTS)
def test_each_language_says_the_same_of_an_event(event_type: str) -> None:
    payload = whole(event_type)
    english, korean = (sentence(event_type, payload, voice) for voice in VOICES.values())
    said = {value for value in payload.values() if isinstance(value, str) and "_" in value}
    assert {value for value in said if value in english} == {value for value in said if value in korean}


@pytest.mark.parametrize("voice", VOICES.values(), ids=VOICES)
@pytest.mark.parametrize("event_type", EVENTS)
def test_a_payload_with_nothing_in_it_has_one_too(event_type: str, voice: Voice) -> None:
    assert "None" not in sentence(event_type, {}, voice)


@pytest.mark.parametrize("voice", VOICES.values(), ids=VOICES)
@given(
    event_type=st.sampled_from([*EVENTS, "newer.type"]),
    payload=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8),
)
def test_no_payload_breaks_it_or_makes_a_second_line(
    event_type: str, payload: dict[str, Any], voice: Voice
) -> None:
    assert len(sentence(event_type, payload, voice).splitlines()) == 1


@pytest.mark.parametrize("key", words())
def test_every_word_is_there_in_both_languages_with_the_same_places(key: str) -> None:
    korean, english = words()[key]
    assert set(PLACE.findall(korean)) == set(PLACE.findall(english))
    assert not HANGUL.search(english)
    assert HANGUL.search(korean) or key in OF_PLACES_ALONE or not re.search("[a-z]", PLACE.sub("", english))
    assert not PARTICLE.search(korean), "word it so that it is right after any word"


def test_a_failed_step_says_why_and_what_follows() -> None:
    payload: dict[str, object] = {
        "stepId": "login",
        "tryNumber": 2,
        "durationMs": 1500,
        "failure": {"errorClass": "app", "code": "element_not_found", "message": "no button", "step": "login"},
        "retried": True,
    }
    assert sentence(topics.STEP_FAILED, payload) == (
        "Step login failed after 1.5 s (try 2): no button; it is tried again"
    )
    assert sentence(topics.STEP_FAILED, payload, KO) == (
        "단계 login 실패, 1.5초 (2번째 시도): 화면에서 찾는 요소가 없습니다 (no button); 다시 시도함"
    )
    payload["deviceSerial"] = "A1"  # of many phones in the story of a run
    assert sentence(topics.STEP_FAILED, payload).startswith(
        "Step login failed on A1 after 1.5 s (try 2): no button"
    )
    assert sentence(topics.STEP_FAILED, payload, KO).startswith("단계 login 실패 (기기 A1), 1.5초 (2번째 시도): ")
    payload["failure"] = {"code": "of_a_plug_in", "message": "no button"}
    assert "): no button; 다시 시도함" in sentence(topics.STEP_FAILED, payload, KO)


def test_the_same_type_from_broker_and_node() -> None:
    told = {"reason": "cancelled by user/anna"}
    assert sentence(topics.TASK_CANCELLED, told) == "Task cancelled: cancelled by user/anna"
    assert sentence(topics.TASK_CANCELLED, told, KO) == "작업 취소됨: cancelled by user/anna"
    ended = {"deviceSerial": "A1", "durationMs": 65_000}
    assert sentence(topics.TASK_CANCELLED, ended) == "Task cancelled on device A1 after 1 min 05 s"
    assert sentence(topics.TASK_CANCELLED, ended, KO) == "작업 취소됨 (기기 A1, 1분 05초)"


def test_outcomes_and_actors_in_their_places() -> None:
    ended = {"workflow": "check@3", "outcome": "failed", "counts": {"passed": 2, "failed": 1, "expired": 0}}
    assert sentence(topics.RUN_COMPLETED, ended) == "Run of check@3 failed (1 failed, 2 passed)"
    assert sentence(topics.RUN_COMPLETED, ended, KO) == "check@3 실행 실패 (실패 1, 성공 2)"
    cleaned = {"name": "q", "tasks": 8, "runs": 3, "outcomes": ["passed", "failed"], "actor": "user/anna"}
    assert sentence(topics.QUEUE_CLEANED, cleaned) == (
        "8 tasks of 3 passed or failed runs of queue q are removed for good, by user/anna"
    )
    assert (
        sentence(topics.QUEUE_CLEANED, cleaned, KO)
        == "대기열 q의 실행 3개(성공, 실패)와 작업 8개를 완전히 삭제 (user/anna)"
    )
    assert sentence(topics.CAMPAIGN_PAUSED, {"name": "c"}) == "Campaign c paused by the broker"
    assert sentence(topics.CAMPAIGN_PAUSED, {"name": "c"}, KO) == "캠페인 c 일시정지 (브로커)"


def test_words_of_a_payload_are_never_places() -> None:
    held = {"serial": "{actor}", "actor": "{serial.__class__}", "untilMs": None, "tasksLeft": 2}
    assert sentence(topics.DEVICE_HELD, held) == (
        "Device {actor} is held for {serial.__class__} until an unknown time, after the 2 tasks its node has"
    )


def test_an_unknown_type_is_named_with_what_it_is_about() -> None:
    for voice in VOICES.values():
        assert sentence("shelf.paused", {"name": "default"}, voice) == "shelf.paused (name default)"


def test_durations_as_a_person_says_them() -> None:
    times = (0, 949, 9_949, 9_950, 59_000, 185_000, 7_800_000, None, float("nan"))
    english = ["0.0 s", "0.9 s", "9.9 s", "10 s", "59 s", "3 min 05 s", "2 h 10 min", *["an unknown time"] * 2]
    korean = ["0.0초", "0.9초", "9.9초", "10초", "59초", "3분 05초", "2시간 10분", *["알 수 없는 시간"] * 2]
    assert [duration(ms) for ms in times] == english
    assert [KO.duration(ms) for ms in times] == korean
