"""One process of a plug-in, as the node has it: its start, its tries and calls, its end (step 8).

A try that does not end when it is cancelled costs the process its life: nothing else ends code that hangs. What
else it performed then fails as an infrastructure failure, and is tried again where its step may be repeated.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import trio

import doai
from doai.errors import ErrorClass, Failure, StepError
from doai.messages.plugins import StepSchema
from doai.node.core.effects import StartStep
from doai.node.mask import Mask
from doai.node.plugin_calls import Allowed, perform_call
from doai.node.plugin_output import PluginOutput
from doai.node.steps.base import StepContext, StepFunction, step_failed
from doai.parent_death import die_with_parent
from doai.plugins.discovery import Plugin
from doai.plugins.pipe import (
    Answer,
    Broken,
    Call,
    Cancel,
    Ended,
    Failed,
    Frames,
    FromHost,
    Line,
    PipeError,
    Ready,
    Refused,
    Start,
    ToHost,
    frame_of,
)

START_S: Final = 30.0
"""To import its modules: the largest libraries take five seconds on a slow host."""
CANCEL_S: Final = 2.0
"""A try that was cancelled ends within this, or its process is killed: the device waits for it."""
STOP_S: Final = 2.0
"""Between the end of the pipe and SIGKILL."""
CALLS_MAX: Final = 16
"""Calls of one try that wait while another is made: more at once is no step, but a mistake."""
SAID_MAX: Final = 1_000
"""Messages that wait for the process: one that reads none of so many hangs."""
READ_BYTES: Final = 64 * 1024
_PASSED_ON: Final = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SSL_CERT_FILE")
"""Of the node's environment; the rest, its secret among it, is not a plug-in's business."""
_log: Final = logging.getLogger(__name__)


class TryContext(StepContext, Protocol):
    """A `StepContext` that also knows the secrets of its task."""

    @property
    def ids(self) -> dict[str, str]:
        """Ids for log lines."""
        ...

    @property
    def mask(self) -> Mask | None:
        """What knows the secrets of the task; None = it was given none."""
        ...

    def masked(self, value: Any) -> Any:
        """Return a value of JSON's kinds without the secrets of the task."""
        ...


class HostEnded(Exception):
    """The process can not be used, or not any more; ``str(error)`` is why, one sentence without its end."""


class _Try:
    """A try that the process performs."""

    __slots__ = ("calls", "context", "died", "ended", "outcome", "say", "scope")

    def __init__(self, context: TryContext) -> None:
        self.context = context
        self.say, self.calls = trio.open_memory_channel[Call](CALLS_MAX)
        self.outcome: dict[str, Any] | Failure | None = None
        self.scope = trio.CancelScope()
        self.died = ""
        self.ended = trio.Event()


