"""Flows of Maestro as workflows: what has a counterpart is converted, the rest named with its line (step 2). Pure.

A flow is one or two YAML documents: settings (``appId``, ``env`` ...) and a list of commands. What each command
becomes is in `maestro_commands`. Every step is checked by our own validation as it is made, so what is returned can
be stored; a command of which no valid step can be made is left out and named, never half converted.
Source of names and defaults: Maestro's reference of commands (docs.maestro.dev).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from doai.workflow.language import NAME_PATTERN
from doai.workflow.maestro_commands import CONVERTERS
from doai.workflow.maestro_values import Context, LeftOutError, references
from doai.workflow.mistakes import Mistake, Path, WorkflowError
from doai.workflow.model import parse_workflow
from doai.workflow.source import SourceText, read_source
from doai.workflow.steps import BUILT_IN
from doai.workflow.writing import Line, write_recipe

_DOCUMENT_END: Final = re.compile(r"^---[ \t]*(?:#.*)?$", re.MULTILINE)
_SETTINGS: Final = frozenset({"appId", "name", "tags", "env", "onFlowStart", "onFlowComplete", "properties"})
"""Tags and properties say nothing about what a phone does, the others are converted."""
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_SUBJECT: Final = "the flow can not be converted"


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person should look at."""

    line: int
    """In the flow, from 1."""
    command: str
    message: str
    left_out: bool
    """It is not in the workflow; False: it is, and means something a little different."""

    def __str__(self) -> str:
        return f"line {self.line}: {self.command}: {self.message}"


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a flow."""

    name: str
    text: str
    """YAML of a workflow that can be stored."""
    steps: int
    notes: tuple[Note, ...]
    """In the order of the flow."""

    @property
    def is_partial(self) -> bool:
        """Whether anything of the flow is not in the workflow."""
        return any(note.left_out for note in self.notes)


def import_flow(source: str, *, name: str, rename: bool = False) -> Imported:
    """Return the workflow that a flow means; ``name`` is used unless the flow has one, or always with ``rename``.

    Raises WorkflowError, with line and column, for a text that is no flow, and when nothing of it has a
    counterpart.
    """
    settings, commands = _documents(source)
    own_name = None if rename else settings.data.get("name")
    return _Importer(settings, commands, _name_of(own_name, name)).imported()


def _documents(source: str) -> tuple[SourceText, SourceText]:
    """Return settings and commands; each keeps its line numbers."""
    cuts = [match.start() for match in _DOCUMENT_END.finditer(source)]
    if cuts and not source[: cuts[0]].strip():
        source = source[: cuts[0]] + source[cuts[0] :].replace("---", "", 1)
        cuts = cuts[1:]
    if len(cuts) > 1:
        raise _error(
            source.count("\n", 0, cuts[1]) + 1, "a third document begins; a flow has settings and commands"
        )
    if not cuts:
        return SourceText({}, {}, {}), _list(read_source(source))
    head, tail = source[: cuts[0]], source[cuts[0] + 3 :]
    settings = read_source(head)
    if not isinstance(settings.data, dict):
        raise _error(1, "the settings before --- are no map; write appId and the like")
    return settings, _list(read_source("\n" * head.count("\n") + tail))


def _list(commands: SourceText) -> SourceText:
    if not isinstance(commands.data, list):
        raise _error(1, "there is no list of commands; a flow is a list such as `- launchApp`")
    return commands


def _error(line: int, message: str) -> WorkflowError:
    return WorkflowError(_SUBJECT, [Mistake(line=line, column=1, path="", message=message)])


class _Importer:
    def __init__(self, settings: SourceText, commands: SourceText, name: str) -> None:
        self._settings = settings
        self._commands = commands
        self._notes: list[Note] = []
        self._ids: set[str] = set()
        self._params: dict[str, Any] = {}
        app_id = settings.data.get("appId")
        self._app_id = app_id if isinstance(app_id, str) else ""
        self._name = name

    def imported(self) -> Imported:
        self._look_at_settings()
        settings = self._settings
        start = self._converted(settings, settings.data.get("onFlowStart") or [], ("onFlowStart",))
        steps = start + self._converted(self._commands, self._commands.data, ())
        always = self._converted(settings, settings.data.get("onFlowComplete") or [], ("onFlowComplete",))
        count = sum(not isinstance(step, Line) for step in (*steps, *always))
        if not any(not isinstance(step, Line) for step in steps):
            first = str(self._notes[0]) if self._notes else "it has no commands"
            raise _error(1, f"nothing of it has a counterpart ({first})")
        title = settings.data.get("name")
        fields: dict[str, Any] = {"workflow": self._name}
        if isinstance(title, str) and title != self._name:
            fields["title"] = title.replace("${", "$ {")
        if self._params:
            fields["params"] = self._params
        fields["steps"] = steps
        if any(not isinstance(step, Line) for step in always):
            fields["always"] = always
        text = write_recipe(
            fields, heading=["Made of a Maestro flow; compare it with the original before you rely on it."]
        )
        parse_workflow(text)
        notes = sorted(self._notes, key=lambda note: note.line)
        return Imported(name=self._name, text=text, steps=count, notes=tuple(notes))

    def _look_at_settings(self) -> None:
        env = self._settings.data.get("env")
        for key, value in env.items() if isinstance(env, Mapping) else ():
            if _WORD.fullmatch(key) and isinstance(value, str | int | float) and not isinstance(value, bool):
                default = str(value)
                if "${" not in default:
                    self._params[key] = {"type": "string", "default": default}
                    continue
            self._note(self._settings, ("env", key), "env", f"{key} is no plain value", left_out=True)
        for key in self._settings.data:
            if key not in _SETTINGS:
                self._note(self._settings, (key,), key, "this setting has no counterpart", left_out=True)

    def _converted(self, source: SourceText, commands: Any, path: Path) -> list[dict[str, Any] | Line]:
        """Return the steps of a list of commands, with a comment where one was left out."""
        if not isinstance(commands, list):
            self._note(source, path, str(path[-1]), "it is no list of commands", left_out=True)
            return []
        found: list[dict[str, Any] | Line] = []
        for index, command in enumerate(commands):
            found += self._command(source, command, (*path, index))
        return found

    def _command(self, source: SourceText, command: Any, path: Path) -> list[dict[str, Any] | Line]:
        if isinstance(command, str):
            name, arguments = command, None
        elif isinstance(command, dict) and len(command) == 1:
            [(name, arguments)] = command.items()
        else:
            return [self._left_out(source, path, "?", "it is no command: write one name with what it needs")]
        inner = (*path, name)
        convert = CONVERTERS.get(name)
        if convert is None:
            return [self._left_out(source, path, name, "this command has no counterpart")]
        if name == "runFlow" and isinstance(arguments, dict) and "commands" in arguments:
            reason = _why_not_inline(arguments)
            if reason:
                return [self._left_out(source, path, name, reason)]
            return self._converted(source, arguments["commands"], (*inner, "commands"))
        taken, params = set(self._ids), dict(self._params)
        context = Context(
            app_id=self._app_id, ids=self._ids, nested=lambda key, list_: self._nested(source, inner, key, list_)
        )
        try:
            steps = convert(context, arguments)
            for word in sorted({word for step in steps for word in references(step)}):
                self._params.setdefault(word, {"type": "string"})
            self._check(steps)
        except LeftOutError as error:
            self._ids, self._params = taken, params
            return [self._left_out(source, path, name, str(error))]
        for message in context.notes:
            self._note(source, path, name, message, left_out=False)
        return list(steps)

    def _nested(self, source: SourceText, path: Path, key: str, commands: Any) -> list[dict[str, Any]]:
        """Steps of commands inside a command: all of them, or the command is left out."""
        before = len(self._notes)
        found = self._converted(source, commands, (*path, key))
        if any(note.left_out for note in self._notes[before:]):
            inside = str(next(note for note in self._notes[before:] if note.left_out))
            del self._notes[before:]
            raise LeftOutError(f"a command in it can not be converted ({inside})")
        return [step for step in found if not isinstance(step, Line)]

    def _check(self, steps: list[dict[str, Any]]) -> None:
        """Refuse what our own validation would; by itself, so that the line of the flow is known."""
        for step in steps:
            if step["use"] not in BUILT_IN:
                raise LeftOutError(f"there is no step {step['use']}")
        text = write_recipe({"workflow": self._name, "params": self._params, "steps": steps})
        try:
            parse_workflow(text)
        except WorkflowError as error:
            first = error.mistakes[0]
            raise LeftOutError(f"{first.path}: {first.message}") from None

    def _left_out(self, source: SourceText, path: Path, name: str, message: str) -> Line:
        note = self._note(source, path, name, message, left_out=True)
        return Line(f"left out, {note}")

    def _note(self, source: SourceText, path: Path, name: str, message: str, *, left_out: bool) -> Note:
        place = source.keys.get(path) or source.values.get(path)
        note = Note(line=place.line if place else 1, command=name[:63], message=message, left_out=left_out)
        self._notes.append(note)
        return note


def _why_not_inline(arguments: Mapping[str, Any]) -> str:
    """Why commands inside a runFlow can not simply be done at its place; empty when they can."""
    when = arguments.get("when")
    if isinstance(when, dict) and set(when) == {"platform"} and str(when["platform"]).lower() == "android":
        when = None
    if when is not None:
        return "commands under a condition (when) have no counterpart"
    extra = sorted(set(arguments) - {"commands", "when", "label"})
    return f"{extra[0]} has no counterpart" if extra else ""


def _name_of(given: Any, otherwise: str) -> str:
    """Return a name that a workflow can have, near to what the flow or its file is called."""
    for text in (given, otherwise):
        if isinstance(text, str):
            word = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:63]
            if re.search(NAME_PATTERN, word):
                return word
    return "flow"
