"""One table says who may do what: it is whole, roles grow, and what can not be undone is asked for."""

from __future__ import annotations

import itertools

import pytest

from doai.admin.authorisation import DISCARD, ROLES, TABLE, Answer, decide, least_role
from doai.broker.core import people


@pytest.mark.parametrize("action", TABLE)
def test_every_action_has_an_answer_for_every_role_and_a_greater_role_may_no_less(action: str) -> None:
    assert tuple(TABLE[action]) == ROLES == people.ROLES
    denied = [TABLE[action][role] is Answer.DENY for role in ROLES]
    assert all(before or not after for before, after in itertools.pairwise(denied))
    assert decide(action, "admin") is not Answer.DENY


def test_nothing_that_is_unknown_is_allowed() -> None:
    assert decide("fly", "admin") is Answer.DENY
    assert decide("viewer", "king") is Answer.DENY


def test_what_throws_away_is_asked_for() -> None:
    assert {decide(DISCARD, role) for role in ROLES} == {Answer.DENY, Answer.APPROVAL}
    assert least_role(DISCARD) == "operator"
