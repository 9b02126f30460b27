"""Every event of the catalogue has a sentence, whole and with only what must be there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai import topics
from doai.messages.catalogue import EVENTS
from doai.messages.contract import example
from doai.moments import duration
from doai.story import sentence

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["message", "step"]), inner),
    max_leaves=3,
)
NAMES = st.sampled_from(
    ["taskId", "serial", "untilMs", "failure", "reason", "durationMs", "tryNumber", "attempt", "counts"]
)


@pytest.mark.parametrize("event_type", EVENTS)
def test_every_type_of_the_catalogue_has_a_sentence(event_type: str) -> None:
    payload = msgspec.to_builtins(example(EVENTS[event_type]))
    text = sentence(event_type, payload)
    assert text
    assert "\n" not in text
    assert "None" not in text
    assert "?" not in text
    assert not text.startswith(event_type), "it has words of its own"


@pytest.mark.parametrize("event_type", EVENTS)
def test_a_payload_with_nothing_in_it_has_one_too(event_type: str) -> None:
    assert "None" not in sentence(event_type, {})


@given(st.sampled_from([*EVENTS, "newer.type"]), st.dictionaries(NAMES, VALUES))
def test_no_payload_breaks_it_or_makes_a_second_line(event_type: str, payload: dict[str, Any]) -> None:
    assert len(sentence(event_type, payload).splitlines()) == 1


def test_a_failed_step_says_why_and_what_follows() -> None:
    payload = {
        "stepId": "login",
        "tryNumber": 2,
        "durationMs": 1500,
        "failure": {"errorClass": "app", "code": "not_shown", "message": "no button", "step": "login"},
        "retried": True,
    }
    assert sentence(topics.STEP_FAILED, payload) == (
        "Step login failed after 1.5 s (try 2): no button; it is tried again"
    )


def test_the_same_type_from_broker_and_node() -> None:
    assert sentence(topics.TASK_CANCELLED, {"reason": "cancelled by user/anna"}) == (
        "Task cancelled: cancelled by user/anna"
    )
    ended = {"deviceSerial": "A1", "durationMs": 65_000}
    assert sentence(topics.TASK_CANCELLED, ended) == "Task cancelled on device A1 after 1 min 05 s"


def test_an_unknown_type_is_named_with_what_it_is_about() -> None:
    assert sentence("shelf.paused", {"name": "default"}) == "shelf.paused (name default)"


def test_durations_as_a_person_says_them() -> None:
    assert [duration(ms) for ms in (0, 949, 9_949, 9_950, 59_000, 185_000, None, float("nan"))] == [
        "0.0 s",
        "0.9 s",
        "9.9 s",
        "10 s",
        "59 s",
        "3 min 05 s",
        "an unknown time",
        "an unknown time",
    ]
