"""Plays whoever looks at devices: a loop for what the admin does while somebody looks, and a clock that is set."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

LONG_S = 60.0
"""Longer than any of these tests waits."""


def run(scenario: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner() as runner:
        runner.run(scenario)


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.asked = 0

    def __call__(self) -> float:
        self.asked += 1
        return self.now_s
