"""What was looked up is believed for a while, and not a moment longer once it was changed here (steps 1 and 14)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

KEPT_MAX: Final = 1024

_KeyT = TypeVar("_KeyT")
_FoundT = TypeVar("_FoundT")


class Beliefs(Generic[_KeyT, _FoundT]):
    """Answers of the store by key, kept for ``kept_s`` seconds; lives in one asyncio loop.

    Another process may change what is believed: that counts when the belief ends. What this process changed counts
    for each question that comes after `forget`, also beside questions that were under way.
    """

    def __init__(
        self, kept_s: float, *, kept_max: int = KEPT_MAX, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._kept_s = kept_s
        self._kept_max = kept_max
        self._monotonic = monotonic
        self._known: dict[_KeyT, tuple[float, _FoundT]] = {}
        self.forgotten = 0
        """How often something was changed here: whoever believes on its own looks again when this grows."""

    def __len__(self) -> int:
        return len(self._known)

    async def find(self, key: _KeyT, look_up: Callable[[], Awaitable[_FoundT | None]]) -> _FoundT | None:
        """Return what is believed, or was looked up now; that there is nothing is not kept."""
        now_s = self._monotonic()
        kept = self._known.get(key)
        if kept is not None and now_s < kept[0]:
            return kept[1]
        self._known.pop(key, None)
        forgotten = self.forgotten
        found = await look_up()
        # What was changed meanwhile may have been read as it was before.
        if found is not None and forgotten == self.forgotten:
            if len(self._known) >= self._kept_max:
                self._known.clear()
            self._known[key] = (now_s + self._kept_s, found)
        return found

    def forget(self, changed: Callable[[_FoundT], bool] = lambda _: True) -> None:
        """Look up again what was changed."""
        self.forgotten += 1
        for key in [key for key, (_, found) in self._known.items() if changed(found)]:
            del self._known[key]
