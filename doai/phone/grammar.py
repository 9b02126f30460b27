"""The grammar of the phone's shell: a command line becomes a tree (way of a task: 9).

Known: `;`, newline, `&&`, `||`, `|`, quotes, backslash, `$NAME`, `${NAME}`, `$?`, assignments, comments,
`>`, `>>`, `<`, `2>`, `2>&1`. Anything else that a real shell knows is a ShellSyntaxError, never a guess.
"""

import re
from collections.abc import Iterator

import msgspec

LINE_CHARACTERS_MAX = 64 * 1024
"""Longest command line; adb's own limit for a service string is smaller."""

_NAME = re.compile(r"[A-Za-z_]\w*")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=")
_OPERATORS = ("&&", "||", ">>", ";", "|", ">", "<", "\n", "&", "(", ")")


class ShellSyntaxError(Exception):
    """The line is no command that this shell understands; the text is what it prints."""


class Part(msgspec.Struct, frozen=True):
    """A piece of a word: literal text, or the name of a variable; quoted pieces are not split or globbed."""

    text: str
    variable: bool
    quoted: bool


Word = tuple[Part, ...]


class Redirect(msgspec.Struct, frozen=True):
    """`fd` goes to a file (`target`), is read from it, or follows another descriptor (`to_fd`)."""

    fd: int
    operator: str
    target: Word
    to_fd: int | None


