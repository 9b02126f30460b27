"""Any text is an answer, another's, or an error that the driver names; never a crash, never another's output."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.drivers.xiaowei.answers import (
    Answer,
    AnswerError,
    Listing,
    RefusedError,
    StrayError,
    parse_answer,
    read_listing,
    read_output,
    read_said,
    request,
)
from doai.drivers.xiaowei.marked import MarkedError
from tests.unit.drivers.xiaowei.test_marked import MARK, OTHER, outputs, written

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
likely = st.fixed_dictionaries(
    {"code": st.sampled_from([10000, 10001, 0, "10000", None]) | st.integers()},
    optional={"message": st.text() | st.none(), "data": values},
)
READERS: list[Callable[[Answer], object]] = [
    read_listing,
    lambda answer: read_output(answer, MARK),
    lambda answer: read_said(answer, "S1"),
]


def answer(code: int = 10000, data: object = None, message: str = "SUCCESS") -> Answer:
    return parse_answer(json.dumps({"code": code, "message": message, "data": data}))


@pytest.mark.parametrize("read", READERS, ids=["list", "output", "said"])
@given(message=st.one_of(likely.map(json.dumps), values.map(json.dumps), st.text(), st.binary()))
def test_any_message_is_read_or_refused(read: Callable[[Answer], object], message: str | bytes) -> None:
    try:
        read(parse_answer(message))
    except (AnswerError, MarkedError):
        return


@given(outputs, st.sampled_from([10000, 10001, 7]))
def test_our_mark_proves_the_output_whatever_the_code(output: Any, code: int) -> None:
    assert read_output(answer(code, {"127.0.0.1:5555": written(output)}), MARK) == output
    assert read_output(answer(code, written(output)), MARK) == output


@given(outputs)
def test_anothers_output_is_never_ours(output: Any) -> None:
    with pytest.raises(StrayError):
        read_output(answer(data={"S1": written(output, OTHER)}), MARK)
    with pytest.raises(StrayError):
        read_said(answer(data={"S1": written(output, OTHER)}), "S1")


def test_a_claim_without_output_is_no_success() -> None:
    for data in (None, {}, {"S1": None}, {"S1": ""}, ""):
        with pytest.raises(MarkedError, match="claims success"):
            read_output(answer(data=data), MARK)


def test_codes_that_mean_failure_or_nothing() -> None:
    with pytest.raises(RefusedError, match="asleep"):
        read_output(answer(10001, message="asleep"), MARK)
    with pytest.raises(AnswerError, match="31337"):
        read_output(answer(31337), MARK)
    assert read_said(answer(10001, message="asleep"), "S1") == "asleep"


def test_what_is_said_of_another_phone_is_anothers() -> None:
    assert read_said(answer(data={"S1": "1 file pushed\n"}), "S1") == "1 file pushed"
    with pytest.raises(StrayError):
        read_said(answer(data={"S2": "1 file pushed"}), "S1")


def test_the_list_keeps_what_can_be_read() -> None:
    usable = {"serial": "10.0.0.5:5555", "onlySerial": "R5CT", "status": "online", "mode": 1, "sort": 1}
    listing = read_listing(
        answer(
            data=[
                usable,
                {**usable, "onlySerial": "AWAY", "status": "offline"},
                {**usable, "onlySerial": "", "serial": "USB1", "mode": "3"},
                {**usable, "serial": 7},
                None,
                {"serial": ""},
            ]
        )
    )
    assert [phone.key for phone in listing.phones] == ["R5CT", "AWAY", "USB1"]
    assert [bool(phone.unusable_because) for phone in listing.phones] == [False, True, True]
    assert listing.unreadable == 3
    assert read_listing(answer()) == Listing([], 0)
    with pytest.raises(StrayError):
        read_listing(answer(data={"S1": "1 file pushed"}))


def test_a_request_as_the_vendor_writes_it() -> None:
    assert json.loads(request("list")) == {"action": "list"}
    assert json.loads(request("adb_shell", "R5CT", command="true")) == {
        "action": "adb_shell",
        "devices": "R5CT",
        "data": {"command": "true"},
    }
