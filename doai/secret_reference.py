"""References to secrets in configuration: ``${secret.NAME}`` stands for a value that only who needs it fetches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

_REFERENCE: Final = re.compile(r"\$\{\s*secret\.([A-Za-z0-9_][A-Za-z0-9_-]{0,62})\s*\}")


def secret_of(text: str) -> str:
    """Return the name of the secret that a text is a reference to; empty = it is none, or more than one."""
    found = _REFERENCE.fullmatch(text)
    return found[1] if found else ""


def secret_names(value: Any) -> Iterator[str]:
    """Yield the names of all secrets that texts anywhere in a value refer to; some perhaps twice."""
    if isinstance(value, str):
        yield from _REFERENCE.findall(value)
    elif isinstance(value, dict):
        for child in value.values():
            yield from secret_names(child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from secret_names(child)