class Simple(msgspec.Struct, frozen=True):
    """One program with its words, assignments before it, and redirections."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...]


class Step(msgspec.Struct, frozen=True):
    """A pipeline and what it depends on: `;` always, `&&` success, `||` failure of what ran before."""

    connector: str
    pipeline: tuple[Simple, ...]


class _Operator(msgspec.Struct, frozen=True):
    text: str
    fd: int | None


_Token = Word | _Operator


def parse(line: str) -> tuple[Step, ...]:
    """The steps of a command line. Raises ShellSyntaxError."""
    if len(line) > LINE_CHARACTERS_MAX:
        raise ShellSyntaxError("/system/bin/sh: line too long")
    tokens = list(_tokens(line))
    steps: list[Step] = []
    connector, pipeline, current = ";", [], _Collector()
    for token in tokens:
        if not isinstance(token, _Operator):
            current.word(token)
        elif token.text in (">", ">>", "<", ">&"):
            current.redirect(token)
        elif token.text == "|":
            pipeline.append(current.finish("|"))
            current = _Collector()
        elif token.text in (";", "\n", "&&", "||"):
            if pipeline or not current.empty:
                steps.append(Step(connector, (*pipeline, current.finish(token.text))))
            elif token.text != "\n":
                raise ShellSyntaxError(f"/system/bin/sh: syntax error: unexpected '{token.text}'")
            if not (token.text == "\n" and not pipeline and current.empty):
                connector = ";" if token.text == "\n" else token.text
            pipeline, current = [], _Collector()
        else:
            raise ShellSyntaxError(f"/system/bin/sh: syntax error: unexpected '{token.text}'")
    if pipeline or not current.empty:
        steps.append(Step(connector, (*pipeline, current.finish("end of line"))))
    elif connector in ("&&", "||"):
        raise ShellSyntaxError("/system/bin/sh: syntax error: unexpected end of line")
    return tuple(steps)


class _Collector:
    """Gathers the words of one simple command."""

    def __init__(self) -> None:
        self._assignments: list[tuple[str, Word]] = []
        self._words: list[Word] = []
        self._redirects: list[Redirect] = []
        self._open: _Operator | None = None

    @property
    def empty(self) -> bool:
        return not (self._assignments or self._words or self._redirects or self._open)

    def word(self, word: Word) -> None:
        if self._open is not None:
            self._redirects.append(_redirect(self._open, word))
            self._open = None
            return
        first = word[0] if word else None
        found = _ASSIGNMENT.match(first.text) if first and not (first.variable or first.quoted) else None
        if found and first and not self._words:
            rest = first.text[found.end() :]
            value = ((Part(rest, False, False),) if rest else ()) + word[1:]
            self._assignments.append((found[1], value))
        else:
            self._words.append(word)

    def redirect(self, operator: _Operator) -> None:
        if self._open is not None:
            raise ShellSyntaxError(f"/system/bin/sh: syntax error: unexpected '{operator.text}'")
        self._open = operator

    def finish(self, before: str) -> Simple:
        if self.empty or self._open is not None:
            raise ShellSyntaxError(f"/system/bin/sh: syntax error: unexpected '{before}'")
        return Simple(tuple(self._assignments), tuple(self._words), tuple(self._redirects))


def _redirect(operator: _Operator, word: Word) -> Redirect:
    fd = operator.fd if operator.fd is not None else (0 if operator.text == "<" else 1)
    if operator.text == ">&":
        text = word[0].text if len(word) == 1 else ""
        if text not in ("1", "2"):
            raise ShellSyntaxError("/system/bin/sh: syntax error: bad redirection")
        return Redirect(fd, operator.text, (), int(text))
    return Redirect(fd, operator.text, word, None)


def _tokens(line: str) -> Iterator[_Token]:
    at = 0
    while at < len(line):
        character = line[at]
        if character in " \t\r":
            at += 1
        elif character == "#":
            end = line.find("\n", at)
            at = len(line) if end < 0 else end
        elif character in ";|&<>()\n" or line[at : at + 2] in ("1>", "2>"):
            operator, at = _operator(line, at)
            yield operator
        else:
            word, at = _word(line, at)
            yield word


def _operator(line: str, at: int) -> tuple[_Operator, int]:
    fd = None
    if line[at] in "12":
        fd = int(line[at])
        at += 1
    if line[at : at + 2] == ">&":
        return _Operator(">&", fd), at + 2
    text = next(text for text in _OPERATORS if line.startswith(text, at))
    return _Operator(text, fd), at + len(text)


def _word(line: str, at: int) -> tuple[Word, int]:
    parts: list[Part] = []
    while at < len(line) and line[at] not in " \t\r\n;|&<>()":
        character = line[at]
        if character == "'":
            end = line.find("'", at + 1)
            if end < 0:
                raise ShellSyntaxError("/system/bin/sh: no closing quote")
            parts.append(Part(line[at + 1 : end], False, True))
            at = end + 1
        elif character == '"':
            inside, at = _double_quoted(line, at + 1)
            parts += inside
        elif character == "\\":
            parts.append(Part(line[at + 1 : at + 2], False, True))
            at += 2
        elif character == "$":
            part, at = _variable(line, at, quoted=False)
            parts.append(part)
        elif character == "`":
            raise ShellSyntaxError("/system/bin/sh: command substitution is not supported on this phone")
        else:
            end = at
            while end < len(line) and line[end] not in " \t\r\n;|&<>()'\"\\$`":
                end += 1
            parts.append(Part(line[at:end], False, False))
            at = end
    return tuple(parts), at


def _double_quoted(line: str, at: int) -> tuple[list[Part], int]:
    parts = [Part("", False, True)]
    while at < len(line):
        character = line[at]
        if character == '"':
            return parts, at + 1
        if character == "\\" and line[at + 1 : at + 2] in ('"', "\\", "$", "`"):
            parts.append(Part(line[at + 1], False, True))
            at += 2
        elif character == "$":
            part, at = _variable(line, at, quoted=True)
            parts.append(part)
        elif character == "`":
            raise ShellSyntaxError("/system/bin/sh: command substitution is not supported on this phone")
        else:
            end = at + 1
            while end < len(line) and line[end] not in '"\\$`':
                end += 1
            parts.append(Part(line[at:end], False, True))
            at = end
    raise ShellSyntaxError("/system/bin/sh: no closing quote")


def _variable(line: str, at: int, *, quoted: bool) -> tuple[Part, int]:
    if line.startswith("$?", at):
        return Part("?", True, quoted), at + 2
    if line.startswith("$(", at):
        raise ShellSyntaxError("/system/bin/sh: command substitution is not supported on this phone")
    braced = line.startswith("${", at)
    found = _NAME.match(line, at + (2 if braced else 1))
    if found is None:
        if braced:
            raise ShellSyntaxError("/system/bin/sh: bad substitution")
        return Part("$", False, True), at + 1
    end = found.end()
    if braced:
        if not line.startswith("}", end):
            raise ShellSyntaxError("/system/bin/sh: bad substitution")
        end += 1
    return Part(found[0], True, quoted), end
