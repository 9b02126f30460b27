"""app.install, app.uninstall, app.clear, app.grant (step 8)."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import msgspec
import trio

from doai.apk.errors import ApkError
from doai.apk.package import Apk, read_apk_file
from doai.drivers.base import CommandOutput, Device, InstallOptions
from doai.errors import ErrorClass, StepError
from doai.node.steps.base import StepContext, excerpt, step_failed
from doai.workflow.app_steps import Clear, Grant, GrantOutputs, Install, InstallOutputs, Uninstall, UninstallOutputs
from doai.workflow.step_type import NoOutputs

_VERSION_CODE: Final = re.compile(r"\bversionCode=(\d+)")
_VERSION_NAME: Final = re.compile(r"\bversionName=(\S+)")
_GRANTED: Final = re.compile(r"^\s*([A-Za-z][\w.]+): granted=true", re.MULTILINE)


class Installed(msgspec.Struct, frozen=True):
    """A package as the device has it."""

    version_code: int
    version_name: str
    granted: tuple[str, ...]
    """Permissions that it has been given, whole names, in order of the alphabet."""


async def install(arguments: Install, context: StepContext) -> InstallOutputs:
    """Look into the file, install it, and see that the device has what is in it."""
    path = await context.file(arguments.file)
    apk = await trio.to_thread.run_sync(_read, path, arguments.file)
    manifest = apk.manifest
    if arguments.package is not None and manifest.package != arguments.package:
        raise step_failed(
            ErrorClass.USER,
            "other_package",
            f"The file {arguments.file} is the app {manifest.package}, not {arguments.package}: name another file.",
        )
    before = await read_installed(context.device, manifest.package)
    options = InstallOptions(
        downgrade=arguments.downgrade,
        grant_permissions=arguments.grant_permissions,
        test_only=arguments.test_only,
    )
    await context.device.install(str(path), options)
    after = await read_installed(context.device, manifest.package)
    if after is None or after.version_code != manifest.version_code:
        has = "nothing" if after is None else f"version {after.version_code}"
        raise step_failed(
            ErrorClass.DEVICE,
            "install_not_seen",
            f"The device said that {manifest.package} {manifest.version_code} was installed and has {has} of it: "
            "look whether something on the device undoes installations.",
        )
    return InstallOutputs(
        package=manifest.package,
        version_code=after.version_code,
        version_name=after.version_name or manifest.version_name,
        previous_version_code=before.version_code if before is not None else None,
        size_bytes=(await trio.Path(path).stat()).st_size,
    )


async def uninstall(arguments: Uninstall, context: StepContext) -> UninstallOutputs:
    """Remove an app; one that is not there is removed already, unless the recipe wants it there."""
    package = arguments.package
    if await read_installed(context.device, package) is None:
        if arguments.missing_ok:
            return UninstallOutputs(removed=False)
        raise not_installed(package)
    await context.device.uninstall(package)
    return UninstallOutputs(removed=True)


async def clear(arguments: Clear, context: StepContext) -> NoOutputs:
    """Put an app back to how it was when it was installed."""
    output = await context.device.shell(f"pm clear {shlex.quote(arguments.package)}")
    if "Success" not in output.text:
        if await read_installed(context.device, arguments.package) is None:
            raise not_installed(arguments.package)
        raise step_failed(
            ErrorClass.DEVICE,
            "clear_refused",
            f"The device did not clear {arguments.package}; it said: {excerpt(_said(output))}.",
        )
    return NoOutputs()


async def grant(arguments: Grant, context: StepContext) -> GrantOutputs:
    """Give or take permissions one by one, then read what the app has."""
    verb, package = "revoke" if arguments.revoke else "grant", arguments.package
    for permission in arguments.permissions:
        output = await context.device.shell(f"pm {verb} {shlex.quote(package)} {shlex.quote(permission)}")
        if output.exit_code != 0 or "Exception" in _said(output):
            raise _not_granted(verb, package, permission, output)
    installed = await read_installed(context.device, package)
    if installed is None:
        raise not_installed(package)
    wrong = [name for name in arguments.permissions if (name in installed.granted) == arguments.revoke]
    if wrong:
        state = "still has" if arguments.revoke else "does not have"
        raise step_failed(
            ErrorClass.DEVICE,
            "permission_not_seen",
            f"The device said that it did {verb} {', '.join(wrong)}, and {package} {state} it: look whether a "
            "policy of the device decides about permissions.",
        )
    return GrantOutputs(granted=list(installed.granted))


async def read_installed(device: Device, package: str) -> Installed | None:
    """Return what the device has of a package; None when it is not installed for its user."""
    output = await device.shell(f"pm path {shlex.quote(package)} && dumpsys package {shlex.quote(package)}")
    return parse_installed(output.text)


def parse_installed(text: str) -> Installed | None:
    """Read what `pm path` and `dumpsys package` say, one after the other; None when there is no such app."""
    code = _VERSION_CODE.search(text)
    if not text.startswith("package:") or code is None:
        return None
    name = _VERSION_NAME.search(text)
    return Installed(
        int(code[1]),
        "" if name is None or name[1] == "null" else name[1],
        tuple(sorted(set(_GRANTED.findall(text)))),
    )


def not_installed(package: str) -> StepError:
    """Return the error for an app that the device does not have."""
    return step_failed(
        ErrorClass.APP,
        "app_not_installed",
        f"{package} is not installed on the device: install it, or choose devices that have it.",
    )


def _read(path: Path, reference: str) -> Apk:
    try:
        return read_apk_file(path)
    except ApkError as error:
        raise step_failed(
            ErrorClass.USER, error.code, f"The file {reference} is no app that can be installed: {error}."
        ) from None
    except OSError as error:
        raise step_failed(
            ErrorClass.INFRASTRUCTURE,
            "file_unreadable",
            f"This node can not read its copy of {reference} ({error.strerror or error}): look at its disk.",
        ) from None


def _not_granted(verb: str, package: str, permission: str, output: CommandOutput) -> StepError:
    said = _said(output)
    asked = f"The device did not {verb} {permission} of {package}"
    if "Unknown package" in said or "is unknown" in said:
        return not_installed(package)
    if "Unknown permission" in said:
        return step_failed(ErrorClass.USER, "unknown_permission", f"{asked}: it knows no such permission.")
    if "has not requested" in said:
        return step_failed(
            ErrorClass.USER, "permission_not_requested", f"{asked}: the app does not ask for it in its manifest."
        )
    if "not a changeable permission" in said:
        return step_failed(
            ErrorClass.USER,
            "permission_not_changeable",
            f"{asked}: it is given at installation, or never, and no person is asked for it.",
        )
    if "GRANT_RUNTIME_PERMISSIONS" in said:
        return step_failed(
            ErrorClass.DEVICE,
            "grant_not_allowed",
            f"{asked}: switch on `USB debugging (Security settings)` in its developer options.",
        )
    return step_failed(ErrorClass.DEVICE, "grant_refused", f"{asked}; it said: {excerpt(_said(output))}.")


def _said(output: CommandOutput) -> str:
    return f"{output.text} {output.stderr.decode('utf-8', 'replace')}".strip()
