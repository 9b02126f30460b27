"""file.push, file.pull, log.collect (step 8)."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path
from typing import Final

import trio

from doai.errors import ErrorClass
from doai.media_types import media_type_of
from doai.node.steps.base import StepContext, excerpt, step_failed
from doai.workflow.device_steps import CollectLog, LogOutputs, Pull, PullOutputs, Push, PushOutputs
from doai.workflow.duration import parse_duration

_EXTENSION: Final = re.compile(r"[A-Za-z0-9]{1,10}")
_EXTENSION_UNLESS_SAID: Final = "bin"


async def push(arguments: Push, context: StepContext) -> PushOutputs:
    """Write a stored file on the device; where the device can, its bytes are compared."""
    path = await context.file(arguments.file)
    digest, size_bytes = await trio.to_thread.run_sync(_digest, path)
    await context.device.push_file(str(path), arguments.path, mode=0o755 if arguments.executable else 0o644)
    output = await context.device.shell(f"sha256sum {shlex.quote(arguments.path)}")
    said = output.text.partition(" ")[0].removeprefix("\\")
    # Android 6 and some makers' shells have no sha256sum: the transfer itself was acknowledged.
    if output.exit_code == 0 and said != digest:
        raise step_failed(
            ErrorClass.DEVICE,
            "file_differs",
            f"What the device has at {arguments.path} is not {arguments.file}, though it took all of it: its "
            "storage may be failing.",
        )
    return PushOutputs(path=arguments.path, size_bytes=size_bytes, sha256=digest)


async def pull(arguments: Pull, context: StepContext) -> PullOutputs:
    """Keep a file of the device."""
    data = await context.device.pull(arguments.path)
    extension = extension_of(arguments.path)
    ref = await context.keep_artifact(
        data,
        extension=extension,
        media_type=media_type_of(extension),
        name=arguments.name,
    )
    return PullOutputs(artifact=ref.name, size_bytes=ref.size_bytes, sha256=ref.sha256)


async def collect_log(arguments: CollectLog, context: StepContext) -> LogOutputs:
    """Keep the device's log; `logcat -d` ends at the newest line by itself."""
    command = await _log_command(arguments, context)
    output = await context.device.shell(command)
    if output.exit_code != 0:
        raise step_failed(
            ErrorClass.DEVICE,
            "log_unreadable",
            f"The device does not give its log (exit code {output.exit_code}); it said: "
            f"{excerpt(output.stderr.decode('utf-8', 'replace') or output.text)}.",
        )
    # Not by logcat's own -t: it counts lines before the filters, and excludes -T.
    lines = output.stdout.splitlines(keepends=True)[-arguments.lines_max :]
    ref = await context.keep_artifact(
        b"".join(lines), extension="log", media_type="text/plain", name=arguments.name
    )
    if arguments.clear:
        await context.device.shell("logcat -c")
    return LogOutputs(artifact=ref.name, lines=len(lines), size_bytes=ref.size_bytes, sha256=ref.sha256)


def extension_of(path: str) -> str:
    """Return what follows the last dot of a file's name, in small letters, where that can be part of a path."""
    name, dot, extension = path.rpartition("/")[2].rpartition(".")
    return extension.lower() if name and dot and _EXTENSION.fullmatch(extension) else _EXTENSION_UNLESS_SAID


async def _log_command(arguments: CollectLog, context: StepContext) -> str:
    words = ["logcat", "-d", "-v", "threadtime"]
    for buffer in arguments.buffers:
        words += ["-b", buffer]
    if arguments.package is not None:
        words.append(f"--pid={await _pid(context, arguments.package)}")
    if arguments.since is not None:
        words += ["-T", f"{await _seconds_ago(context, parse_duration(arguments.since)):.3f}"]
    level = arguments.level[0].upper()
    filters = [f"{tag}:{level}" for tag in arguments.tags]
    filters.append("*:S" if filters else f"*:{level}")
    return shlex.join([*words, *filters])


async def _pid(context: StepContext, package: str) -> str:
    found = (await context.device.shell(f"pidof {shlex.quote(package)}")).text.split()
    if not found:
        raise step_failed(
            ErrorClass.APP, "app_not_running", f"{package} does not run, so that its log can not be told apart."
        )
    return found[0]


async def _seconds_ago(context: StepContext, ago_s: float) -> float:
    """Return a moment by the device's clock, which may be wrong and is the one that its log has."""
    text = (await context.device.shell("date +%s")).text.strip()
    if not text.isdecimal():
        raise step_failed(
            ErrorClass.DEVICE, "device_not_ready", f"The device does not tell its time; it said: {excerpt(text)}."
        )
    return max(0.0, int(text) - ago_s)


def _digest(path: Path) -> tuple[str, int]:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
    except OSError as error:
        raise step_failed(
            ErrorClass.INFRASTRUCTURE,
            "file_unreadable",
            f"This node can not read its copy of a file ({error.strerror or error}): look at its disk.",
        ) from None
