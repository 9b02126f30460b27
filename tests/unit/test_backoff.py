"""Delays grow to their bound and spread out."""

from hypothesis import given
from hypothesis import strategies as st

from doai.backoff import Backoff


def test_exponential_until_the_longest() -> None:
    backoff = Backoff(first_s=2, factor=2, longest_s=30, jitter=False)
    assert [backoff.delay_s(n, 0.5) for n in range(1, 7)] == [2, 4, 8, 16, 30, 30]


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_full_jitter_stays_below_the_bound(n: int, random01: float) -> None:
    backoff = Backoff(first_s=2, factor=2, longest_s=30)
    assert 0 <= backoff.delay_s(n, random01) <= 30
