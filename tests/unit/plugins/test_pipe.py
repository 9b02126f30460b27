"""Frames of the pipe between a node and a plug-in's process: pieces of any size, garbage, half frames."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.errors import ErrorClass, Failure
from doai.plugins.pipe import (
    FRAME_BYTES_MAX,
    Answer,
    Call,
    Cancel,
    Ended,
    Failed,
    Frames,
    FromHost,
    Line,
    PipeError,
    Ready,
    Refused,
    Start,
    ToHost,
    frame_of,
)

numbers = st.integers(min_value=0, max_value=2**31)
texts = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | texts | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
fields = st.dictionaries(texts, values, max_size=3)
failures = st.builds(
    Failure,
    error_class=st.sampled_from(list(ErrorClass)),
    code=texts,
    message=texts,
    step=st.none(),
    details=fields,
)
from_host = st.one_of(
    st.builds(Ready, steps=st.just([])),
    st.builds(Ended, request=numbers, outputs=fields),
    st.builds(Failed, request=numbers, failure=failures),
    st.builds(Call, request=numbers, call=numbers, what=texts, arguments=fields),
    st.builds(Line, request=numbers, message=texts, fields=fields),
)
to_host = st.one_of(
    st.builds(
        Start,
        **dict.fromkeys(("request", "try_number"), numbers),
        **dict.fromkeys(("use", "step_id", "run_id", "task_id", "workflow", "serial"), texts),
        arguments=fields,
        timeout_s=st.floats(0, 1e6),
    ),
    st.builds(Cancel, request=numbers),
    st.builds(Answer, call=numbers, value=values),
    st.builds(Refused, call=numbers, failure=failures),
)


@given(st.lists(from_host, max_size=4), st.lists(st.integers(1, 40), max_size=20))
def test_messages_come_whole_in_pieces_of_any_size(messages: list[FromHost], sizes: list[int]) -> None:
    stream = b"".join(map(frame_of, messages))
    frames: Frames[FromHost] = Frames(FromHost)
    got: list[FromHost] = []
    at = 0
    for size in [*sizes, len(stream)]:
        got += frames.feed(stream[at : at + size])
        at += size
    assert got == messages


@given(to_host)
def test_what_the_node_says_comes_as_it_was(message: ToHost) -> None:
    assert Frames(ToHost).feed(frame_of(message)) == [message]


@given(st.binary(max_size=200))
def test_garbage_is_an_error_and_nothing_else(data: bytes) -> None:
    frames: Frames[FromHost] = Frames(FromHost, bytes_max=1000)
    try:
        frames.feed(data)
    except PipeError:
        with pytest.raises(PipeError):
            frames.feed(b"")


@given(from_host, st.data())
def test_half_a_frame_is_no_message(message: FromHost, data: st.DataObject) -> None:
    whole = frame_of(message)
    frames: Frames[FromHost] = Frames(FromHost)
    size = data.draw(st.integers(1, len(whole) - 1))
    assert frames.feed(whole[:size]) == []
    assert frames.feed(whole[size:]) == [message]


def test_a_frame_has_a_bound() -> None:
    with pytest.raises(PipeError, match="was announced"):
        Frames(FromHost).feed((FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
    with pytest.raises(PipeError, match="does not fit the pipe"):
        frame_of(Answer(call=1, value=b"x" * (FRAME_BYTES_MAX + 1)))
