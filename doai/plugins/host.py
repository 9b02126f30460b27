"""The process of a plug-in: imports its modules, performs tries that the node starts, ends with the node (step 8).

`python -m doai.plugins.host FD FOLDER [installed]`: the number of an inherited socket, and the plug-in's folder,
from which its modules are imported unless it is an installed one. It decides nothing: phone, disk, log and time are
the node's.
"""

from __future__ import annotations

import importlib
import itertools
import socket
import sys
import traceback
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from doai.errors import DoaiError, ErrorClass, Failure, StepError
from doai.plugins.context import Context
from doai.plugins.definition import StepDefinition, steps_in
from doai.plugins.manifest import read_manifest
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

TRACE_CHARACTERS_MAX: Final = 4_000
"""Of every text that is told of a try: a trace, a line for the log, a value beside it."""
NAME_CHARACTERS_MAX: Final = 100
FIELDS_MAX: Final = 100
"""Values beside a line or a failure: with their length far below what a frame can hold."""
READ_BYTES: Final = 64 * 1024
SAID_MAX: Final = 10_000
"""Messages that wait for the node: it takes them at once, or it is gone."""
LINES_MAX: Final = 1_000
"""No more lines for the log while so many wait: a step that logs without an end leaves room for its end."""


class Host:
    """Performs tries; one for the time of the process."""

    def __init__(self, stream: trio.abc.Stream, steps: Mapping[str, StepDefinition]) -> None:
        self._stream = stream
        self._steps = steps
        self._scopes: dict[int, trio.CancelScope] = {}
        self._calls: dict[int, trio.MemorySendChannel[Answer | Refused]] = {}
        self._last_call = 0
        self._missing: dict[int, int] = {}
        """How many lines of a try were not told."""
        self._say, self._said = trio.open_memory_channel[bytes](SAID_MAX)

    async def run(self) -> None:
        """Perform until the node closes the pipe; raises PipeError for what is no frame."""
        frames: Frames[ToHost] = Frames(ToHost)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send)
            while data := await self._stream.receive_some(READ_BYTES):
                for message in frames.feed(bytes(data)):
                    if isinstance(message, Start):
                        self._scopes[message.request] = trio.CancelScope()
                        nursery.start_soon(self._perform, message)
                    elif isinstance(message, Cancel):
                        if (scope := self._scopes.get(message.request)) is not None:
                            scope.cancel()
                    elif (waiting := self._calls.pop(message.call, None)) is not None:
                        waiting.send_nowait(message)
            nursery.cancel_scope.cancel()

    def say(self, message: FromHost) -> None:
        """Send a message as soon as the node takes it; raises PipeError for one that is too large."""
        self._say.send_nowait(frame_of(message))

    async def _send(self) -> None:
        async for frame in self._said:
            await self._stream.send_all(frame)

    async def _perform(self, start: Start) -> None:
        scope = self._scopes[start.request]
        ended = b""
        failure = _failure(ErrorClass.CANCELLED, "step_cancelled", f"Step {start.step_id} was cancelled.")
        try:
            with scope:
                outputs = await self._outputs(start)
                ended = frame_of(Ended(request=start.request, outputs=outputs))
        except StepError as error:
            failure = error.failure
        except PipeError as error:  # what is too large for the pipe is this step's mistake
            failure = _failure(ErrorClass.USER, "outputs_too_large", f"Step {start.step_id}: {error}.")
        except Exception as error:
            failure = _crash(start, error)
        finally:
            del self._scopes[start.request]
        self._tell_missing(start.request)
        self._say.send_nowait(ended or frame_of(_failed(start, failure)))

    async def _outputs(self, start: Start) -> dict[str, Any]:
        found = self._steps.get(start.use)
        if found is None:
            raise StepError(
                _failure(ErrorClass.USER, "unknown_step", f"The plug-in has no step {start.use}: store it anew.")
            )
        try:
            arguments = msgspec.convert(start.arguments, found.type.arguments)
        except msgspec.ValidationError as error:
            raise StepError(
                _failure(
                    ErrorClass.USER, "bad_arguments", f"Step {start.step_id} can not take its arguments: {error}."
                )
            ) from None
        context = Context(
            step_id=start.step_id,
            run_id=start.run_id,
            task_id=start.task_id,
            workflow=start.workflow,
            try_number=start.try_number,
            timeout_s=start.timeout_s,
            serial=start.serial,
            call=partial(self._call, start.request),
            log=partial(self._log, start.request),
        )
        result = await found.function(arguments, context)
        if result is None:
            return {}
        outputs: dict[str, Any] = msgspec.to_builtins(result)
        try:
            msgspec.convert(outputs, found.type.outputs)
        except msgspec.ValidationError as error:
            raise StepError(
                _failure(
                    ErrorClass.INFRASTRUCTURE,
                    "bad_outputs",
                    f"Step {start.step_id} ({start.use}) returned what is not as it declares: {error}.",
                )
            ) from None
        return outputs

    async def _call(self, request: int, what: str, arguments: dict[str, Any]) -> Any:
        self._last_call += 1
        call = self._last_call
        answer, answers = trio.open_memory_channel[Answer | Refused](1)
        self._calls[call] = answer
        try:
            self.say(Call(request=request, call=call, what=what, arguments=arguments))
            got = await answers.receive()
        finally:
            self._calls.pop(call, None)
        if isinstance(got, Refused):
            raise StepError(got.failure)
        return got.value

    def _log(self, request: int, message: str, fields: dict[str, Any]) -> None:
        if self._say.statistics().current_buffer_used >= LINES_MAX:
            self._missing[request] = self._missing.get(request, 0) + 1
            return
        self._tell_missing(request)
        self.say(Line(request=request, message=_text(message), fields=_plain(fields)))

    def _tell_missing(self, request: int) -> None:
        count = self._missing.pop(request, 0)
        if count:
            self.say(
                Line(request=request, message=f"{count} lines are missing here: they came too fast", fields={})
            )


