"""What people read on pages, in Korean and English, from one catalogue (step 14)."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

KOREAN: Final = "ko"
ENGLISH: Final = "en"
LANGUAGES: Final = (KOREAN, ENGLISH)
CATALOGUE: Final = Path(__file__).with_name("strings.toml")


@functools.cache
def catalogue() -> Mapping[str, tuple[str, str]]:
    """Return key -> (Korean, English)."""
    tables = tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))
    found: dict[str, tuple[str, str]] = {}
    for section, entries in tables.items():
        for name, (korean, english) in entries.items():
            found[f"{section}.{name}"] = (korean, english)
    return found


class Wording:
    """The words of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._place = LANGUAGES.index(language)

    def __call__(self, key: str, **values: object) -> str:
        """Return a text; raises KeyError for one that is not in the catalogue."""
        text = catalogue()[key][self._place]
        return text.format(**values) if values else text

    def state(self, value: str) -> str:
        """Return the word of a state; a state without one is shown as it is."""
        found = catalogue().get(f"state.{value}")
        return found[self._place] if found else value

    def rule(self, part: str, incident_type: str, otherwise: str) -> str:
        """Return what is said of a type of incident; in its own words where there are no others."""
        found = catalogue().get(f"{part}.{incident_type}")
        return found[self._place] if found else otherwise

    def of(self, text: object, otherwise: str = "") -> str:
        """Return what a recipe says in this language: a text, or a mapping of languages."""
        if isinstance(text, Mapping):
            return str(text.get(self.language) or text.get(ENGLISH) or otherwise)
        return str(text) if text else otherwise


def chosen_language(cookie: str, accepted: str) -> str:
    """Return the language of a page: what was chosen, else the first that the browser asks for, else Korean."""
    if cookie in LANGUAGES:
        return cookie
    for part in accepted.lower().split(","):
        language = part.split(";")[0].strip().split("-")[0]
        if language in LANGUAGES:
            return language
    return KOREAN
