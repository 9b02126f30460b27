"""Guesses at the page of signing in are slowed before a password is hashed, and lock nobody else out."""

from __future__ import annotations

import asyncio
from pathlib import Path

from doai.admin.login_limit import NAME_TRIES, NAME_TRY_S
from tests.unit.admin.guessing import MINUTE_S, guess

TRIES = 60
"""`python -m tests.unit.admin.guessing` makes 10,000."""


def test_who_guesses_is_slowed_and_others_come_in(tmp_path: Path) -> None:
    found = asyncio.run(guess(tmp_path, TRIES))
    assert found.hashed == found.answers[401] <= NAME_TRIES + MINUTE_S / NAME_TRY_S
    assert found.answers[429] == TRIES - found.hashed
    assert (found.same_name_elsewhere, found.other_name_there) == (401, 401)