def _plain(fields: Mapping[Any, Any]) -> dict[str, Any]:
    """Return fields as the pipe and JSON can carry them, whatever a step put in."""
    first = itertools.islice(fields.items(), FIELDS_MAX)
    return {_text(name, NAME_CHARACTERS_MAX): _plain_value(value) for name, value in first}


def _plain_value(value: object) -> Any:
    if value is None or isinstance(value, str):
        return value and _text(value)
    try:
        plain = msgspec.json.decode(msgspec.json.encode(value))
        fits = len(msgspec.msgpack.encode(plain)) <= TRACE_CHARACTERS_MAX  # it has whole numbers of 64 bits only
    except Exception:
        fits = False  # then it is told in words
    return plain if fits else _text(value)


def _text(value: object, characters_max: int = TRACE_CHARACTERS_MAX) -> str:
    try:
        text = str(value)[:characters_max]
    except Exception as error:
        text = f"<{type(value).__name__} whose text raised {type(error).__name__}>"
    return text.encode("utf-8", "replace").decode()  # half of a surrogate pair is no text


def _failed(start: Start, failure: Failure) -> Failed:
    """Say why a try failed; a failure that a step made may hold anything."""
    given: object = failure.error_class
    if not isinstance(given, ErrorClass):
        failure = _failure(
            ErrorClass.INFRASTRUCTURE,
            "step_crashed",
            f"Step {start.step_id} ({start.use}) failed with the error class {_text(given, 100)!r}, "
            f"which is none: give a member of ErrorClass. It said: {_text(failure.message)}",
        )
    plain = msgspec.structs.replace(
        failure, code=_text(failure.code), message=_text(failure.message), details=_plain(failure.details)
    )
    return Failed(request=start.request, failure=plain)


def _failure(error_class: ErrorClass, code: str, message: str) -> Failure:
    return Failure(error_class=error_class, code=code, message=message)


def _crash(start: Start, error: Exception) -> Failure:
    # The node logs the trace: it knows the secrets that must not be in it.
    trace = "".join(traceback.format_exception(error))[-TRACE_CHARACTERS_MAX:]
    return Failure(
        error_class=ErrorClass.INFRASTRUCTURE,
        code="step_crashed",
        message=f"Step {start.step_id} ({start.use}) raised {type(error).__name__}: see the node's log.",
        details={"trace": trace},
    )


def load(folder: Path) -> dict[str, StepDefinition]:
    """Import the modules of a plug-in's steps and return these; raises DoaiError, whatever the modules do."""
    manifest = read_manifest(folder)
    modules = {}
    for entry in manifest.steps:
        try:
            modules[entry.module] = importlib.import_module(entry.module)
        except DoaiError:
            raise
        except (Exception, SystemExit) as error:
            raise DoaiError(_import_failure(entry.module, folder, error)) from error
    return steps_in(manifest, modules)


def _import_failure(module: str, folder: Path, error: BaseException) -> str:
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(folder))
    ]
    if isinstance(error, SyntaxError) and error.filename:
        where = f" ({Path(error.filename).name}, line {error.lineno})"
    else:
        where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"the module {module} can not be imported{where}: {type(error).__name__}: {error}"[:1000]


async def _serve(pipe: socket.socket, folder: Path) -> int:
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(pipe))
    async with stream:
        try:
            steps = load(folder)
        except DoaiError as error:
            await stream.send_all(frame_of(Broken(reason=str(error))))
            return 1
        host = Host(stream, steps)
        host.say(Ready(steps=[found.schema for found in steps.values()]))
        try:
            await host.run()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the node is gone, and with it everybody who would hear of it
    return 0


def main(argv: list[str]) -> int:
    """Serve a plug-in until the node closes the pipe; returns the exit code.

    ``check FOLDER`` only imports its modules and prints why they can not be used; nothing = they can.
    """
    if argv[0] == "check":
        sys.path.insert(0, argv[1])
        try:
            load(Path(argv[1]))
        except DoaiError as error:
            print(error)  # noqa: T201 - the answer to a question
        return 0
    pipe, folder = socket.socket(fileno=int(argv[0])), Path(argv[1])
    if argv[2:] != ["installed"]:
        sys.path.insert(0, str(folder))
    return trio.run(_serve, pipe, folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
