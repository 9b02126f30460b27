"""The text of a recipe, YAML 1.2 or JSON, as plain data with the place of every value (step 2).

PyYAML's scanner finds the structure; what a plain word means is decided here by the core schema of YAML 1.2
(yaml.org/spec/1.2.2, 10.3): ``on`` and ``1:30`` are text, and there are no dates.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, Protocol

import yaml

from doai.limits import WORKFLOW_BYTES_MAX
from doai.workflow.mistakes import Mistake, Path, Position, WorkflowError, path_text, shown

DEPTH_MAX: Final = 24
"""A recipe needs about six levels; every level is a level of recursion for whoever reads the data."""
VALUES_MAX: Final = 20_000
"""Values after aliases are followed: a text of 128 KiB has fewer, a bomb of aliases has billions."""

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_NUMBER: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_BREAKS: Final = re.compile("[\x85\u2028\u2029]")
"""Line breaks of YAML 1.1, and PyYAML, that YAML 1.2 and JSON take for characters of a text."""
_FOREIGN: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON allows inside a string as it is and PyYAML does not."""
_INTEGER_MAX: Final = 2**63 - 1
_UNTAGGED: Final = ""
_TEXT_TAG: Final = "tag:yaml.org,2002:str"


class SourceText:
    """What a text says: its data, and where each value and each key stands."""

    def __init__(self, data: Any, values: dict[Path, Position], keys: dict[Path, Position]) -> None:
        self.data = data
        self.values = values
        self.keys = keys


def read_source(text: str) -> SourceText:
    """Read YAML or JSON text; raises WorkflowError with the first place that can not be read."""
    if len(text.encode("utf-8", "surrogatepass")) > WORKFLOW_BYTES_MAX:
        raise _error(None, (), f"the text is larger than {WORKFLOW_BYTES_MAX // 1024} KiB; split the workflow")
    if _is_json(text):
        # JSON may be indented with tabs, and has none inside its strings, where it may have any other character.
        text = _FOREIGN.sub(lambda match: f"\\u{ord(match[0]):04x}", text.replace("\t", " "))
    if (foreign := _BREAKS.search(text)) is not None:
        message = (
            f'U+{ord(foreign[0]):04X} is a line break to some and not to others; write "\\u{ord(foreign[0]):04x}"'
        )
        raise WorkflowError(_SUBJECT, [_mistake(_position_of(text, foreign.start()), (), message)])
    try:
        root = _compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _error(mark, (), _yaml_sentence(error)) from None
    except yaml.reader.ReaderError as error:
        message = f"the character U+{ord(text[error.position]):04X} is not allowed; remove it"
        raise WorkflowError(_SUBJECT, [_mistake(_position_of(text, error.position), (), message)]) from None
    except (ValueError, OverflowError):
        raise _error(None, (), "a \\U escape names no character; write the character itself") from None
    return _Building().build(root)


_SUBJECT: Final = "the workflow can not be read"


class _Mark(Protocol):
    """A place as PyYAML counts it: from 0."""

    @property
    def line(self) -> int: ...

    @property
    def column(self) -> int: ...


