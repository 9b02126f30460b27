"""host.run: a script of the node's host, with the device held meanwhile (step 8)."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from doai.errors import ErrorClass, StepError
from doai.limits import ARTIFACT_BYTES_MAX
from doai.media_types import media_type_of
from doai.node.script import Script, ScriptEnd
from doai.node.steps.base import StepContext, excerpt, step_failed
from doai.workflow.host_steps import Run, RunOutputs

CLASSES: Final[Mapping[int, ErrorClass]] = {
    64: ErrorClass.USER,
    69: ErrorClass.DEVICE,
    75: ErrorClass.INFRASTRUCTURE,
    77: ErrorClass.AUTH,
}
"""sysexits.h: EX_USAGE, EX_UNAVAILABLE, EX_TEMPFAIL, EX_NOPERM."""
TEXT_BYTES_MAX: Final = 16 * 1024
"""The end of standard output and of standard error each that becomes an output; all of it is an artifact."""
FILES_MAX: Final = 50
FILES_BYTES_MAX: Final = ARTIFACT_BYTES_MAX
"""Of all files that a script leaves together: they are read into memory one by one."""
LAST_WORDS_S: Final = 5.0
"""After a time-out or a cancel: what the script had said is kept within this, or lost."""
_PASSED_ON: Final = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
"""Of the node's environment; the rest, its secret among it, is not a script's business."""
_EXTENSION: Final = re.compile(r"[a-z0-9]{1,8}")


class HostScripts:
    """The scripts that this node's configuration allows."""

    def __init__(
        self, folders: Sequence[Path], adb_port: int, work: Path | None = None, adb_path: str | None = None
    ) -> None:
        """``work`` is where each script gets a folder for its files; None = the system's temporary folder.

        ``adb_path`` is the program that runs as the adb server: a script finds it as ``adb``, because another
        version would end that server. None = whatever is on the PATH.
        """
        self._adb_folder = None if adb_path is None else Path(adb_path).absolute().parent
        self._folders = [folder.expanduser().resolve() for folder in folders]
        self._adb_port = adb_port
        self._work = work

    async def run(self, arguments: Run, context: StepContext) -> RunOutputs:
        """Run a script to its end; its output and its files are kept whatever its end is."""
        program = self._program(arguments.script)
        stdin = b"" if arguments.input is None else msgspec.json.encode(arguments.input)
        with self._folder() as folder, context.using_device() as address:
            files = folder / "files"
            files.mkdir(mode=0o700)
            env = self._passed_on() | {
                "ANDROID_SERIAL": address,
                "ANDROID_ADB_SERVER_PORT": str(self._adb_port),
                "DOAI_SERIAL": context.device.serial,
                "DOAI_FILES": str(files),
            }
            script = Script([str(program), *arguments.args], env=env, folder=folder, stdin=stdin)
            try:
                end = await script.run()
            except OSError as error:
                raise step_failed(
                    ErrorClass.INFRASTRUCTURE,
                    "script_not_started",
                    f"The node can start no process for {arguments.script}: {error.strerror or error}.",
                ) from error
            except trio.Cancelled:
                named = _named(script.end.stopped if script.end is not None else ())
                context.add_to_failure(f"{arguments.script} was stopped with all of its processes{named}.")
                with trio.CancelScope(shield=True), trio.move_on_after(LAST_WORDS_S):
                    await _keep_quietly(script, files, context)
                raise
            kept = await _keep(script, files, context)
        if end.stopped:
            context.log(f"processes had outlived {arguments.script} and were stopped{_named(end.stopped)}")
        return _outcome(arguments, script, end, kept)

    def _passed_on(self) -> dict[str, str]:
        env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        if self._adb_folder is not None:
            env["PATH"] = os.pathsep.join([str(self._adb_folder), env.get("PATH", os.defpath)])
        return env

    def _program(self, script: str) -> Path:
        """Return the file to execute; raises StepError unless it is a program within an allowed folder."""
        if not self._folders:
            raise step_failed(
                ErrorClass.USER,
                "no_host_scripts",
                "This node runs no scripts of its host: name their folders in its setting host_scripts.",
            )
        for folder in self._folders:
            path = folder / script  # an absolute path stays what it is
            real = path.resolve()
            if real.is_relative_to(folder) and real.is_file():
                if not os.access(real, os.X_OK):
                    raise step_failed(
                        ErrorClass.USER,
                        "script_not_executable",
                        f"{script} is on the node and not executable for it: chmod +x, and a first line such as "
                        "#!/bin/sh.",
                    )
                return real
        allowed = ", ".join(str(folder) for folder in self._folders)
        raise step_failed(
            ErrorClass.USER,
            "script_not_allowed",
            f"There is no script {excerpt(script)} in the folders that this node allows ({allowed}): put it there, "
            "or name its folder in the node's setting host_scripts.",
        )

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        try:
            if self._work is not None:
                self._work.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix="script-", dir=self._work))
        except OSError as error:
            raise step_failed(
                ErrorClass.INFRASTRUCTURE, "disk_error", f"The node can make no folder for a script: {error}."
            ) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


