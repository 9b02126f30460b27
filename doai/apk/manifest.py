"""What AndroidManifest.xml says of an app: name, versions, permissions, what can be started (steps 8 and 9)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from doai.apk.binary_xml import Element, read_binary_xml
from doai.apk.errors import ApkError

MIN_SDK_UNLESS_SAID: Final = 1
SDK_OF_CODENAME: Final = 10_000
"""android.os.Build.VERSION_CODES.CUR_DEVELOPMENT: a preview's codename stands where a number should."""

_NAME, _LABEL, _ENABLED, _TEST_ONLY = 0x01010003, 0x01010001, 0x0101000E, 0x01010272
_VERSION_CODE, _VERSION_CODE_MAJOR, _VERSION_NAME = 0x0101021B, 0x01010576, 0x0101021C
_MIN_SDK, _TARGET_SDK, _TARGET_PACKAGE = 0x0101020C, 0x01010270, 0x01010021
"""Resource ids of android.R.attr, which never change."""

_PACKAGE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")
_MAIN: Final = "android.intent.action.MAIN"
_LAUNCHER: Final = "android.intent.category.LAUNCHER"


class Instrumentation(msgspec.Struct, frozen=True):
    """What `am instrument` starts: the runner's class and the app that it tests."""

    runner: str
    target_package: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of a manifest. Class names are whole; texts that are resources are empty."""

    package: str
    version_code: int
    version_name: str
    min_sdk: int
    target_sdk: int
    label: str
    launch_activity: str
    """What the home screen starts; empty when it starts nothing."""
    permissions: tuple[str, ...]
    """What it asks for, in the order of the file."""
    instrumentations: tuple[Instrumentation, ...]
    test_only: bool


def read_manifest(data: bytes) -> Manifest:
    """Read a compiled AndroidManifest.xml; raises ApkError."""
    root = read_binary_xml(data)
    package = root.text("package")
    if root.name != "manifest" or _PACKAGE.fullmatch(package) is None:
        raise ApkError("bad_manifest", "its AndroidManifest.xml names no package")
    if root.text("split"):
        raise ApkError("apk_is_split", f"it is only the part {root.text('split')!r} of {package}, not the base")
    uses_sdk = next(iter(root.inside("uses-sdk")), Element("uses-sdk", {}, []))
    application = next(iter(root.inside("application")), Element("application", {}, []))
    min_sdk = _sdk(uses_sdk, _MIN_SDK, MIN_SDK_UNLESS_SAID)
    return Manifest(
        package=package,
        version_code=_long(root.number(_VERSION_CODE_MAJOR, 0), root.number(_VERSION_CODE, 0)),
        version_name=root.text(_VERSION_NAME),
        min_sdk=min_sdk,
        target_sdk=_sdk(uses_sdk, _TARGET_SDK, min_sdk),
        label=application.text(_LABEL),
        launch_activity=_launch_activity(application, package),
        permissions=tuple(
            dict.fromkeys(
                element.text(_NAME) for element in root.children if element.name.startswith("uses-permission")
            )
        ),
        instrumentations=tuple(
            Instrumentation(_whole_class(element.text(_NAME), package), element.text(_TARGET_PACKAGE, package))
            for element in root.inside("instrumentation")
        ),
        test_only=application.flag(_TEST_ONLY, default=False),
    )


def _long(major: int, code: int) -> int:
    """Put the two halves together as PackageInfo.composeLongVersionCode does: neither has a sign."""
    return (major & 0xFFFFFFFF) << 32 | code & 0xFFFFFFFF


def _sdk(element: Element, key: int, default: int) -> int:
    codename = isinstance(element.attributes.get(key), str) and not element.text(key).isdecimal()
    return SDK_OF_CODENAME if codename else element.number(key, default)


def _launch_activity(application: Element, package: str) -> str:
    for activity in application.children:
        if activity.name in ("activity", "activity-alias") and activity.flag(_ENABLED, default=True):
            for intent in activity.inside("intent-filter"):
                actions = {action.text(_NAME) for action in intent.inside("action")}
                categories = {category.text(_NAME) for category in intent.inside("category")}
                if _MAIN in actions and _LAUNCHER in categories:
                    return _whole_class(activity.text(_NAME), package)
    return ""


def _whole_class(name: str, package: str) -> str:
    """Write a class name out: ``.Main`` and ``Main`` are in the app's own package."""
    if name.startswith("."):
        return package + name
    return name if "." in name else f"{package}.{name}"
