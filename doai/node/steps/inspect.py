"""app.inspect (step 8): how a device has an app, and what decides whether it can have another version of it."""

from __future__ import annotations

import re
import shlex
from typing import Final

from doai.errors import ErrorClass
from doai.node.steps.base import StepContext, excerpt, step_failed
from doai.node.steps.health import STORAGE_COMMAND, parse_storage
from doai.node.steps.package import parse_installed
from doai.node.steps.sections import run_sections
from doai.workflow.app_steps import Inspect, InspectOutputs

_SIGNERS: Final = re.compile(r"\bsignatures=PackageSignatures\{[^\]}]*\bsignatures:\[([0-9a-f, ]*)\]")
"""Since Android 9; before, the numbers were made anew at every start of the device."""
_SYSTEM: Final = re.compile(r"^\s*(?:pkgF|f)lags=\[[^\]]*\bSYSTEM\b", re.MULTILINE)


async def inspect(arguments: Inspect, context: StepContext) -> InspectOutputs:
    """Ask everything in one round trip; only a device that tells no API level is not ready."""
    package = shlex.quote(arguments.package)
    path, report, sdk, abis, storage = await run_sections(
        context.device,
        f"pm path {package}",
        f"dumpsys package {package}",
        "getprop ro.build.version.sdk",
        "getprop ro.product.cpu.abilist",
        STORAGE_COMMAND,
    )
    if not sdk.isdecimal():
        raise step_failed(
            ErrorClass.DEVICE,
            "device_not_ready",
            f"The device does not tell its version of Android (it said: {excerpt(sdk)}): it may still be starting; "
            "wait until it shows the home screen.",
        )
    installed = parse_installed(f"{path}\n{report}")
    signers = _SIGNERS.search(report) if installed is not None else None
    free_kb, _ = parse_storage(storage)
    return InspectOutputs(
        package=arguments.package,
        installed=installed is not None,
        version_code=installed.version_code if installed is not None else None,
        version_name=installed.version_name if installed is not None else "",
        signer=signers[1].replace(" ", "") if signers is not None else "",
        granted=list(installed.granted) if installed is not None else [],
        system=installed is not None and _SYSTEM.search(report) is not None,
        sdk=int(sdk),
        abis=[name for name in abis.split(",") if name],
        storage_free_mb=free_kb // 1024 if free_kb is not None else None,
    )
