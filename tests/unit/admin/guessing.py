"""Somebody guesses passwords at the page itself: `python -m tests.unit.admin.guessing` does it 10,000 times.

The application is called as a server calls it, with forms of the page; time goes on by a minute meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec

from doai.admin.app import make_app
from doai.admin.login_limit import LoginLimit
from doai.admin.passwords import Passwords
from doai.store.process_writer import open_process_writer
from tests.unit.admin.test_app import services

MINUTE_S = 60.0


class Counting(Passwords):
    """Passwords that count how often one would be hashed, which is what a guess costs; none is right."""

    def __init__(self) -> None:
        super().__init__()
        self.hashed = 0

    async def matches(self, password: str, password_hash: str | None) -> bool:
        self.hashed += 1
        return False


class Spread(LoginLimit):
    """Spreads the tries evenly over one minute."""

    def __init__(self, tries: int) -> None:
        super().__init__()
        self._step_s = MINUTE_S / tries
        self._now_s = 0.0

    def take(self, address: str, name: str, now_s: float) -> float:
        del now_s
        self._now_s += self._step_s
        return super().take(address, name, self._now_s)


class Guessed(NamedTuple):
    """What came of it."""

    answers: Counter[int]
    """Of the guesses, by HTTP status."""
    hashed: int
    """Passwords that were hashed for them."""
    same_name_elsewhere: int
    other_name_there: int
    """The status of one try behind them: 401 is that its password was looked at."""


async def guess(folder: Path, tries: int) -> Guessed:
    """Guess the password of one name from one address within a minute, then let two others try."""
    open_process_writer(folder / "broker.db", new_store_id="S", now_ms=1).close()
    passwords = Counting()
    given = msgspec.structs.replace(services(folder), passwords=passwords, logins=Spread(tries))
    app: Any = make_app(given)

    async def sign_in(address: str, name: str) -> int:
        body = urlencode({"name": name, "password": "a wrong password"}).encode()
        status: list[int] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])

        headers = [(b"content-type", b"application/x-www-form-urlencoded"), (b"host", b"x")]
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http"}
        scope |= {"method": "POST", "path": "/login", "raw_path": b"/login", "root_path": "", "query_string": b""}
        scope |= {"headers": headers, "server": ("x", 80), "client": (address, 1), "state": {}}
        await app(scope, receive, send)
        return status[0]

    answers = Counter([await sign_in("10.0.0.66", "ann") for _ in range(tries)])
    hashed = passwords.hashed
    found = Guessed(answers, hashed, await sign_in("10.0.0.7", "ann"), await sign_in("10.0.0.66", "bob"))
    await given.reader.close()
    return found


if __name__ == "__main__":
    logging.disable()  # a line each
    with tempfile.TemporaryDirectory() as made:
        print(asyncio.run(guess(Path(made), int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)))
