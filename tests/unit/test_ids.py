"""Ids sort by time, addresses and names are strict."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.errors import ProtocolError
from doai.ids import Address, RandomIds, Token, is_id, is_name, is_serial, make_id, parse_address

times = st.integers(0, 2**48 - 1)
bits = st.integers(0, 2**80 - 1)


@given(times, bits, times, bits)
def test_ids_sort_by_time_then_by_randomness(t1: int, r1: int, t2: int, r2: int) -> None:
    one, other = make_id(t1, r1), make_id(t2, r2)
    assert is_id(one)
    assert (one < other) == ((t1, r1) < (t2, r2))


def test_random_ids_have_the_forms() -> None:
    ids = RandomIds(lambda n: 0)
    assert ids.new_id(0) == "0" * 26
    assert ids.new_trace_id() == "0" * 31 + "1", "all zero is no trace id"


def test_ids_of_one_millisecond_count_up_and_never_come_twice() -> None:
    drawn = iter([(1 << 80) - 2, 5, 9, 7])
    ids = RandomIds(lambda n: next(drawn))
    made = [ids.new_id(8), ids.new_id(8), ids.new_id(8), ids.new_id(9), ids.new_id(9), ids.new_id(8)]
    assert made == [
        make_id(8, (1 << 80) - 2),
        make_id(8, (1 << 80) - 1),
        make_id(8, 5),  # the counted bits were used up
        make_id(9, 9),
        make_id(9, 10),
        make_id(8, 7),  # the clock went back
    ]
    assert all(is_id(each) for each in made)


@given(times, bits)
def test_ids_of_one_millisecond_are_the_numbers_that_follow_one_another(utc_ms: int, first: int) -> None:
    first &= ~(1 << 39)  # the counted bits are not used up meanwhile
    ids = RandomIds(lambda n: first)
    made = [ids.new_id(utc_ms) for _ in range(1_030)]
    assert made[0] == make_id(utc_ms, first)
    assert made[1_023:] == [make_id(utc_ms, first + n) for n in range(1_023, 1_030)]


def test_tokens_are_ordered_by_generation_first() -> None:
    assert Token(1, 99) < Token(2, 1) < Token(2, 2)
    assert str(Token(2, 7)) == "2.7"


def test_addresses() -> None:
    assert parse_address("node-1/main") == Address("node-1", "main")
    for bad in ("node-1", "/main", "node/", "Node/main", "../x/y", "a/b/c", "", "n" * 64 + "/x"):
        with pytest.raises(ProtocolError):
            parse_address(bad)


@given(st.text())
def test_what_may_become_a_path_part_never_leaves_its_folder(text: str) -> None:
    if is_name(text) or is_serial(text):
        assert "/" not in text
        assert not text.startswith(".")
        assert "\0" not in text
        assert text == text.strip()