async def _keep(script: Script, files: Path, context: StepContext) -> list[str]:
    """Keep and hand over what the script wrote; returns the paths of the artifacts."""
    paths: list[str] = []
    for name, output in (("stdout", script.stdout.data), ("stderr", script.stderr.data)):
        if output:
            paths.append(await _keep_one(context, output, f"{context.step_id}-{name}", "txt"))
    found, size_bytes = _files_in(files), 0
    for path in found[:FILES_MAX]:
        size_bytes += path.stat().st_size
        if size_bytes > FILES_BYTES_MAX:
            break
        data = await trio.to_thread.run_sync(path.read_bytes)
        extension = path.suffix[1:].lower()
        name = path.stem if _EXTENSION.fullmatch(extension) else path.name
        paths.append(await _keep_one(context, data, name, extension if _EXTENSION.fullmatch(extension) else "bin"))
    if len(found) > FILES_MAX or size_bytes > FILES_BYTES_MAX:
        raise step_failed(
            ErrorClass.USER,
            "too_many_files",
            f"The script left {len(found)} files; {FILES_MAX} files with {FILES_BYTES_MAX // 1024 // 1024} MiB "
            "together are kept: let it pack or leave out some.",
        )
    return paths


async def _keep_quietly(script: Script, files: Path, context: StepContext) -> None:
    try:
        await _keep(script, files, context)
    except StepError as error:
        context.log(f"what the script had written is lost: {error}")


async def _keep_one(context: StepContext, data: bytes, name: str, extension: str) -> str:
    media_type = media_type_of(extension)
    ref = await context.keep_artifact(data, extension=extension, media_type=media_type, name=name)
    return (await context.spool_artifact(ref.name)).path


def _files_in(folder: Path) -> list[Path]:
    """Return the regular files below a folder by name; links are left where they are, for they lead elsewhere."""
    return sorted(
        Path(top) / name
        for top, _, names in os.walk(folder)
        for name in names
        if not (Path(top) / name).is_symlink() and (Path(top) / name).is_file()
    )


def _outcome(arguments: Run, script: Script, end: ScriptEnd, kept: list[str]) -> RunOutputs:
    name = arguments.script
    if end.exit_code is None:
        message = f"{name} could not be started: {end.error}; look at its first line."
        raise step_failed(ErrorClass.USER, "script_not_started", message)
    stdout, stderr = script.stdout.data, script.stderr.data
    if end.exit_code not in arguments.exit_codes:
        said = excerpt(_end_of(stderr or stdout, 400))
        how = f"exit code {end.exit_code}" if end.exit_code >= 0 else f"signal {-end.exit_code}"
        raise step_failed(
            CLASSES.get(end.exit_code, ErrorClass.APP),
            "exit_code",
            f"{name} ended with {how}; it said at the end: {said}.",
        )
    return RunOutputs(
        exit_code=end.exit_code,
        stdout=_end_of(stdout, TEXT_BYTES_MAX).rstrip("\r\n"),
        stderr=_end_of(stderr, TEXT_BYTES_MAX).rstrip("\r\n"),
        json=_json(stdout),
        files=kept,
        stopped=list(end.stopped),
    )


def _named(stopped: Sequence[str]) -> str:
    """Return `` (adb, sleep x3)``; nothing for none."""
    counts = Counter(stopped)
    names = ", ".join(f"{name} x{count}" if count > 1 else name for name, count in counts.items())
    return f" ({excerpt(names)})" if counts else ""


def _end_of(data: bytes, bytes_max: int) -> str:
    return data[-bytes_max:].decode("utf-8", "replace")


def _json(data: bytes) -> Any:
    if len(data) > TEXT_BYTES_MAX:
        return None
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
