"""Masks the values of secrets in text: as they are, as URLs write them, as JSON writes them, in base64 (step 8)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote, quote_plus

MASKED: Final = "***"
LINE_CHARACTERS_MIN: Final = 8
"""A line of a secret with several is masked alone too when it is so long; shorter ones are words of any text."""
CUT_CHARACTERS_MIN: Final = 4
"""Of a secret that was cut off at the end of an excerpt; fewer tell nobody anything."""
_CUT: Final = re.compile(r"\.\.\.|…|$")
"""How excerpts end."""


class Mask:
    """Knows the values of one task's secrets; shows them nowhere."""

    __slots__ = ("_forms", "_found")

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values for part in _parts(value) for form in _forms(part)}
        self._forms = sorted(forms, key=len, reverse=True)
        # The longest first: one secret may be the beginning of another.
        self._found = re.compile("|".join(map(re.escape, self._forms))) if forms else None

    def __repr__(self) -> str:
        return f"Mask({len(self._forms)} forms)"

    def text(self, text: str) -> str:
        """Return the text with every secret masked, also one of which an excerpt's end left the beginning."""
        if self._found is None:
            return text
        text = self._found.sub(MASKED, text)
        for end in sorted({match.start() for match in _CUT.finditer(text)}, reverse=True):
            cut = self._cut_before(text, end)
            if cut:
                text = text[: end - cut] + MASKED + text[end:]
        return text

    def value(self, value: Any) -> Any:
        """Return a value of JSON's kinds with every text in it masked, names of fields too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.value(key): self.value(child) for key, child in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(child) for child in value]
        return value

    def data(self, data: bytes) -> bytes:
        """Return the bytes of a text file masked; bytes that are no text pass as they are."""
        return self.text(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def _cut_before(self, text: str, end: int) -> int:
        """Return how many characters before ``end`` are the beginning of a secret; 0 = none."""
        for form in self._forms:
            for length in range(min(len(form) - 1, end), CUT_CHARACTERS_MIN - 1, -1):
                if text.startswith(form[:length], end - length):
                    return length
        return 0


def _parts(value: str) -> Iterator[str]:
    yield value
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= LINE_CHARACTERS_MIN)


def _forms(value: str) -> Iterator[str]:
    yield value
    data = value.encode("utf-8", "surrogatepass")
    yield quote(data)
    yield quote(data, safe="")
    yield quote_plus(data)
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield base64.b64encode(data).decode("ascii").rstrip("=")
    yield base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")
