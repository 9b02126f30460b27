"""What somebody wants to see of devices now: asked for at the admin, brought beside whatever runs (step 8).

The node waits at one address of the admin, which answers with the devices that somebody looks at; for each, it
brings what is there until it is told that nobody looks any more. No slot is taken and no task waits.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import quote

import httpx
import msgspec
import trio

from doai.backoff import Backoff

WAIT_S: Final = 45.0
"""For an answer: the admin holds the question for 20 s."""
PAUSE_S: Final = 1.0
"""After something was not taken, so that a mistake that stays costs little."""
_BACKOFF: Final = Backoff(first_s=1.0, longest_s=30.0)

_log: Final = logging.getLogger(__name__)


class _Wanted(msgspec.Struct):
    serials: list[str]


class _Taken(msgspec.Struct):
    wanted: bool


class Place:
    """One address of the admin, for one device after the other."""

    def __init__(self, client: httpx.AsyncClient, url: str, what: str) -> None:
        self._client = client
        self._url = url
        self._what = what

    async def wanted(self, brought: set[str]) -> list[str] | None:
        """Return the wanted serials; None when the admin does not answer, or has nothing of this."""
        have = ",".join(quote(serial, safe="") for serial in sorted(brought))
        try:
            response = await self._client.get(self._url, params={"have": have} if have else {})
            response.raise_for_status()
            return msgspec.json.decode(response.content, type=_Wanted).serials
        except (httpx.HTTPError, msgspec.MsgspecError) as error:
            _log.debug("the admin tells no %s: %s", self._what, error)
            return None

    async def put(self, serial: str, body: bytes, media_type: str) -> bool:
        """Bring something of a device; returns whether more is wanted, which it is not where it was not taken."""
        try:
            response = await self._client.put(
                f"{self._url}/{quote(serial, safe='')}", content=body, headers={"Content-Type": media_type}
            )
            response.raise_for_status()
            return msgspec.json.decode(response.content, type=_Taken).wanted
        except (httpx.HTTPError, msgspec.MsgspecError) as error:
            _log.warning(
                "what was brought of %s for its %s was not taken: %s",
                serial,
                self._what,
                error,
                extra={"device_serial": serial},
            )
            await trio.sleep(PAUSE_S)
            return False

    async def refuse(self, serial: str, reason: str) -> bool:
        """Say in one sentence why there is nothing; returns whether it is to be tried again."""
        return await self.put(serial, reason.encode(), "text/plain; charset=utf-8")


class Feed(Protocol):
    """One kind of thing that is brought of devices."""

    @property
    def what(self) -> str:
        """The last part of its address at the admin."""
        ...

    async def bring(self, place: Place, serial: str) -> None:
        """Bring it of one device until nobody looks at that any more."""
        ...


class Watching:
    """Waits until somebody looks, and has a feed bring then."""

    def __init__(
        self,
        admin_url: str,
        node_id: str,
        secret: str,
        feed: Feed,
        *,
        tls: ssl.SSLContext | None = None,
        random01: Callable[[], float] = lambda: 0.5,
        at_most: int = 8,
    ) -> None:
        """``at_most`` so many devices at once, whatever the admin wants."""
        self._url = f"{admin_url.rstrip('/')}/api/v1/{feed.what}"
        self._feed = feed
        self._headers = {"X-Node-Id": node_id, "X-Node-Auth": secret}
        self._tls = tls or True
        self._random01 = random01
        self._at_most = at_most
        self._brought: set[str] = set()
        self._asking = trio.CancelScope()

    async def run(self) -> None:
        """Wait for somebody who looks, for ever."""
        failures = 0
        # trust_env: a proxy of the host must not see the node's secret.
        async with (
            httpx.AsyncClient(verify=self._tls, timeout=WAIT_S, trust_env=False, headers=self._headers) as client,
            trio.open_nursery() as nursery,
        ):
            place = Place(client, self._url, self._feed.what)
            while True:
                wanted: list[str] | None = []
                with trio.CancelScope() as self._asking:
                    wanted = await place.wanted(self._brought)
                if wanted is None:
                    failures += 1
                    await trio.sleep(_BACKOFF.delay_s(failures, self._random01()))
                    continue
                failures = 0
                for serial in wanted:
                    if serial not in self._brought and len(self._brought) < self._at_most:
                        self._brought.add(serial)
                        nursery.start_soon(self._bring_until, place, serial)
                if not self._brought.issuperset(wanted):
                    await trio.sleep(PAUSE_S)  # more than may be: it would be asked in vain at once

    async def _bring_until(self, place: Place, serial: str) -> None:
        _log.info("somebody looks at the %s of %s", self._feed.what, serial, extra={"device_serial": serial})
        try:
            await self._feed.bring(place, serial)
        finally:
            self._brought.discard(serial)
            self._asking.cancel()  # the question that waits says that this one is brought
