"""Reads how a device is, beside whatever runs on it, and tells also that it did not answer (step 14).

Only what changes nothing on the phone is asked: reports of its services and files of its kernel. No slot and no
lock is taken; the driver serves several calls for one phone at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import msgspec
import trio

from doai.clock import Clock
from doai.drivers.base import Driver
from doai.errors import StepError
from doai.limits import SAMPLE_TIMEOUT_S
from doai.messages.samples import DeviceHealth
from doai.node.steps.health import read_health

TAG: Final = "sample"
"""In place of a task's, in the log of a phone's commands."""
PROBLEM_CHARACTERS_MAX: Final = 500
_log: Final = logging.getLogger(__name__)


async def sample_health(
    driver_of: Callable[[str], Driver], serial: str, clock: Clock, node_id: str
) -> DeviceHealth:
    """Return how a device is; where it can not be read, why."""
    began = clock.now()
    problem = f"Device {serial} did not answer within {SAMPLE_TIMEOUT_S:g} s: look at its screen and its cable."
    found: dict[str, object] = {}
    with trio.move_on_after(SAMPLE_TIMEOUT_S):
        try:
            outputs = await read_health(driver_of(serial).device(serial, tag=TAG))
            found, problem = msgspec.structs.asdict(outputs), ""
            found["battery_temp_c"] = found.pop("battery_celsius")
        except StepError as error:
            problem = error.failure.message
        except ValueError as error:  # a report of a phone that nobody has seen yet: of this one nothing is known
            _log.warning(
                "what device %s says of itself can not be read: %s",
                serial,
                error,
                extra={"node_id": node_id, "device_serial": serial},
            )
            problem = f"What device {serial} says of itself can not be read: {error}."
        except Exception as error:  # a driver may be a plug-in's: its bug costs this sample and no more
            _log.error(
                "reading how device %s is raised %s",
                serial,
                type(error).__name__,
                exc_info=error,
                extra={"node_id": node_id, "device_serial": serial},
            )
            problem = f"Reading how device {serial} is raised {type(error).__name__}: see the node's log."
    took_ms = round((clock.now().mono_s - began.mono_s) * 1000)
    return DeviceHealth(
        serial=serial,
        sampled_at_ms=began.utc_ms,
        took_ms=took_ms,
        problem=problem[:PROBLEM_CHARACTERS_MAX],
        **found,  # type: ignore[arg-type]
    )
