"""app.launch, app.stop, app.open_url (step 8)."""

from __future__ import annotations

import re
import shlex
from typing import Final

import trio

from doai.errors import ErrorClass, StepError
from doai.node.steps.base import StepContext, excerpt, step_failed
from doai.node.steps.foreground import PERMISSION_DIALOGS, Foreground, read_foreground, whole_component
from doai.node.steps.sections import run_sections
from doai.workflow.step_type import NoOutputs
from doai.workflow.steps import AppOutputs, Launch, OpenUrl, Stop

FRONT_WITHIN_S: Final = 30.0
"""A cold start of a large app on a slow phone takes some 10 s; three times that is no start any more. Shorter than
the step's own timeout, so that the error can say what is in front instead."""
FRONT_POLL_S: Final = 0.25
"""Finer than a person would notice; a look costs the phone some 50 ms."""

_ERROR: Final = re.compile(
    r"^(?:Error: .*|.*Exception\b.*|Error type \d+.*|\*\* No activities found.*)$", re.MULTILINE
)
_STARTED: Final = re.compile(r"^Activity: (\S+/\S+)$", re.MULTILINE)
_CHOOSER: Final = "ResolverActivity"
"""The activity in which a person picks one of several apps."""


async def launch(arguments: Launch, context: StepContext) -> AppOutputs:
    """Start an app by its launcher activity, or a named one, and wait until it is in front."""
    package = arguments.package
    began = trio.current_time()
    if arguments.activity is not None:
        name = arguments.activity
        command = f"am start -n {shlex.quote(name if '/' in name else f'{package}/{name}')}"
    else:
        command = await _launcher_command(context, package)
    output = await context.device.shell(command)
    _check_started(output.text + "\n" + output.stderr.decode("utf-8", "replace"), package)
    return await _wait_in_front(context, package, began)


async def stop(arguments: Stop, context: StepContext) -> NoOutputs:
    """Stop an app; one that does not run, or is not installed, is stopped already."""
    output = await context.device.shell(f"am force-stop {shlex.quote(arguments.package)}")
    if output.exit_code != 0:
        said = excerpt(output.text + " " + output.stderr.decode("utf-8", "replace"))
        raise step_failed(
            ErrorClass.DEVICE, "stop_failed", f"The device did not stop {arguments.package}; it said: {said}."
        )
    return NoOutputs()


async def open_url(arguments: OpenUrl, context: StepContext) -> AppOutputs:
    """Open an address with the app that handles it, or the one that is named."""
    began = trio.current_time()
    if arguments.package is not None:
        await start_view(context, arguments.url, arguments.package)
        return await _wait_in_front(context, arguments.package, began)
    # Only `am start -W` tells which app took the address.
    output = await context.device.shell(
        f"am start -W -a android.intent.action.VIEW -d {shlex.quote(arguments.url)}"
    )
    _check_started(output.text + "\n" + output.stderr.decode("utf-8", "replace"), "")
    started = _STARTED.search(output.text)
    component = whole_component(started[1]) if started else (await read_foreground(context.device)).component
    if _CHOOSER in component:
        raise step_failed(
            ErrorClass.USER,
            "ambiguous_handler",
            "Several apps of the device open this address and it asks which: name one as `package` in the step.",
        )
    return await _wait_in_front(context, component.partition("/")[0], began)


async def start_view(context: StepContext, url: str, package: str) -> None:
    """Let an app open an address; return when it was told to. Raises StepError when it does not open it."""
    view = f"am start -a android.intent.action.VIEW -d {shlex.quote(url)} -p {shlex.quote(package)}"
    output = await context.device.shell(view)
    _check_started(output.text + "\n" + output.stderr.decode("utf-8", "replace"), package)


async def _launcher_command(context: StepContext, package: str) -> str:
    """Return how to start an app's launcher activity.

    `monkey` also does it, but turns the phone's rotation lock off and starts a Java process: it is left for where
    the package manager names no single activity.
    """
    quoted = shlex.quote(package)
    resolved, path = await run_sections(
        context.device, f"cmd package resolve-activity --brief {quoted}", f"pm path {quoted}"
    )
    if not path.startswith("package:"):
        raise step_failed(
            ErrorClass.APP,
            "app_not_installed",
            f"{package} is not installed on the device: install it, or choose devices that have it.",
        )
    component = resolved.rpartition("\n")[2].strip()
    if component.startswith(package + "/"):
        return (
            "am start -a android.intent.action.MAIN -c android.intent.category.LAUNCHER "
            f"-n {shlex.quote(component)}"
        )
    return f"monkey -p {quoted} -c android.intent.category.LAUNCHER 1"


def _check_started(said: str, package: str) -> None:
    """Raise what `am start` or `monkey` complained of; both may exit with 0 all the same."""
    errors = _ERROR.findall(said)
    if errors:
        raise _start_error(said, next((line for line in errors if line.startswith("Error:")), errors[0]), package)


def _start_error(said: str, line: str, package: str) -> StepError:
    reason = excerpt(line)
    if "SecurityException" in said or "Permission Denial" in said:
        return step_failed(
            ErrorClass.USER, "activity_not_allowed", f"Android does not let adb start this activity: {reason}."
        )
    if "No activities found" in said:
        return step_failed(
            ErrorClass.APP,
            "no_launcher_activity",
            f"{package} has no activity that can be started from the home screen: name one as `activity`.",
        )
    if "does not exist" in said:
        return step_failed(
            ErrorClass.USER, "activity_not_found", f"The app has no such activity, or is not installed: {reason}."
        )
    if "unable to resolve" in said:
        who = f"{package} does" if package else "The device has no app that does"
        negation = " not" if package else ""
        return step_failed(
            ErrorClass.APP,
            "no_handler",
            f"{who}{negation} open this address (or is not installed): check the address and the installed apps.",
        )
    return step_failed(ErrorClass.APP, "start_failed", f"Android did not start {package or 'the app'}: {reason}.")


async def _wait_in_front(context: StepContext, package: str, began: float) -> AppOutputs:
    until = trio.current_time() + FRONT_WITHIN_S
    while True:
        front = await read_foreground(context.device)
        # A dialog that asks for a permission stands before the app that asks: the app was started.
        if package and front.package in {package, *PERMISSION_DIALOGS}:
            return AppOutputs(
                package=package, activity=front.activity, launched_ms=round((trio.current_time() - began) * 1000)
            )
        _check_alive(front, package)
        if trio.current_time() + FRONT_POLL_S > until:
            shown = front.component or front.window or "nothing"
            raise step_failed(
                ErrorClass.APP,
                "app_not_in_front",
                f"{package or 'The app'} is not in front {FRONT_WITHIN_S:.0f} s after its start; in front is "
                f"{excerpt(shown)}. If that is a lock screen or a dialog, deal with it in an earlier step.",
            )
        await trio.sleep(FRONT_POLL_S)


def _check_alive(front: Foreground, package: str) -> None:
    if front.crashed(package):
        raise step_failed(
            ErrorClass.APP, "app_crashed", f"{package} crashed when it was started: see the device's log."
        )
    if front.hangs(package):
        raise step_failed(
            ErrorClass.APP, "app_not_responding", f"{package} does not respond: Android offers to close it."
        )
