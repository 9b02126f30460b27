"""Text with ``${references}``: what it refers to, and what it becomes (steps 2 and 8).

``"${steps.shot.width}"`` alone keeps its type; with text around it, it makes a string. ``$${`` stands for
``${`` itself, for shell commands. Nothing is evaluated, a reference is a path of names, and what it brings in
is never read as a template again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from doai.workflow.mistakes import Path

_TOKEN: Final = re.compile(r"\$\$\{|\$\{")
_REFERENCE: Final = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_][A-Za-z0-9_-]*)+)\s*")
REFERENCE_CHARS_MAX: Final = 512


class TemplateError(Exception):
    """The text is no template; ``str(error)`` says why and what to do."""


class Reference(msgspec.Struct, frozen=True):
    """``${steps.shot.artifact}``: names from the root of the scope."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return "${" + ".".join(self.names) + "}"


Template = tuple[str | Reference, ...]


class SecretName(msgspec.Struct, frozen=True):
    """Stands for the value of a secret, which only the code that performs a step knows."""

    name: str


class SecretText(msgspec.Struct, frozen=True):
    """A text with secrets in it: its parts in order."""

    parts: tuple[str | SecretName, ...]


def parse_template(text: str) -> Template:
    """Return the parts of a text in order, literal text and references; raises TemplateError."""
    parts: list[str | Reference] = []
    literal = ""
    at = 0
    while (token := _TOKEN.search(text, at)) is not None:
        literal += text[at : token.start()]
        if token[0] == "$${":
            literal += "${"
            at = token.end()
            continue
        end = text.find("}", token.end())
        inner = text[token.end() : end]
        if end < 0:
            raise TemplateError("a ${ has no closing }; close it, or write $${ for the characters themselves")
        match = _REFERENCE.fullmatch(inner) if len(inner) <= REFERENCE_CHARS_MAX else None
        if match is None:
            raise TemplateError(
                f"${{{inner[:40]}}} is no reference; write names with dots such as ${{params.name}},"
                " or $${ for the characters themselves"
            )
        if literal:
            parts.append(literal)
            literal = ""
        parts.append(Reference(tuple(match[1].split("."))))
        at = end + 1
    literal += text[at:]
    if literal:
        parts.append(literal)
    return tuple(parts)


def whole_reference(template: Template) -> Reference | None:
    """Return the reference that is all of the text, so that its type is kept, or None."""
    if len(template) == 1 and isinstance(template[0], Reference):
        return template[0]
    return None


def texts(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield every text inside a value with its place; keys are not templates."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from texts(child, (*path, key))
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from texts(child, (*path, index))


def references(value: Any) -> Iterator[Reference]:
    """Yield every reference inside a value; raises TemplateError."""
    for _, text in texts(value):
        yield from (part for part in parse_template(text) if isinstance(part, Reference))


def fill(value: Any, look_up: Callable[[Reference], Any]) -> Any:
    """Return the value with every reference replaced by what `look_up` returns for it.

    Raises TemplateError for a text that is no template and for a null amid text; `look_up` raises what it likes.
    """
    if isinstance(value, str):
        return _fill_text(value, look_up)
    if isinstance(value, dict):
        return {key: fill(child, look_up) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [fill(child, look_up) for child in value]
    return value


def _fill_text(text: str, look_up: Callable[[Reference], Any]) -> Any:
    if "${" not in text:
        return text
    template = parse_template(text)
    whole = whole_reference(template)
    if whole is not None:
        return look_up(whole)
    filled = [part if isinstance(part, str) else _as_text(part, look_up(part)) for part in template]
    if all(isinstance(part, str) for part in filled):
        return "".join(part for part in filled if isinstance(part, str))
    parts = [(part,) if isinstance(part, str) else part.parts for part in filled]
    return SecretText(tuple(inner for group in parts for inner in group))


def _as_text(reference: Reference, value: Any) -> str | SecretText:
    if isinstance(value, str | SecretText):
        return value
    if value is None:
        raise TemplateError(f"{reference} is null and can not stand amid text; guard the step with if")
    return msgspec.json.encode(value).decode()
