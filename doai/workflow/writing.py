"""A recipe as YAML text that a person goes on with: a line a step, comments where something is said (step 2).

The opposite of `doai.workflow.source`, which reads every text of it back as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./@-]*")
"""Words that need no quotes in YAML 1.1 or 1.2, but for those that have another meaning there."""
_RESERVED: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_FOREIGN: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON leaves as it is inside a string and YAML does not allow there."""
_BREAKS: Final = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


class Line(str):
    """A comment among the steps."""

    __slots__ = ()


def write_recipe(fields: Mapping[str, Any], *, heading: Sequence[str] = ()) -> str:
    """Return the text of a recipe; a Line in a list of steps becomes a comment at its place."""
    text = [f"# {_comment(line)}" for line in heading]
    for name, value in fields.items():
        if isinstance(value, list) and value:
            text.append(f"{_scalar(name)}:")
            text += [f"  # {_comment(item)}" if isinstance(item, Line) else f"  - {_flow(item)}" for item in value]
        elif isinstance(value, Mapping) and value:
            text.append(f"{_scalar(name)}:")
            text += [f"  {_scalar(key)}: {_flow(item)}" for key, item in value.items()]
        else:
            text.append(f"{_scalar(name)}: {_flow(value)}")
    return "\n".join(text) + "\n"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value.lower() not in _RESERVED:
            return value
        return _FOREIGN.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))
    return json.dumps(value)


def _comment(text: str) -> str:
    return _BREAKS.sub(" ", text)
