"""The phone's shell: runs a command line against a device, without any I/O (way of a task: 9).

A Session is a generator of effects (doai.phone.effects); who drives it keeps `session.now_s` at the time.
"""

import fnmatch
import posixpath
from collections.abc import Mapping

import msgspec

from doai.phone.commands import TABLE
from doai.phone.commands.call import Call, Program
from doai.phone.device import Device
from doai.phone.effects import STDERR, STDOUT, Effect, Output, Read, Reboot, Running, Wait
from doai.phone.files import FileError
from doai.phone.grammar import Part, Redirect, ShellSyntaxError, Simple, Step, Word, parse

NOT_FOUND_EXIT = 127
SYNTAX_EXIT = 1


class Finished(msgspec.Struct, frozen=True):
    """What a command line gave when it was run to its end at once."""

    stdout: bytes
    stderr: bytes
    exit_code: int


class Exit(Exception):
    """`exit` was called: the rest of the line does not run."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit {code}")
        self.code = code


class Session:
    """One shell: its variables, the last exit code, and the time, which its driver keeps right."""

    def __init__(self, device: Device, now_s: float, programs: Mapping[str, Program] = TABLE) -> None:
        self.device = device
        self.now_s = now_s
        self.variables: dict[str, str] = {"HOME": "/", "TMPDIR": "/data/local/tmp", "PATH": "/system/bin"}
        self.last_exit = 0
        self._programs = programs

    def run(self, line: str) -> Running:
        """Runs a command line; returns the exit code of the last command."""
        try:
            steps = parse(line)
        except ShellSyntaxError as error:
            yield Output(STDERR, f"{error}\n".encode())
            return SYNTAX_EXIT
        try:
            for step in steps:
                if self._wanted(step):
                    self.last_exit = yield from self._pipeline(step.pipeline)
        except Exit as left:
            self.last_exit = left.code
        return self.last_exit

    def _wanted(self, step: Step) -> bool:
        if step.connector == "&&":
            return self.last_exit == 0
        return step.connector != "||" or self.last_exit != 0

    def _pipeline(self, pipeline: tuple[Simple, ...]) -> Running:
        stdin: bytes | None = None
        for simple in pipeline[:-1]:
            collected = bytearray()
            running = _with_input(self._simple(simple), stdin)
            answer = b""
            while True:
                try:
                    effect = running.send(answer) if answer else next(running)
                except StopIteration:
                    break
                answer = b""
                if isinstance(effect, Output) and effect.fd == STDOUT:
                    collected += effect.data
                else:
                    answer = yield effect
            stdin = bytes(collected)
        return (yield from _with_input(self._simple(pipeline[-1]), stdin))

    def _simple(self, simple: Simple) -> Running:
        for name, word in simple.assignments:
            self.variables[name] = self._text(word)
        argv = [text for word in simple.words for text in self._expand(word)]
        if not argv:
            return 0
        program = self._programs.get(argv[0].removeprefix("/system/bin/"))
        if argv[:2] == ["sh", "-c"] and len(argv) > 2:
            running = self._nested(argv[2])
        else:
            running = self._missing(argv[0]) if program is None else self._start(program, argv)
        if simple.redirects:
            running = self._redirected(running, simple.redirects)
        return (yield from running)

    def _start(self, program: Program, argv: list[str]) -> Running:
        call = Call(self.device, argv, lambda: self.now_s)
        if argv[0] == "exit":
            raise Exit(int(argv[1]) & 255 if len(argv) > 1 and argv[1].isdecimal() else self.last_exit)
        result = program(call)
        if isinstance(result, int):
            yield from call.take_output()
            return result
        return (yield from result)

    def _nested(self, line: str) -> Running:
        """`sh -c LINE`: a shell of its own, whose time goes with this one's."""
        inner = Session(self.device, self.now_s, self._programs)
        running, answer = inner.run(line), b""
        while True:
            inner.now_s = self.now_s
            try:
                effect = running.send(answer) if answer else next(running)
            except StopIteration as end:
                return int(end.value)
            answer = yield effect

    def _missing(self, name: str) -> Running:
        yield Output(STDERR, f"/system/bin/sh: {name}: inaccessible or not found\n".encode())
        return NOT_FOUND_EXIT

    def _redirected(self, running: Running, redirects: tuple[Redirect, ...]) -> Running:
        device, at_s = self.device, int(self.device.wall_s(self.now_s))
        goes: dict[int, int | str] = {STDOUT: STDOUT, STDERR: STDERR}
        for redirect in redirects:
            path = self._text(redirect.target)
            try:
                if redirect.to_fd is not None:
                    goes[redirect.fd] = goes[redirect.to_fd]
                elif redirect.operator == "<":
                    running = _with_input(running, device.files.read(path))
                else:
                    device.files.write(path, b"", at_s, append=redirect.operator == ">>")
                    goes[redirect.fd] = path
            except FileError as error:
                verb = "open" if redirect.operator == "<" else "create"
                yield Output(STDERR, f"/system/bin/sh: can't {verb} {path}: {error}\n".encode())
                return 1
        answer = b""
        while True:
            try:
                effect = running.send(answer) if answer else next(running)
            except StopIteration as end:
                return int(end.value)
            answer = b""
            goal = goes[effect.fd] if isinstance(effect, Output) else None
            if isinstance(effect, Output) and isinstance(goal, str):
                try:
                    device.files.write(goal, effect.data, at_s, append=True)
                except FileError as error:
                    yield Output(STDERR, f"write: {error}\n".encode())
                    return 1
            elif isinstance(effect, Output) and isinstance(goal, int):
                yield Output(goal, effect.data)
            else:
                answer = yield effect

    def _text(self, word: Word) -> str:
        return "".join(self._part(part) for part in word)

    def _part(self, part: Part) -> str:
        if not part.variable:
            return part.text
        return str(self.last_exit) if part.text == "?" else self.variables.get(part.text, "")

    def _expand(self, word: Word) -> list[str]:
        text = self._text(word)
        if any(part.quoted for part in word):
            return [text]
        if any(part.variable for part in word):
            return text.split()
        if "*" in text and text.startswith("/"):
            folder, _, pattern = text.rpartition("/")
            names = [entry.name for entry in self.device.files.entries(folder or "/")]
            found = [posixpath.join(folder, name) for name in names if fnmatch.fnmatchcase(name, pattern)]
            return found or [text]
        return [text]


