"""Tokens and node secrets, over a reader that is only asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from doai.admin.access import TOKEN_KEPT_S, NotAuthenticated, Tokens, check_node, sha256_hex
from doai.changes.rows import KeyRow, TokenRow


class Reader:
    """A store's reader as far as access asks it; counts its questions."""

    def __init__(self) -> None:
        self.asked = 0
        self.tokens: dict[str, TokenRow] = {}
        self.keys: dict[str, KeyRow] = {}

    async def token(self, token_sha256: str) -> TokenRow | None:
        self.asked += 1
        return self.tokens.get(token_sha256)

    async def key(self, name: str) -> KeyRow | None:
        return self.keys.get(name)

    def add(self, token: str, revoked_at_ms: int | None = None) -> None:
        digest = sha256_hex(token)
        self.tokens[digest] = TokenRow(
            name="t",
            token_sha256=digest,
            role="viewer",
            created_at_ms=0,
            created_by="x",
            revoked_at_ms=revoked_at_ms,
        )


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_token_is_looked_up_once_in_two_seconds_and_stops_when_revoked() -> None:
    reader: Any = Reader()
    clock = Clock()
    tokens = Tokens(reader, clock)

    async def scenario() -> None:
        reader.add("a")
        assert await tokens.find("a")
        reader.add("a", revoked_at_ms=1)
        clock.now_s = TOKEN_KEPT_S - 0.1
        assert await tokens.find("a")
        assert reader.asked == 1
        clock.now_s = TOKEN_KEPT_S
        assert await tokens.find("a") is None
        assert await tokens.find("a") is None, "what is refused is not remembered"
        assert reader.asked == 3

    asyncio.run(scenario())


def test_a_token_that_was_changed_here_is_looked_up_again_at_once() -> None:
    reader: Any = Reader()
    tokens = Tokens(reader, Clock())

    async def scenario() -> None:
        reader.add("a")
        assert await tokens.find("a")
        reader.add("a", revoked_at_ms=1)
        tokens.forget("another")
        assert await tokens.find("a"), "no other token has changed"
        tokens.forget("t")
        assert await tokens.find("a") is None

    asyncio.run(scenario())


def key(**more: Any) -> KeyRow:
    fields: dict[str, Any] = {"name": "node-1", "role": "node", "public_key": "", "created_by": "x"}
    return KeyRow(**{**fields, "secret_sha256": sha256_hex("s"), "created_at_ms": 0, **more})


def test_the_right_secret_of_a_live_node() -> None:
    reader: Any = Reader()
    reader.keys["node-1"] = key()
    assert asyncio.run(check_node(reader, "node-1", "s")).name == "node-1"


@pytest.mark.parametrize(
    ("row", "secret"),
    [
        (key(), "wrong"),
        (key(), ""),
        (key(revoked_at_ms=1), "s"),
        (key(role="bot"), "s"),
        (key(secret_sha256=""), ""),
        (key(secret_sha256=""), "s"),
        (None, "s"),
    ],
)
def test_anything_else_is_refused_alike(row: KeyRow | None, secret: str) -> None:
    reader: Any = Reader()
    if row is not None:
        reader.keys["node-1"] = row
    with pytest.raises(NotAuthenticated, match="not those of a node with a live key"):
        asyncio.run(check_node(reader, "node-1", secret))
