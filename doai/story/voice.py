"""A language in which sentences are told, with its words of states, failures and times (step 14)."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from doai import moments
from doai.reasons import read_reason

KOREAN: Final = "ko"
ENGLISH: Final = "en"
LANGUAGES: Final = (KOREAN, ENGLISH)
"""In the order of every catalogue."""
_HERE: Final = Path(__file__).parent
_UNITS: Final = {KOREAN: moments.KOREAN, ENGLISH: moments.ENGLISH}

_REASONS_WITHIN: Final = frozenset({"why", "near"})
"""Facts of reasons that are reasons themselves."""


def read_catalogue(path: Path) -> Mapping[str, tuple[str, str]]:
    """Return key -> (Korean, English) of a TOML file; what is in a section has its name before a dot."""
    found: dict[str, tuple[str, str]] = {}
    for name, entry in tomllib.loads(path.read_text(encoding="utf-8")).items():
        is_section = isinstance(entry, dict)
        inner = {f"{name}.{part}": said for part, said in entry.items()} if is_section else {name: entry}
        found |= {key: (said[0], said[1]) for key, said in inner.items()}
    return found


@functools.cache
def words() -> Mapping[str, tuple[str, str]]:
    """Return key of a sentence, or of a part of one -> (Korean, English)."""
    return read_catalogue(_HERE / "words.toml")


@functools.cache
def states() -> Mapping[str, tuple[str, str]]:
    """Return state, outcome or severity -> (Korean, English)."""
    return read_catalogue(_HERE / "states.toml")


@functools.cache
def failures() -> Mapping[str, tuple[str, str]]:
    """Return code of a failure -> (Korean, English)."""
    return read_catalogue(_HERE / "failures.toml")


class Voice:
    """Tells sentences in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._place = LANGUAGES.index(language)

    def __call__(self, key: str, **values: object) -> str:
        """Return a sentence or a part of one; raises KeyError for a key or a value that is not there."""
        return self.filled(key, values)

    def filled(self, key: str, values: Mapping[str, object]) -> str:
        """Likewise, with values that are looked up when they are needed."""
        return words()[key][self._place].format_map(values)

    def state(self, value: str) -> str:
        """Return a state or outcome within a sentence; in English, and without a word of its own, as it is."""
        found = states().get(value) if self.language != ENGLISH else None
        return found[self._place] if found else value

    def reason(self, text: str) -> str:
        """Return a reason that broker or node wrote in this language; any other text as it is."""
        found = read_reason(text) if self.language != ENGLISH else None
        if found is None:
            return text
        code, facts = found
        told = {name: self.reason(fact) if name in _REASONS_WITHIN else fact for name, fact in facts.items()}
        return self(f"reason.{code}", **told)

    def why(self, message: str, code: object = "") -> str:
        """Return why something failed: the message, after what its code says in this language where that is known.

        Messages are written in English where something fails, and have the particulars.
        """
        found = failures().get(code) if self.language != ENGLISH and isinstance(code, str) else None
        return f"{found[self._place]} ({message})" if found else message

    def duration(self, ms: object) -> str:
        """Return milliseconds as a person says them."""
        return moments.duration(ms, _UNITS[self.language])

    def moment(self, ms: object) -> str:
        """Return ms since 1970 as UTC, to the second."""
        return moments.moment(ms, _UNITS[self.language])


VOICES: Final[Mapping[str, Voice]] = {language: Voice(language) for language in LANGUAGES}
IN_ENGLISH: Final = VOICES[ENGLISH]
"""What programs are told, and whoever asks for no language."""
