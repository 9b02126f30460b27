"""The failures of drivers, each with its class, code and sentence in one place (step 9)."""

from __future__ import annotations

import re
from typing import Final

from doai.drivers.base import CommandOutput
from doai.errors import ErrorClass, Failure, LocalProtocolError, StepError

_TAG: Final = re.compile(r"[A-Za-z0-9._/[\]-]+")
_PACKAGE: Final = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
_BRACKETED: Final = re.compile(r"\[?((?:INSTALL|DELETE)_[A-Z0-9_]+)(?::\s*([^\]]*))?\]?")

# Trying again does not help: the app, the device's Android or what is installed would have to change first.
_INSTALL_HOPELESS: Final = frozenset(
    {
        "install_failed_already_exists",
        "install_failed_conflicting_provider",
        "install_failed_cpu_abi_incompatible",
        "install_failed_invalid_apk",
        "install_failed_missing_feature",
        "install_failed_missing_shared_library",
        "install_failed_newer_sdk",
        "install_failed_no_matching_abis",
        "install_failed_older_sdk",
        "install_failed_test_only",
        "install_failed_update_incompatible",
        "install_failed_version_downgrade",
    }
)
UNOBSERVED: Final = frozenset(
    {
        "adb_server_down",
        "device_offline",
        "device_unresponsive",
        "output_garbled",
        "output_incomplete",
        "xiaowei_cut",
        "xiaowei_refused",
    }
)
"""Codes after which nobody knows what the command did; any other failure is an answer."""
_INSTALL_DEVICE: Final = frozenset(
    {"install_failed_insufficient_storage", "install_failed_media_unavailable", "install_failed_container_error"}
)


def failed(error_class: ErrorClass, code: str, message: str) -> StepError:
    """Return the error of a driver call: class, stable code, one sentence for a person."""
    return StepError(Failure(error_class=error_class, code=code, message=message))


def device_offline(serial: str, why: str = "") -> StepError:
    """The device is not there, or left while it was used."""
    reason = f" ({why})" if why else ""
    return failed(
        ErrorClass.DEVICE,
        "device_offline",
        f"device {serial} is not connected to this node{reason}: check its cable, power and network",
    )


def device_unauthorized(serial: str) -> StepError:
    """The phone has not accepted this host's key."""
    return failed(
        ErrorClass.DEVICE,
        "device_unauthorized",
        f"device {serial} has not allowed this computer: unlock it and accept the USB debugging dialog",
    )


def device_unresponsive(serial: str, why: str) -> StepError:
    """The transport is there and the phone does not answer."""
    return failed(
        ErrorClass.DEVICE,
        "device_unresponsive",
        f"device {serial} is connected but does not answer ({why}): restart it if this lasts",
    )


def output_incomplete(serial: str, what: str, received_bytes: int) -> StepError:
    """The answer was cut off: what arrived is not used."""
    return failed(
        ErrorClass.DEVICE,
        "output_incomplete",
        f"device {serial} was cut off during {what} after {received_bytes} bytes: check its cable, then try again",
    )


def output_garbled(serial: str, what: str, why: str) -> StepError:
    """The answer arrived and makes no sense."""
    return failed(
        ErrorClass.DEVICE,
        "output_garbled",
        f"device {serial} sent an answer to {what} that can not be read ({why}): try again, then restart it",
    )


def adb_port_taken(port: int) -> StepError:
    """Another program listens where the adb server should."""
    return failed(
        ErrorClass.INFRASTRUCTURE,
        "adb_port_in_use",
        f"port {port} is in use by a program that is no adb server: stop it, or choose another adb_port",
    )


def adb_server_down(port: int, why: str) -> StepError:
    """Nothing answers at the adb server's port."""
    return failed(
        ErrorClass.INFRASTRUCTURE,
        "adb_server_down",
        f"the adb server on port {port} of this node does not answer ({why}): it is restarted where doai owns it",
    )


