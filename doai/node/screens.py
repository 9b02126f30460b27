"""Pictures of screens while somebody looks: asked for by the admin, taken beside whatever runs (step 8).

Where the node waits and who is told when is in doai.node.watching: a picture is one more stream of ADB.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import Final

import trio

from doai.drivers.base import Driver
from doai.errors import StepError
from doai.node.watching import Place

PERIOD_S: Final = 0.7
"""From the beginning of one picture to that of the next: at most three in two seconds."""
CAPTURE_S: Final = 10.0
"""A phone that takes longer for a picture hangs."""
HEIGHT_MAX: Final = 960
"""Of the picture as it is sent, in pixels: text is readable, and it has some 60 KB."""
QUALITY: Final = 70

_log: Final = logging.getLogger(__name__)


class ScreenFeed:
    """Brings pictures of screens."""

    what: Final = "screens"

    def __init__(self, driver_of: Callable[[str], Driver], *, period_s: float = PERIOD_S) -> None:
        """``driver_of`` returns the driver that has a device now, or raises StepError."""
        self._driver_of = driver_of
        self._period_s = period_s
        self._threads = trio.CapacityLimiter(1)

    async def bring(self, place: Place, serial: str) -> None:
        """Bring them of one device for as long as the admin wants them."""
        while True:
            begun_s = trio.current_time()
            if not await self._bring_one(place, serial):
                return
            await trio.sleep_until(begun_s + self._period_s)

    async def _bring_one(self, place: Place, serial: str) -> bool:
        """Take one picture and send it; returns whether another is wanted."""
        try:
            with trio.fail_after(CAPTURE_S):
                png = await self._driver_of(serial).device(serial).screenshot()
            picture = await trio.to_thread.run_sync(smaller, png, limiter=self._threads)
        except StepError as error:
            return await place.refuse(serial, error.failure.message)
        except (trio.TooSlowError, OSError) as error:
            return await place.refuse(
                serial, str(error) or f"device {serial} took longer than {CAPTURE_S:.0f} s for a picture"
            )
        except Exception as error:  # a driver may be a plug-in's, a picture anything: that costs this picture alone
            kind = type(error).__name__
            _log.error(
                "taking a picture of %s raised %s", serial, kind, exc_info=error, extra={"device_serial": serial}
            )
            return await place.refuse(
                serial, f"Taking a picture of device {serial} raised {kind}: see the node's log."
            )
        return await place.put(serial, picture, "image/jpeg")


def smaller(png: bytes) -> bytes:
    """Return a picture as a JPEG of at most 960 pixels; raises OSError for what is no picture."""
    from PIL import Image  # a node at whose screens nobody looks does without it

    with Image.open(io.BytesIO(png)) as picture:
        shown = picture.convert("RGB")
    shown.thumbnail((HEIGHT_MAX, HEIGHT_MAX))
    out = io.BytesIO()
    shown.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
