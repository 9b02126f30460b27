"""device.bootstrap and device.shell (step 8)."""

from __future__ import annotations

import re
from typing import Final

import trio

from doai.errors import ErrorClass
from doai.node.steps.base import StepContext, excerpt, step_failed
from doai.node.steps.keys import KEYS
from doai.node.steps.sections import run_sections
from doai.workflow.steps import Bootstrap, BootstrapOutputs, Shell, ShellOutputs

READY_WITHIN_S: Final = 6.0
"""Waking the screen and the keyguard's animation take about a second; slow phones three."""
READY_POLL_S: Final = 0.5
SHELL_OUTPUT_BYTES_MAX: Final = 1024 * 1024
"""Largest output of device.shell: it is held in memory with the task's other outputs."""

_STAY_ON_ANY_POWER: Final = 7
"""Settings.Global.STAY_ON_WHILE_PLUGGED_IN: AC 1, USB 2, wireless 4."""


async def bootstrap(arguments: Bootstrap, context: StepContext) -> BootstrapOutputs:
    """Wake and unlock the device, go home, and tell what it is."""
    prepare = [f"input keyevent {KEYS['WAKEUP']}", "wm dismiss-keyguard"]
    if arguments.stay_awake:
        prepare.append(f"settings put global stay_on_while_plugged_in {_STAY_ON_ANY_POWER}")
    if arguments.home:
        prepare.append(f"input keyevent {KEYS['HOME']}")
    until = trio.current_time() + READY_WITHIN_S
    while True:
        _, power, keyguard, properties, battery, size = await run_sections(
            context.device,
            "; ".join(prepare),
            "dumpsys power | grep mWakefulness=",
            "dumpsys window policy | grep -E 'showing=|secure='",
            "getprop ro.product.model; getprop ro.build.version.sdk; getprop ro.build.version.release",
            "dumpsys battery",
            "wm size",
        )
        asleep = re.search(r"mWakefulness=(?!Awake)(\w+)", power)
        locked = re.search(r"^\s*showing=true", keyguard, re.MULTILINE)
        if not asleep and not locked:
            return _outputs(properties, battery, size)
        if trio.current_time() + READY_POLL_S > until:
            break
        await trio.sleep(READY_POLL_S)
    if asleep:
        raise step_failed(
            ErrorClass.DEVICE,
            "screen_off",
            f"The device does not wake up (it says {asleep[1]}): check its battery and its screen.",
        )
    secure = " with a PIN, pattern or password" if "secure=true" in keyguard else ""
    raise step_failed(
        ErrorClass.DEVICE,
        "device_locked",
        f"The device is locked{secure}: set its screen lock to none, so that it can be used unattended.",
    )


async def shell(arguments: Shell, context: StepContext) -> ShellOutputs:
    """Run a command line; the recipe says which exit codes are good."""
    output = await context.device.shell(arguments.command)
    size_bytes = len(output.stdout) + len(output.stderr)
    if output.exit_code not in arguments.exit_codes:
        expected = ", ".join(str(code) for code in arguments.exit_codes[:10])
        said = excerpt((output.stderr or output.stdout).decode("utf-8", "replace"))
        raise step_failed(
            ErrorClass.APP,
            "exit_code",
            f"The command ended with exit code {output.exit_code} (expected {expected}); it said: {said}.",
        )
    if size_bytes > SHELL_OUTPUT_BYTES_MAX:
        raise step_failed(
            ErrorClass.USER,
            "output_too_large",
            f"The command wrote {size_bytes} bytes; at most {SHELL_OUTPUT_BYTES_MAX} can be an output: let it "
            "write to a file on the device, or less.",
        )
    return ShellOutputs(
        stdout=output.text,
        stderr=output.stderr.decode("utf-8", "replace").rstrip("\r\n"),
        exit_code=output.exit_code,
    )


def parse_screen_size(report: str) -> tuple[int, int] | None:
    """Read `wm size`: width and height in pixels of the upright screen, the override where there is one."""
    sizes = {kind: (int(w), int(h)) for kind, w, h in re.findall(r"(Physical|Override) size: (\d+)x(\d+)", report)}
    return sizes.get("Override") or sizes.get("Physical")


def _outputs(properties: str, battery: str, size: str) -> BootstrapOutputs:
    model, sdk, android = [*properties.splitlines(), "", "", ""][:3]
    level = re.search(r"^\s*level: (\d+)", battery, re.MULTILINE)
    scale = re.search(r"^\s*scale: (\d+)", battery, re.MULTILINE)
    screen = parse_screen_size(size)
    if not sdk.strip().isdecimal() or screen is None or level is None:
        missing = (
            "its Android version" if not sdk.strip().isdecimal() else "its battery" if screen else "its screen"
        )
        raise step_failed(
            ErrorClass.DEVICE,
            "device_not_ready",
            f"The device does not tell {missing}: it may still be starting; wait until it shows the home screen.",
        )
    full = int(scale[1]) if scale and int(scale[1]) else 100
    return BootstrapOutputs(
        model=model.strip(),
        sdk=int(sdk),
        android=android.strip(),
        battery_percent=int(level[1]) * 100 // full,
        screen_width=screen[0],
        screen_height=screen[1],
    )
