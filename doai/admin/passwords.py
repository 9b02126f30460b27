"""Passwords: hashed with Argon2id before they leave this process, checked one at a time (steps 1 and 2)."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from doai.errors import UserError

MEMORY_KIB: Final = 19 * 1024
ITERATIONS: Final = 2
LANES: Final = 1
"""The first of the settings that OWASP's cheat sheet of password storage gives for Argon2id; some 50 ms."""
CHARACTERS_MIN: Final = 10
CHARACTERS_MAX: Final = 200
"""More is no safer, and hashing it would cost."""
_WORDLIKE: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without letters that look alike: a password is read from a terminal once."""


def make_password() -> str:
    """Return a random password of 80 bits that people can type."""
    letters = [secrets.choice(_WORDLIKE) for _ in range(16)]
    return "-".join("".join(letters[n : n + 4]) for n in range(0, 16, 4))


def check_new(password: str) -> None:
    """Raise UserError for a password that nobody should have."""
    if not CHARACTERS_MIN <= len(password) <= CHARACTERS_MAX:
        raise UserError(
            f"a password has {CHARACTERS_MIN} to {CHARACTERS_MAX} characters: choose another", code="bad_password"
        )
    if len(set(password)) < CHARACTERS_MIN // 2:
        raise UserError("the password repeats few characters: choose another", code="bad_password")


class Passwords:
    """Hashes and checks in a thread, one at a time: many who try at once wait, and take one core at most."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._nobody = _hash(secrets.token_hex(16))

    async def hash(self, password: str) -> str:
        """Return the hash of a new password in the PHC format; raises UserError for a bad one."""
        check_new(password)
        async with self._turn:
            return await asyncio.to_thread(_hash, password)

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the password; None = there is no such user, which takes as long."""
        if len(password) > CHARACTERS_MAX:
            return False
        async with self._turn:
            same = await asyncio.to_thread(_matches, password, password_hash or self._nobody)
        return same and bool(password_hash)


def _hash(password: str) -> str:
    kdf = Argon2id(
        salt=secrets.token_bytes(16), length=32, iterations=ITERATIONS, lanes=LANES, memory_cost=MEMORY_KIB
    )
    return kdf.derive_phc_encoded(password.encode("utf-8", "surrogatepass"))


def _matches(password: str, password_hash: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(password.encode("utf-8", "surrogatepass"), password_hash)
    except (InvalidKey, ValueError):
        return False
    return True
