"""Percentiles within 1.6 %, of any mixture, also of merged parts and after storing."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from doai.histogram import Histogram

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


def test_without_values_there_is_no_percentile() -> None:
    assert Histogram().percentile_s(0.5) is None
