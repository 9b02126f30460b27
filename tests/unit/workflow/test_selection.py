"""Selectors and requirements against devices."""

import pytest

from doai.messages.commands import Selector
from doai.workflow.language import Requires
from doai.workflow.selection import (
    DeviceFacts,
    SelectorError,
    check_selector,
    matches,
    parse_sdk,
    unmet_requirement,
    why_none_matches,
)

PHONE = DeviceFacts(serial="S1", node_id="lab-1", model="Pixel 7", sdk=33, tags=["lab", "fast"])


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (Selector(), True),
        (Selector(tags=["lab"]), True),
        (Selector(tags=["lab", "slow"]), False),
        (Selector(models=["Pixel 7", "Pixel 8"]), True),
        (Selector(models=["Pixel 8"]), False),
        (Selector(nodes=["lab-2"]), False),
        (Selector(nodes=["lab-1"]), True),
        (Selector(sdk=">=28,<34"), True),
        (Selector(sdk="33"), True),
        (Selector(sdk="!=33"), False),
        (Selector(sdk=" > 33 "), False),
    ],
)
def test_all_conditions_hold(selector: Selector, expected: bool) -> None:
    check_selector(selector)
    assert matches(selector, PHONE) is expected


def test_the_reason_is_a_sentence() -> None:
    old = DeviceFacts(serial="S2", sdk=27)
    assert unmet_requirement(Requires(sdk=">=28"), old) == "sdk 27 does not satisfy >=28"
    assert unmet_requirement(Requires(tags=["lab"]), old) == "the tag lab is missing"
    assert unmet_requirement(Requires(models=["A", "B"]), old) == "model unknown is none of A, B"
    assert unmet_requirement(Requires(sdk=">=28", tags=["lab"]), PHONE) is None


def test_an_unknown_sdk_satisfies_nothing() -> None:
    assert unmet_requirement(Requires(sdk="<99"), DeviceFacts(serial="S3")) == "sdk unknown does not satisfy <99"


@pytest.mark.parametrize("text", ["", ">=", "28+", ">=28;<3", "x", ">=28,", "1234", "28\n29"])
def test_a_bad_comparison_is_said(text: str) -> None:
    with pytest.raises(SelectorError, match="write such as >=28"):
        parse_sdk(text)
    with pytest.raises(SelectorError):
        check_selector(Selector(sdk=text))


@pytest.mark.parametrize(
    ("selector", "sentence"),
    [
        (Selector(tags=["lap"]), "none of the 2 known devices has the tag 'lap': did you mean 'lab'?"),
        (Selector(nodes=["x"]), "none of the 2 known devices has the node 'x': known: lab-1, shelf"),
        (Selector(models=["x", "y"]), "none of the 2 known devices has the model 'x': they have none at all"),
        (Selector(sdk=">=40"), "none of the 2 known devices has an sdk >=40: theirs are 27, 33"),
        (
            Selector(nodes=["shelf"], tags=["lab"]),
            "each condition matches some of the 2 known devices and none matches all: leave one out",
        ),
    ],
)
def test_it_is_said_why_no_device_matches(selector: Selector, sentence: str) -> None:
    devices = [
        DeviceFacts(serial="S1", node_id="lab-1", sdk=33, tags=["lab"]),
        DeviceFacts(serial="S2", node_id="shelf", sdk=27),
    ]
    assert not any(matches(selector, facts) for facts in devices)
    assert why_none_matches(selector, devices) == sentence
