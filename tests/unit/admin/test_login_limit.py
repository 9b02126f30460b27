"""Who guesses passwords is slowed, and locks nobody else out."""

from __future__ import annotations

from doai.admin.login_limit import ADDRESS_TRIES, BUCKETS_MAX, NAME_TRIES, NAME_TRY_S, LoginLimit


def test_a_name_from_one_address_has_some_tries_and_then_one_at_a_time() -> None:
    limit = LoginLimit()
    assert [limit.take("a", "ann", 0.0) for _ in range(int(NAME_TRIES))] == [0.0] * int(NAME_TRIES)
    assert limit.take("a", "ann", 0.0) == NAME_TRY_S
    assert limit.take("a", "ann", NAME_TRY_S) == 0.0
    assert limit.take("a", "ann", NAME_TRY_S) > 0


def test_ten_thousand_wrong_tries_close_nobody_elses_door() -> None:
    limit = LoginLimit()
    through = sum(limit.take("a", "ann", n * 0.006) == 0.0 for n in range(10_000))
    assert through <= NAME_TRIES + 60 / NAME_TRY_S + 1
    assert limit.take("b", "ann", 60.0) == 0.0, "the same name from elsewhere"
    assert limit.take("a", "bob", 60.0) == 0.0, "another name from there"


def test_many_names_from_one_address_are_slowed_together() -> None:
    limit = LoginLimit()
    assert sum(limit.take("a", f"n{n}", 0.0) == 0.0 for n in range(100)) == ADDRESS_TRIES
    assert limit.take("b", "n1", 0.0) == 0.0


def test_a_right_password_counts_for_nothing() -> None:
    limit = LoginLimit()
    for _ in range(100):
        assert limit.take("a", "ann", 0.0) == 0.0
        limit.give_back("a", "ann")


def test_what_is_remembered_is_bounded() -> None:
    limit = LoginLimit()
    for n in range(BUCKETS_MAX * 2):
        limit.take(str(n), "x", 0.0)
    assert len(limit._buckets) <= BUCKETS_MAX + 2