def xiaowei_down(url: str, why: str) -> StepError:
    """Nothing answers where the vendor's program should: nothing was sent."""
    return failed(
        ErrorClass.INFRASTRUCTURE,
        "xiaowei_down",
        f"the vendor's program at {url} can not be reached ({why}): start it on this host, and switch its API on",
    )


def xiaowei_cut(serial: str, what: str, why: str) -> StepError:
    """A request was sent to the vendor's program, and what came of it can not be known."""
    return failed(
        ErrorClass.INFRASTRUCTURE,
        "xiaowei_cut",
        f"the vendor's program did not tell what came of {what} on device {serial} ({why}): it may have happened",
    )


def xiaowei_refused(serial: str, what: str, said: str) -> StepError:
    """The vendor's program says that a request failed. How far it got is not known."""
    return failed(
        ErrorClass.DEVICE,
        "xiaowei_refused",
        f"the vendor's program says that {what} on device {serial} failed ({said}): look at the device there",
    )


def driver_cannot(driver: str, what: str, instead: str) -> StepError:
    """The driver has no way to do this; another one may have."""
    return failed(ErrorClass.USER, "driver_cannot", f"the driver {driver} can not {what}: {instead}")


def storage_full(serial: str, what: str) -> StepError:
    """The device has no space left."""
    return failed(
        ErrorClass.DEVICE, "storage_full", f"device {serial} has no space left for {what}: delete files or apps"
    )


def no_such_file(where: str, path: str) -> StepError:
    """A file that was named is not there; ``where`` is the device or this host."""
    return failed(ErrorClass.USER, "no_such_file", f"{where} has no readable file {path}: check the path")


def package_refused(serial: str, what: str, output: str) -> StepError:
    """`pm` refused to install or remove; its code (INSTALL_FAILED_*, DELETE_FAILED_*) becomes ours."""
    found = _BRACKETED.search(output)
    verb = "install" if what.startswith("install") else "uninstall"
    code = found.group(1).lower() if found else f"{verb}_failed"
    said = output.strip().replace("\n", " ")[:300] or "it said nothing"
    if code in _INSTALL_DEVICE or "space" in said.lower():
        error_class = ErrorClass.DEVICE
    elif code in _INSTALL_HOPELESS or code.startswith("install_parse_failed"):
        error_class = ErrorClass.USER
    else:
        error_class = ErrorClass.APP
    return failed(error_class, code, f"device {serial} refused to {what}: {said}")


def file_refused(serial: str, verb: str, path: str, reason: str) -> StepError:
    """The device's file service said no; the reason is the device's own text."""
    lowered = reason.lower()
    if "no space" in lowered or "enospc" in lowered:
        return storage_full(serial, path)
    if verb == "pull" and ("no such file" in lowered or "not found" in lowered):
        return no_such_file(f"device {serial}", path)
    return failed(
        ErrorClass.DEVICE, f"{verb}_failed", f"device {serial} refused to {verb} {path} ({reason}): check the path"
    )


def check_package(serial: str, what: str, output: CommandOutput) -> None:
    """Raise unless `pm` said that it did what was asked."""
    if output.exit_code != 0 or "Success" not in output.text:
        raise package_refused(serial, what, f"{output.text}\n{output.stderr.decode('utf-8', 'replace')}")


def package_name(text: str) -> str:
    """Return a package name that is safe in a command line; raises StepError (user, bad_package)."""
    if _PACKAGE.fullmatch(text) is None:
        message = f"{text!r} is no package name: write it like com.example.app"
        raise failed(ErrorClass.USER, "bad_package", message)
    return text


def tagged(tag: str, command: str) -> str:
    """Return the command with its step tag before it; raises LocalProtocolError for a tag a shell could misread."""
    if not tag:
        return command
    if _TAG.fullmatch(tag) is None:
        raise LocalProtocolError(f"step tag {tag!r} has other characters than letters, digits and . _ - / [ ]")
    return f"DOAI_STEP={tag};{command}"
