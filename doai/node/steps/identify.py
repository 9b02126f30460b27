"""device.identify: a phone shows which one it is, so that a person finds it on its shelf (step 8).

Full brightness, and the label as a notification in the opened shade: both work through adb on any Android from 10
on without an app. Before Android 10 there is no `cmd notification post`: the screen alone shines. All is put back
at the end, also when the step is cancelled.
"""

from __future__ import annotations

import shlex
from typing import Final

import trio

from doai.node.steps.base import StepContext
from doai.node.steps.keys import KEYS
from doai.node.steps.sections import run_sections
from doai.workflow.duration import parse_duration
from doai.workflow.steps import Identify, IdentifyOutputs

BRIGHTEST: Final = {"screen_brightness_mode": "0", "screen_brightness": "255"}
"""Settings.System: by hand, and as bright as can be."""
TIMEOUT_MARGIN_S: Final = 30.0
"""The screen stays on this much longer than it is needed."""
UNDO_S: Final = 10.0
"""For putting all back; a phone that does not answer in this time stays bright."""
TAG: Final = "doai-identify"
_UNDO_NOTICE: Final = (
    "cmd statusbar collapse",
    # INotificationManager.cancelAllNotifications(pkg, user): the shell can take back what it posted only so.
    "service call notification 1 s16 com.android.shell i32 0",
)


async def identify(arguments: Identify, context: StepContext) -> IdentifyOutputs:
    """Light the screen and show a text for a while, then put everything back as it was."""
    for_s = parse_duration(arguments.duration)
    wanted = {**BRIGHTEST, "screen_off_timeout": str(round((for_s + TIMEOUT_MARGIN_S) * 1000))}
    found = await run_sections(context.device, *(f"settings get system {name}" for name in wanted))
    try:
        shown = await _show(arguments.text, wanted, context)
        await trio.sleep(for_s)
    finally:
        with trio.CancelScope(shield=True), trio.move_on_after(UNDO_S):
            await run_sections(context.device, *_UNDO_NOTICE, *_restore(dict(zip(wanted, found, strict=True))))
    return IdentifyOutputs(text_shown=shown)


async def _show(text: str, settings: dict[str, str], context: StepContext) -> bool:
    post = f"cmd notification post -S bigtext -t {shlex.quote(text)} {TAG} {shlex.quote(context.device.serial)}"
    *_, posted, _ = await run_sections(
        context.device,
        *(f"settings put system {name} {value}" for name, value in settings.items()),
        f"input keyevent {KEYS['WAKEUP']}",
        f"{post} >/dev/null 2>&1 && echo posted",
        "cmd statusbar expand-notifications",
    )
    if posted != "posted":
        context.log("This Android can not post a notification from adb: its screen shines without a text.")
    return posted == "posted"


def _restore(before: dict[str, str]) -> list[str]:
    # "null" is how `settings get` says that there is none; what it did not tell at all is left as it is.
    commands = []
    for name, value in before.items():
        if value == "null":
            commands.append(f"settings delete system {name}")
        elif value.isdecimal():
            commands.append(f"settings put system {name} {value}")
    return commands
