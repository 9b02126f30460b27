"""Pictures of screens while somebody looks: asked for by the admin, taken beside whatever runs (step 8).

The node waits at ``GET {admin_url}/api/v1/screens`` and brings pictures of what is named there until it is told
that nobody looks any more. No slot is taken and no task waits: a picture is one more stream of ADB.
"""

from __future__ import annotations

import io
import logging
import ssl
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import httpx
import msgspec
import trio

from doai.backoff import Backoff
from doai.drivers.base import Driver
from doai.errors import StepError

PERIOD_S: Final = 0.7
"""From the beginning of one picture to that of the next: at most three in two seconds."""
CAPTURE_S: Final = 10.0
"""A phone that takes longer for a picture hangs."""
HEIGHT_MAX: Final = 960
"""Of the picture as it is sent, in pixels: text is readable, and it has some 60 KB."""
QUALITY: Final = 70
WAIT_S: Final = 45.0
"""For an answer: the admin holds the question for 20 s."""
_BACKOFF: Final = Backoff(first_s=1.0, longest_s=30.0)

_log: Final = logging.getLogger(__name__)


class _Wanted(msgspec.Struct):
    serials: list[str]


class _Taken(msgspec.Struct):
    wanted: bool


class ScreenFeed:
    """Brings pictures to the admin for as long as it wants them."""

    def __init__(
        self,
        admin_url: str,
        node_id: str,
        secret: str,
        driver_of: Callable[[str], Driver],
        *,
        tls: ssl.SSLContext | None = None,
        period_s: float = PERIOD_S,
        random01: Callable[[], float] = lambda: 0.5,
    ) -> None:
        """``driver_of`` returns the driver that has a device now, or raises StepError."""
        self._url = f"{admin_url.rstrip('/')}/api/v1/screens"
        self._headers = {"X-Node-Id": node_id, "X-Node-Auth": secret}
        self._driver_of = driver_of
        self._tls = tls or True
        self._period_s = period_s
        self._random01 = random01
        self._brought: set[str] = set()
        self._asking = trio.CancelScope()
        self._threads = trio.CapacityLimiter(1)

    async def run(self) -> None:
        """Wait for somebody who looks, for ever."""
        failures = 0
        # trust_env: a proxy of the host must not see the node's secret.
        async with (
            httpx.AsyncClient(verify=self._tls, timeout=WAIT_S, trust_env=False, headers=self._headers) as client,
            trio.open_nursery() as nursery,
        ):
            while True:
                wanted: list[str] | None = []
                with trio.CancelScope() as self._asking:
                    wanted = await self._ask(client)
                if wanted is None:
                    failures += 1
                    await trio.sleep(_BACKOFF.delay_s(failures, self._random01()))
                    continue
                failures = 0
                for serial in wanted:
                    if serial not in self._brought:
                        self._brought.add(serial)
                        nursery.start_soon(self._bring, client, serial)

    async def _ask(self, client: httpx.AsyncClient) -> list[str] | None:
        """Return the wanted serials; None when the admin does not answer, or has nothing of this."""
        have = ",".join(quote(serial, safe="") for serial in sorted(self._brought))
        try:
            response = await client.get(self._url, params={"have": have} if have else {})
            response.raise_for_status()
            return msgspec.json.decode(response.content, type=_Wanted).serials
        except (httpx.HTTPError, msgspec.MsgspecError) as error:
            _log.debug("the admin tells no screens: %s", error)
            return None

    async def _bring(self, client: httpx.AsyncClient, serial: str) -> None:
        _log.info("somebody looks at the screen of %s", serial, extra={"device_serial": serial})
        try:
            while True:
                begun_s = trio.current_time()
                if not await self._bring_one(client, serial):
                    return
                await trio.sleep_until(begun_s + self._period_s)
        finally:
            self._brought.discard(serial)
            self._asking.cancel()  # the question that waits says that this one is brought

    async def _bring_one(self, client: httpx.AsyncClient, serial: str) -> bool:
        """Take one picture and send it; returns whether another is wanted."""
        try:
            with trio.fail_after(CAPTURE_S):
                png = await self._driver_of(serial).device(serial).screenshot()
            body, media_type = await trio.to_thread.run_sync(smaller, png, limiter=self._threads), "image/jpeg"
        except StepError as error:
            body, media_type = error.failure.message.encode(), "text/plain; charset=utf-8"
        except (trio.TooSlowError, OSError) as error:
            why = str(error) or f"device {serial} took longer than {CAPTURE_S:.0f} s for a picture"
            body, media_type = why.encode(), "text/plain; charset=utf-8"
        except Exception as error:  # a driver may be a plug-in's, a picture anything: that costs this picture alone
            kind = type(error).__name__
            _log.error(
                "taking a picture of %s raised %s", serial, kind, exc_info=error, extra={"device_serial": serial}
            )
            why = f"Taking a picture of device {serial} raised {kind}: see the node's log."
            body, media_type = why.encode(), "text/plain; charset=utf-8"
        try:
            response = await client.put(
                f"{self._url}/{quote(serial, safe='')}", content=body, headers={"Content-Type": media_type}
            )
            response.raise_for_status()
            return msgspec.json.decode(response.content, type=_Taken).wanted
        except (httpx.HTTPError, msgspec.MsgspecError) as error:
            _log.warning("the picture of %s was not taken: %s", serial, error, extra={"device_serial": serial})
            return False


def smaller(png: bytes) -> bytes:
    """Return a picture as a JPEG of at most 960 pixels; raises OSError for what is no picture."""
    from PIL import Image  # a node at whose screens nobody looks does without it

    with Image.open(io.BytesIO(png)) as picture:
        shown = picture.convert("RGB")
    shown.thumbnail((HEIGHT_MAX, HEIGHT_MAX))
    out = io.BytesIO()
    shown.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
