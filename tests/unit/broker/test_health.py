"""What counts against a device or a node, and how much of it is too much."""

from __future__ import annotations

import pytest

from doai.broker.core.health import Blame, Health, blame, term_s
from doai.errors import NODE_RESTARTED, ErrorClass
from doai.limits import QUARANTINE_MAX_S
from doai.states import Outcome
from tests.unit.broker.harness import failure


@pytest.mark.parametrize(
    ("error_class", "found"),
    [
        (ErrorClass.DEVICE, Blame.DEVICE),
        (ErrorClass.INFRASTRUCTURE, Blame.NODE),
        (ErrorClass.APP, Blame.WORKED),
        (ErrorClass.RATE_LIMIT, Blame.WORKED),
        (ErrorClass.AUTH, Blame.WORKED),
        (ErrorClass.USER, Blame.NOTHING),
        (ErrorClass.TIMEOUT, Blame.NOTHING),
        (ErrorClass.CANCELLED, Blame.NOTHING),
        (ErrorClass.UNKNOWN, Blame.NOTHING),
    ],
)
def test_only_what_the_recipe_had_no_part_in_counts(error_class: ErrorClass, found: Blame) -> None:
    assert blame(Outcome.FAILED, failure(error_class)) is found


def test_how_an_attempt_ended_decides_before_its_class() -> None:
    assert blame(Outcome.PASSED, None) is Blame.WORKED
    assert blame(Outcome.FAILED, None) is Blame.NOTHING
    assert blame(None, failure(ErrorClass.DEVICE)) is Blame.NOTHING
    assert blame(Outcome.CANCELLED, failure(ErrorClass.DEVICE)) is Blame.NOTHING
    assert blame(Outcome.EXPIRED, failure(ErrorClass.DEVICE)) is Blame.NOTHING
    assert blame(Outcome.UNKNOWN, failure(ErrorClass.UNKNOWN, NODE_RESTARTED)) is Blame.NODE


def _told(marks: str, every_s: float = 1.0) -> str:
    """The verdict after these attempts (``x`` failed, ``.`` worked), one every so many seconds."""
    health, now_s = Health(), 0.0
    for mark in marks:
        now_s += every_s
        if mark == "x":
            health.failed(now_s)
        else:
            health.worked(now_s)
    return health.verdict(now_s, 5)


def test_five_in_a_row_however_rare() -> None:
    assert _told("xxxx") == ""
    assert _told("xxxxx", 3600.0) == "5 failures in a row"
    assert _told(".......xxxxx") == "5 failures in a row"
    assert _told("xxxx.xxxx", 200.0) == ""


def test_five_of_ten_within_ten_minutes() -> None:
    assert _told("x.x.x.x.x") == "5 of 9 attempts failed within 10 min"
    assert _told("x.x.x.x.x", 80.0) == ""
    assert _told("x..x..x..x..x") == ""


def test_failures_of_one_burst_are_one() -> None:
    health = Health()
    for now_s in range(0, 60, 3):
        health.failed(float(now_s), 10.0)
    assert health.verdict(57.0, 5) == "5 failures in a row"
    health.clear()
    for _ in range(20):
        health.failed(100.0, 10.0)
    assert health.verdict(100.0, 2) == ""


def test_terms_double_up_to_the_longest() -> None:
    assert [term_s(count) for count in (1, 2, 3)] == [60.0, 120.0, 240.0]
    assert term_s(50) == term_s(10_000) == QUARANTINE_MAX_S