class _Loader(yaml.BaseLoader):
    """PyYAML without its own opinion, which is YAML 1.1, of what a plain word means."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """Called for every node without a written tag."""
        return _UNTAGGED


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _compose(text: str) -> yaml.Node:
    """Return the tree of the only document; the depth is checked before anything recurses."""
    depth = 0
    documents = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_MAX:
                raise _error(event.start_mark, (), f"more than {DEPTH_MAX} levels of nesting; write it flatter")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _error(event.start_mark, (), "a second document begins; keep one workflow a text")
    root: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    if root is None:
        raise _error(None, (), "the text is empty; write at least name and steps")
    return root


class _Building:
    """Turns PyYAML's tree into data, following aliases within bounds."""

    def __init__(self) -> None:
        self._values: dict[Path, Position] = {}
        self._keys: dict[Path, Position] = {}
        self._open: set[int] = set()
        self._count = 0

    def build(self, root: yaml.Node) -> SourceText:
        return SourceText(self._value(root, ()), self._values, self._keys)

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._count += 1
        if self._count > VALUES_MAX or len(path) > DEPTH_MAX:
            raise _error(node.start_mark, path, "its aliases make it too large; write less with anchors (&, *)")
        if id(node) in self._open:
            raise _error(node.start_mark, path, "an alias contains itself; write the value out")
        self._values[path] = _position(node.start_mark)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node, path)
        self._open.add(id(node))
        _check_tag(node, path)
        result: Any = (
            self._mapping(node, path)
            if isinstance(node, yaml.MappingNode)
            else [self._value(child, (*path, index)) for index, child in enumerate(node.value)]
        )
        self._open.discard(id(node))
        return result

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            inner = (*path, key)
            if key in found:
                first = self._keys[inner].line
                message = f"the key {shown(key)} is given twice (first in line {first}); keep one of them"
                raise _error(key_node.start_mark, inner, message)
            self._keys[inner] = _position(key_node.start_mark)
            found[key] = self._value(value_node, inner)
        return found

    def _key(self, node: yaml.Node, path: Path) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise _error(node.start_mark, path, "a key must be text; put quotes around a value that has braces")
        if node.style is None and node.value == "<<":
            raise _error(node.start_mark, path, "merge keys (<<) are not part of YAML 1.2; write the fields out")
        _check_tag(node, path)
        return _text(node, path)


def _scalar(node: yaml.ScalarNode, path: Path) -> Any:
    text = _text(node, path)
    _check_tag(node, path)
    if node.style is not None or node.tag == _TEXT_TAG:
        return text
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _NOT_FINITE.fullmatch(text):
        raise _error(node.start_mark, path, f"{text} is no usable number; write a finite one, or quotes for text")
    if _INTEGER.fullmatch(text):
        return _integer(node, text, path)
    return _number(node, text, path) if _NUMBER.fullmatch(text) else text


def _integer(node: yaml.ScalarNode, text: str, path: Path) -> int:
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    if len(text) > 30 or abs(value := int(text[2:] if base != 10 else text, base)) > _INTEGER_MAX:
        raise _error(node.start_mark, path, "the integer does not fit 64 bits; write it in quotes as text")
    return value


def _number(node: yaml.ScalarNode, text: str, path: Path) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _error(node.start_mark, path, "the number is too large; write a smaller one, or quotes for text")
    return value


def _text(node: yaml.ScalarNode, path: Path) -> str:
    """Return the text of a scalar; JSON's escaped surrogate pairs become the characters they mean."""
    text = str(node.value)
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        message = "the text has half of a character (a lone surrogate); write the whole character"
        raise _error(node.start_mark, path, message) from None


def _check_tag(node: yaml.Node, path: Path) -> None:
    if node.tag not in (_UNTAGGED, _TEXT_TAG):
        message = f"the tag {shown(node.tag.removeprefix('tag:yaml.org,2002:'))} is not understood; leave it out"
        raise _error(node.start_mark, path, message)


def _yaml_sentence(error: yaml.MarkedYAMLError) -> str:
    problem = " ".join(str(error.problem or error.context or "this is no YAML").split())
    if "'\\t'" in problem:
        return "a tab stands where YAML wants spaces; indent with spaces"
    if "mapping values are not allowed" in problem:
        return "a colon stands where none can be; check the indentation, and put quotes around text with ': '"
    if "undefined alias" in problem:
        return f"{problem}; put quotes around text that begins with *"
    if "cannot start any token" in problem:
        return f"{problem}; put quotes around the text"
    context = " ".join(str(error.context).split()) if error.context else ""
    return f"this is no YAML ({context + ', ' if context else ''}{problem}); check indentation, quotes and brackets"


def _position(mark: _Mark) -> Position:
    return Position(mark.line + 1, mark.column + 1)


def _position_of(text: str, offset: int) -> Position:
    before = text[:offset]
    return Position(before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)


def _mistake(position: Position, path: Path, message: str) -> Mistake:
    return Mistake(line=position.line, column=position.column, path=path_text(path), message=message)


def _error(mark: _Mark | None, path: Path, message: str) -> WorkflowError:
    position = _position(mark) if mark is not None else Position(1, 1)
    return WorkflowError(_SUBJECT, [_mistake(position, path, message)])
