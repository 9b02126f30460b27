"""Percentiles within 1.6 %, of any mixture, also of merged parts and after storing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai import histogram
from doai.histogram import Histogram, Tally

VALUES = st.lists(st.floats(0, 1e7), min_size=1, max_size=200)


@given(VALUES, VALUES, st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]))
def test_percentiles_of_merged_parts_are_those_of_all_values(
    first: list[float], second: list[float], share: float
) -> None:
    parts = []
    for values in (first, second):
        part = Histogram()
        for value in values:
            part.add(value)
        parts.append(Histogram.decoded(part.encoded()))
    whole, other = parts
    whole.merge(other)
    ordered = sorted(first + second)
    exact = ordered[max(1, math.ceil(share * len(ordered))) - 1]
    told = whole.percentile_s(share)
    assert whole.count == len(ordered)
    assert told is not None
    assert abs(told - exact) <= 0.001 if exact < 0.001 else abs(told / exact - 1) < 0.016


@given(st.lists(st.integers(-5, 10**7), max_size=50))
def test_a_tally_is_the_histogram_of_its_values(values_ms: list[int]) -> None:
    tally, plain = Tally(), Histogram()
    for value_ms in values_ms:
        tally.add(value_ms)
        plain.add(max(0, value_ms) / 1000)
    assert tally.histogram().encoded() == plain.encoded()
    assert tally.histogram().count == len(values_ms)


def test_a_tally_of_many_different_values_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histogram, "_DIFFERENT_MAX", 10)
    tally = Tally()
    for value_ms in range(1000):
        tally.add(value_ms)
        assert len(tally._times) <= 10
    assert tally.histogram().count == 1000


def test_without_values_there_is_no_percentile() -> None:
    assert Histogram().percentile_s(0.5) is None
