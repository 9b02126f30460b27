"""device.reboot (step 8)."""

from __future__ import annotations

import re
from typing import Final

import trio

from doai.drivers.failures import UNOBSERVED
from doai.errors import ErrorClass, StepError
from doai.node.steps.base import StepContext, excerpt, step_failed
from doai.node.steps.sections import run_sections
from doai.workflow.device_steps import Reboot, RebootOutputs
from doai.workflow.duration import parse_duration

LOOK_EVERY_S: Final = 1.0
"""A phone that starts has other things to do than to answer."""
_AWAY: Final = UNOBSERVED | {"device_refused", "device_unauthorized", "xiaowei_down"}
"""How calls to a device end that goes away or is not yet all there: it asks for the key anew while it starts."""


async def reboot(arguments: Reboot, context: StepContext) -> RebootOutputs:
    """Restart, and wait for an Android that has been up for less time than this takes."""
    before_s = await _uptime_s(context)
    began = trio.current_time()
    within_s = parse_duration(arguments.within)
    left = False
    try:
        output = await context.device.shell("reboot")
    except StepError as error:
        if error.code not in _AWAY:
            raise
        left = True
    else:
        if output.exit_code != 0:
            said = excerpt(output.text + " " + output.stderr.decode("utf-8", "replace"))
            raise step_failed(
                ErrorClass.DEVICE, "reboot_refused", f"The device does not restart when adb asks; it said: {said}."
            )
    last = "it did not go away"
    while trio.current_time() + LOOK_EVERY_S <= began + within_s:
        await trio.sleep(LOOK_EVERY_S)
        try:
            uptime, booted = await run_sections(context.device, "cat /proc/uptime", "getprop sys.boot_completed")
        except StepError as error:
            if error.code not in _AWAY:
                raise
            left, last = True, excerpt(str(error))
            continue
        found = re.match(r"(\d+\.\d+)", uptime)
        # A phone that went on has been up for all of before_s longer than one that began anew at our command.
        fresh = float(found[1]) < trio.current_time() - began + before_s / 2 if found else left
        if fresh and booted.strip() == "1":
            return RebootOutputs(rebooted_ms=round((trio.current_time() - began) * 1000))
        last = "Android is still starting" if fresh else "it still runs as before"
    raise step_failed(
        ErrorClass.DEVICE,
        "reboot_not_seen",
        f"The device was told to restart and was not ready again within {within_s:g} s ({last}): look at its "
        "screen, where it may ask for a PIN or hang.",
    )


async def _uptime_s(context: StepContext) -> float:
    """Seconds since the last start; without an answer, no limit: that it left is seen then."""
    found = re.match(r"(\d+\.\d+)", (await context.device.shell("cat /proc/uptime")).text)
    return float(found[1]) if found is not None else float("inf")
