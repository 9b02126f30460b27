"""Secrets in arguments: named in the recipe, standing as names while a task is sequenced, filled in last (step 8).

What decides about a task never sees a value: an argument with ``${secret.x}`` in it becomes a `SecretText`, and
only the code that performs the step replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from doai.workflow.templates import SecretText

_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
"""What most arguments are; a secret stands in none of them."""


def has_secret(value: Any) -> bool:
    """Whether a SecretText is anywhere in the value."""
    if isinstance(value, SecretText):
        return True
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    # No generator: of every step of every task this is asked, and hardly any has one.
    for child in value:  # noqa: SIM110
        if type(child) not in _PLAIN and has_secret(child):
            return True
    return False


def reveal(value: Any, secrets: Mapping[str, str]) -> Any:
    """Return the value with every secret filled in; raises KeyError for one that is not among them."""
    if isinstance(value, SecretText):
        return "".join(part if isinstance(part, str) else secrets[part.name] for part in value.parts)
    if isinstance(value, dict):
        return {key: reveal(child, secrets) for key, child in value.items()}
    if isinstance(value, list):
        return [reveal(child, secrets) for child in value]
    return value