def _with_input(running: Running, stdin: bytes | None) -> Running:
    """Answers a command's Read effects from bytes at hand; None leaves them to the driver."""
    if stdin is None:
        return (yield from running)
    left: list[bytes] = [stdin] if stdin else []
    answer = b""
    while True:
        try:
            effect = running.send(answer) if answer else next(running)
        except StopIteration as end:
            return int(end.value)
        if isinstance(effect, Read):
            answer = left.pop() if left else b""
        else:
            answer = yield effect


def run_at_once(device: Device, line: str, now_s: float, stdin: bytes = b"") -> Finished:
    """Runs a command line to its end in no time, for tests and tools: waits only move the session's clock."""
    session = Session(device, now_s)
    out = {STDOUT: bytearray(), STDERR: bytearray()}
    running = _with_input(session.run(line), stdin)
    while True:
        try:
            effect: Effect = next(running)
        except StopIteration as end:
            return Finished(bytes(out[STDOUT]), bytes(out[STDERR]), int(end.value))
        if isinstance(effect, Output):
            out[effect.fd] += effect.data
        elif isinstance(effect, Wait):
            session.now_s += effect.duration_s
        elif isinstance(effect, Reboot):
            device.boot(session.now_s)
            return Finished(bytes(out[STDOUT]), bytes(out[STDERR]), 255)