class PluginHost:
    """A process; `run` must be running."""

    def __init__(self, plugin: Plugin, folder: Path, steps: Mapping[str, StepFunction]) -> None:
        """``folder`` is where its modules are imported from; ``steps`` are those of doai that it may ask for."""
        self.plugin = plugin
        self._folder = folder
        self._steps = steps
        self.schemas: dict[str, StepSchema] = {}
        self.pid = 0
        self.is_ready = False
        """It takes tries."""
        self._was_ready = False
        self.has_ended = trio.Event()
        self.reason = ""
        """Why it ended, when nobody asked it to."""
        self._process: subprocess.Popen[bytes] | None = None
        self._tries: dict[int, _Try] = {}
        self._requests = 0
        self._output = PluginOutput(plugin.manifest.name)
        self._say, self._said = trio.open_memory_channel[bytes](SAID_MAX)
        self._stopping = trio.Event()

    @property
    def running(self) -> int:
        """Tries that it performs now."""
        return len(self._tries)

    @property
    def has_performed(self) -> bool:
        """It was given a try."""
        return self._requests > 0

    def stop(self) -> None:
        """Let it end; what it performs fails."""
        self._stopping.set()

    def kill(self, reason: str) -> None:
        """End it at once, with whatever it started."""
        self.reason = self.reason or reason
        self.is_ready = False
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start the process and serve it to its end; ``task_status`` is told once it is ready.

        Raises HostEnded when it does not become ready. Returns when it ended after that: `reason` says why.
        """
        ours, theirs = socket.socketpair()
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        try:
            self._start(theirs, write_fd)
        except OSError as error:
            ours.close()
            os.close(read_fd)
            raise HostEnded(f"no process can be started: {error.strerror or error}") from error
        finally:
            theirs.close()
            os.close(write_fd)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._output.read, trio.lowlevel.FdStream(read_fd))
            try:
                async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as stream:
                    await self._serve(stream, task_status)
            finally:
                with trio.CancelScope(shield=True):
                    await self._end()
            # What it printed at its end, a trace above all, is read; what left its session may hold the pipe open.
            nursery.cancel_scope.deadline = trio.current_time() + STOP_S
        if not self._was_ready:
            raise HostEnded(self.reason or "it was stopped")

    # --- the process ------------------------------------------------------------------------------------------

    def _start(self, pipe: socket.socket, output_fd: int) -> None:
        env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        env |= {"PYTHONPATH": str(Path(doai.__file__).parents[1]), "PYTHONDONTWRITEBYTECODE": "1"}
        parent = os.getpid()
        # Of its own session: what it starts can be ended with it, and Ctrl-C is not for it.
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "doai.plugins.host", str(pipe.fileno()), str(self._folder)),
                *(() if self.plugin.is_folder else ("installed",)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output_fd,
            stderr=output_fd,
            env=env,
            cwd=self._folder,
            pass_fds=(pipe.fileno(),),
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(parent),
        )
        self.pid = self._process.pid

    async def _serve(self, stream: trio.SocketStream, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, stream)
            nursery.start_soon(self._stop_when_told, nursery.cancel_scope)
            nursery.start_soon(self._kill_late)
            try:
                await self._receive(stream, task_status)
            except PipeError as error:
                self.kill(f"it garbled the pipe: {error}")
            except trio.BrokenResourceError:
                pass  # it has ended: how, its exit code tells
            nursery.cancel_scope.cancel()

    async def _receive(self, stream: trio.SocketStream, task_status: trio.TaskStatus[None]) -> None:
        frames: Frames[FromHost] = Frames(FromHost)
        while data := await stream.receive_some(READ_BYTES):
            for message in frames.feed(bytes(data)):
                if isinstance(message, Ready):
                    if not self._was_ready:
                        self.schemas = {schema.name: schema for schema in message.steps}
                        self.is_ready = self._was_ready = True
                        task_status.started()
                elif isinstance(message, Broken):
                    self.reason = message.reason
                else:
                    self._heard(message)

    def _heard(self, message: Ended | Failed | Call | Line) -> None:
        found = self._tries.get(message.request)
        if found is None:
            return  # it ended by a cancel, and the process heard that too late
        if isinstance(message, Line):
            found.context.log(message.message, **message.fields)
        elif isinstance(message, Call):
            try:
                found.say.send_nowait(message)
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                pass  # the try is cancelled or has ended, and the process hears that in a moment
            except trio.WouldBlock:
                self.kill(f"a try made more than {CALLS_MAX} calls at once")
        else:
            found.outcome = message.failure if isinstance(message, Failed) else message.outputs
            found.ended.set()
            found.say.close()

    async def _send(self, stream: trio.SocketStream) -> None:
        async for frame in self._said:
            try:
                await stream.send_all(frame)
            except trio.BrokenResourceError:
                return  # its end is noticed where it is read from

    async def _stop_when_told(self, scope: trio.CancelScope) -> None:
        await self._stopping.wait()
        scope.cancel()

    async def _kill_late(self) -> None:
        await trio.sleep(START_S)
        if not self._was_ready:
            self.kill(f"its modules were not imported within {START_S:g} s")

    async def _end(self) -> None:
        """The pipe is closed, so the process ends, or is killed; every try is told."""
        process = self._process
        assert process is not None
        with trio.move_on_after(STOP_S):
            while process.poll() is None:  # noqa: ASYNC110 - a process tells nobody of its end
                await trio.sleep(0.01)
        asked = self._stopping.is_set()
        if process.poll() is None:
            if not asked:
                self.reason = self.reason or "it closed the pipe and went on"
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await trio.to_thread.run_sync(process.wait)
        else:
            with suppress(ProcessLookupError):  # what it had started
                os.killpg(process.pid, signal.SIGKILL)
        self.reason = self.reason or ("" if asked else _how(process.returncode))
        self.is_ready = False
        for found in list(self._tries.values()):
            found.died = self.reason or "it was stopped"
            found.scope.cancel()
        self._said.close()
        self.has_ended.set()

    # --- tries ------------------------------------------------------------------------------------------------

    async def perform(self, effect: StartStep, arguments: dict[str, Any], context: TryContext) -> dict[str, Any]:
        """Let the process perform a try; raises StepError. When this is cancelled, the try has ended, or it."""
        self._requests += 1
        request, found = self._requests, _Try(context)
        if (mask := context.mask) is not None:
            self._output.add_mask(mask)
        self._tries[request] = found
        try:
            with found.scope:
                self._tell(
                    Start(
                        request=request,
                        use=effect.use,
                        arguments=arguments,
                        step_id=effect.key.step_id,
                        run_id=effect.run_id,
                        task_id=effect.key.task_id,
                        workflow=effect.recipe,
                        serial=effect.device_serial,
                        try_number=effect.key.try_number,
                        timeout_s=effect.timeout_s,
                    )
                )
                await self._answer_calls(effect, found)
            if found.outcome is None:
                raise self._died(effect, found)
        except trio.Cancelled:
            await self._cancel(effect, request, found)
            raise
        finally:
            self._tries.pop(request, None)
        if isinstance(found.outcome, Failure):
            raise StepError(_logged(found.outcome, context))
        return found.outcome

    async def _answer_calls(self, effect: StartStep, found: _Try) -> None:
        allowed = Allowed(use=effect.use, context=found.context, on_device=effect.on_device, steps=self._steps)
        async for call in found.calls:
            try:
                value = await perform_call(call.what, call.arguments, allowed)
                self._tell(Answer(call=call.call, value=value))
            except StepError as error:
                self._tell(Refused(call=call.call, failure=error.failure))
            except PipeError as error:
                failure = Failure(error_class=ErrorClass.USER, code="answer_too_large", message=f"{error}.")
                self._tell(Refused(call=call.call, failure=failure))

    async def _cancel(self, effect: StartStep, request: int, found: _Try) -> None:
        """Wait until the process has heard that nobody wants the try any more; a deaf one is killed."""
        with trio.CancelScope(shield=True), trio.move_on_after(CANCEL_S):
            found.calls.close()  # no command of it begins on the device any more
            self._tell(Cancel(request=request))
            await found.ended.wait()
        if not found.ended.is_set() and not self.has_ended.is_set():
            name = self.plugin.manifest.name
            reason = f"step {effect.key.step_id} ({effect.use}) did not end {CANCEL_S:g} s after it was cancelled"
            found.context.add_to_failure(f"It hung: the process of plug-in {name} was killed.")
            self.kill(reason)

    def _tell(self, message: ToHost) -> None:
        """Send a message; raises PipeError for one that is too large."""
        try:
            self._say.send_nowait(frame_of(message))
        except trio.WouldBlock:
            self.kill("it does not read what the node says")
        except trio.BrokenResourceError:
            pass  # it has ended, which every try is told

    def _died(self, effect: StartStep, found: _Try) -> StepError:
        reason = found.died or "it was stopped"
        return step_failed(
            ErrorClass.INFRASTRUCTURE,
            "plugin_ended",
            f"Step {effect.key.step_id} ({effect.use}) was cut off, because the process of plug-in "
            f"{self.plugin.label} is no more: {reason}.",
        )


def _logged(failure: Failure, context: TryContext) -> Failure:
    """Log the trace of a crash, which only this side can mask, and return the failure without it."""
    if "trace" not in failure.details:
        return failure
    details = dict(failure.details)
    _log.error("step crashed\n%s", context.masked(str(details.pop("trace"))), extra=context.ids)
    return msgspec.structs.replace(failure, details=details)


def _how(returncode: int) -> str:
    if returncode >= 0:
        return f"it ended with exit code {returncode}"
    try:
        return f"it ended by signal {-returncode} ({signal.Signals(-returncode).name})"
    except ValueError:
        return f"it ended by signal {-returncode}"
