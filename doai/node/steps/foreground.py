"""Which app is in front, from the window manager's report (step 8).

Source of the format: `dumpsys window` of Android 9 to 14, one ``mCurrentFocus`` and ``mFocusedApp`` a display:

    mCurrentFocus=Window{5b1c0de u0 com.example/com.example.Main}
    mFocusedApp=ActivityRecord{8a3e2f1 u0 com.example/.Main t12}
    mFocusedApp=AppWindowToken{f0 token=Token{a1 ActivityRecord{8a3e2f1 u0 com.example/.Main t12}}}   (Android 9)
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from doai.drivers.base import Device

COMMAND: Final = "dumpsys window | grep -E 'mCurrentFocus|mFocusedApp'"
"""The whole report has 100 KB and more on a phone; the two lines are picked there."""

PERMISSION_DIALOGS: Final = frozenset(
    {
        "com.android.permissioncontroller",
        "com.google.android.permissioncontroller",
        "com.android.packageinstaller",
        "com.google.android.packageinstaller",
    }
)
"""What asks on behalf of the app in front; the last two until Android 9."""

_FOCUS: Final = re.compile(r"mCurrentFocus=Window\{\S+ (?:u\d+ )?([^}\n]+)\}")
_APP: Final = re.compile(r"mFocusedApp=.*?ActivityRecord\{\S+ u\d+ ([^\s/}]+/[^\s}]+)")
_DIALOG: Final = re.compile(r"Application (Error|Not Responding): (\S+)")


class Foreground(msgspec.Struct, frozen=True):
    """What has the focus now; empty texts where nothing has it, as while windows change."""

    window: str
    """The window's title: a component, or ``NotificationShade``, ``Application Error: com.example`` ..."""
    component: str
    """``package/activity`` in front, with the activity's whole class name."""

    @property
    def package(self) -> str:
        return self.component.partition("/")[0]

    @property
    def activity(self) -> str:
        return self.component.partition("/")[2]

    def crashed(self, package: str) -> bool:
        """Whether Android shows that the app has crashed."""
        return self._dialog() == ("Error", package)

    def hangs(self, package: str) -> bool:
        """Whether Android shows that the app does not respond."""
        return self._dialog() == ("Not Responding", package)

    def _dialog(self) -> tuple[str, str]:
        found = _DIALOG.search(self.window)
        return (found[1], found[2]) if found else ("", "")


def parse_foreground(report: str) -> Foreground:
    """Read the report; the first display that has a focus counts."""
    focus, app = _FOCUS.search(report), _APP.search(report)
    window = focus[1].strip() if focus else ""
    component = window if re.fullmatch(r"[^\s/]+\.[^\s/]+/\S+", window) else (app[1] if app else "")
    return Foreground(window, whole_component(component))


def whole_component(component: str) -> str:
    """Write a component's activity out: ``com.example/.Main`` -> ``com.example/com.example.Main``."""
    package, slash, activity = component.partition("/")
    return f"{package}/{package}{activity}" if slash and activity.startswith(".") else component


async def read_foreground(device: Device) -> Foreground:
    """Ask the device what is in front."""
    return parse_foreground((await device.shell(COMMAND)).text)
