"""Who looks at which devices now, and the nodes that wait to be told of it; nothing outlives it (step 14).

A viewer's question is a lease of some seconds; while it lives, the node of the device is told to bring what is
looked at. When nobody asks any more the node is told to end, and what it brought is gone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from doai.errors import DoaiError

LEASE_S: Final = 6.0
"""So long after the last question things are brought: a page asks once a second, over a slow line less often."""
WATCHED_MAX: Final = 32
"""Devices of a whole fleet at once; each costs some 100 KB a second of a line."""
WATCHED_PER_NODE_MAX: Final = 4
"""A picture is some 100 ms of a host's processor and of the phone's."""

_T = TypeVar("_T")


class TooManyLook(DoaiError):
    """As many devices are looked at as may be."""

    code = "busy"


class _Lease(Generic[_T]):
    def __init__(self, node_id: str, content: _T) -> None:
        self.node_id = node_id
        self.content = content
        self.until_s: dict[str, float] = {}
        """Of each person or program that looks."""


class Looking(Generic[_T]):
    """What is looked at of devices, with what was brought of each; lives in one asyncio loop."""

    def __init__(self, what: str, make: Callable[[], _T], monotonic: Callable[[], float] = time.monotonic) -> None:
        """``what`` for sentences, e.g. screens; ``make`` returns what is kept of a device before anything came."""
        self._what = what
        self._make = make
        self._monotonic = monotonic
        self._leases: dict[str, _Lease[_T]] = {}
        self._news = asyncio.Condition()
        """What was brought, for those who look."""
        self._wishes = asyncio.Condition()
        """What is to be brought, for the nodes: all of them wait here, so nothing else wakes them."""
        self.closed = False

    async def look(self, serial: str, node_id: str, actor: str) -> bool:
        """Begin or renew a lease; returns whether this actor did not look until now. Raises TooManyLook."""
        self._forget()
        lease = self._leases.get(serial)
        is_new = lease is None or lease.node_id != node_id
        if lease is None or is_new:
            others = [other.node_id for name, other in self._leases.items() if name != serial]
            of_node = others.count(node_id)
            if len(others) >= WATCHED_MAX or of_node >= WATCHED_PER_NODE_MAX:
                raise TooManyLook(
                    f"{of_node} {self._what} of node {node_id} and {len(others)} in all are looked at "
                    f"already: at most {WATCHED_PER_NODE_MAX} and {WATCHED_MAX} at once, close one"
                )
            lease = self._leases[serial] = _Lease(node_id, self._make())
        now_s = self._monotonic()
        is_new_actor = lease.until_s.get(actor, now_s) <= now_s
        lease.until_s[actor] = now_s + LEASE_S
        if is_new:
            await _wake(self._wishes)
        return is_new_actor

    def content(self, serial: str) -> _T | None:
        """Return what was brought of a device; None = nobody looks at it any more."""
        lease = self._leases.get(serial)
        return lease.content if lease is not None else None

    def asked(self, node_id: str, serial: str) -> _T | None:
        """Return where a node puts what it brings of a device; None = nobody looks at it there."""
        self._forget()
        lease = self._leases.get(serial)
        return lease.content if lease is not None and lease.node_id == node_id else None

    async def wanted(self, node_id: str, have: frozenset[str], *, wait_s: float) -> list[str]:
        """Return the devices of a node that are looked at, as soon as there is one that it does not bring."""
        await self._wait(self._wishes, lambda: bool(set(self._of(node_id)) - have), wait_s)
        return self._of(node_id)

    async def until(self, is_so: Callable[[], bool], wait_s: float) -> None:
        """Wait until what was brought makes something so, nobody waits any more, or the time is over."""
        await self._wait(self._news, is_so, wait_s)

    async def tell(self) -> None:
        """Something was brought: have those who look for it see."""
        await _wake(self._news)

    async def close(self) -> None:
        """End all waiting, for a stop of the program."""
        self.closed = True
        await _wake(self._wishes)
        await _wake(self._news)

    async def _wait(self, condition: asyncio.Condition, is_so: Callable[[], bool], wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s), condition:
                await condition.wait_for(lambda: self.closed or is_so())
        except TimeoutError:
            return

    def _of(self, node_id: str) -> list[str]:
        self._forget()
        return [serial for serial, lease in self._leases.items() if lease.node_id == node_id]

    def _forget(self) -> None:
        now_s = self._monotonic()
        for serial, lease in list(self._leases.items()):
            if max(lease.until_s.values(), default=now_s) <= now_s:
                del self._leases[serial]


async def _wake(condition: asyncio.Condition) -> None:
    async with condition:
        condition.notify_all()
