"""Passwords are hashed with a salt and a cost, and those that nobody should have are refused."""

from __future__ import annotations

import asyncio

import pytest

from doai.admin.passwords import CHARACTERS_MAX, Passwords, check_new, make_password
from doai.errors import UserError


def test_the_right_password_matches_and_nothing_else() -> None:
    async def scenario() -> None:
        passwords = Passwords()
        first, second = await passwords.hash("비밀번호-열자리-이상"), await passwords.hash("비밀번호-열자리-이상")
        assert first != second, "each has its own salt"
        assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert await passwords.matches("비밀번호-열자리-이상", first)
        for wrong in ("비밀번호-열자리-이하", "", "x" * (CHARACTERS_MAX + 1), "\udcff"):
            assert not await passwords.matches(wrong, first)
        assert not await passwords.matches("whatever-it-is", None)
        assert not await passwords.matches("whatever-it-is", "not a hash")

    asyncio.run(scenario())


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaa", "x" * (CHARACTERS_MAX + 1)])
def test_a_bad_password_is_refused(password: str) -> None:
    with pytest.raises(UserError, match="choose another"):
        check_new(password)


def test_passwords_that_are_made_are_good_ones() -> None:
    made = {make_password() for _ in range(50)}
    assert len(made) == 50
    for password in made:
        check_new(password)
