"""What people read on pages, in Korean and English, from one catalogue (step 14)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from doai.story.voice import ENGLISH, KOREAN, LANGUAGES, VOICES, failures, read_catalogue, states

CATALOGUE: Final = Path(__file__).with_name("strings.toml")
ZONES: Final = (
    "UTC",
    "Asia/Seoul",
    "Asia/Tokyo",
    "Asia/Shanghai",
    "Asia/Singapore",
    "Asia/Kolkata",
    "Europe/London",
    "Europe/Berlin",
    "America/New_York",
    "America/Los_Angeles",
)
"""That a person chooses from; a browser's own may be any."""


@functools.cache
def catalogue() -> Mapping[str, tuple[str, str]]:
    """Return key -> (Korean, English)."""
    return read_catalogue(CATALOGUE)


class Wording:
    """The words of one language, and the times of one zone."""

    def __init__(self, language: str, zone: tzinfo | None = None) -> None:
        """``zone`` None = that of this host."""
        self.language = language
        self.zone = zone
        self.voice = VOICES[language]
        self._place = LANGUAGES.index(language)

    def __call__(self, key: str, **values: object) -> str:
        """Return a text; raises KeyError for one that is not in the catalogue."""
        text = catalogue()[key][self._place]
        return text.format(**values) if values else text

    def state(self, value: str) -> str:
        """Return the word of a state; a state without one is shown as it is."""
        found = states().get(value)
        return found[self._place] if found else value

    def reason(self, text: str | None) -> str:
        """Return a reason that broker or node wrote in this language; what a person wrote as it is."""
        return self.voice.reason(text or "")

    def failure(self, code: str) -> str:
        """Return in a few words why something failed; empty where only its own message says it."""
        found = failures().get(code)
        return found[self._place] if found else ""

    def took(self, value_s: float | None) -> str:
        """Return how long something takes."""
        return "-" if value_s is None else self.voice.duration(value_s * 1000)

    def moment(self, at_ms: int | None) -> str:
        """Return a time in the zone of whoever reads it, to the second."""
        return "-" if at_ms is None else self._local(at_ms).strftime("%Y-%m-%d %H:%M:%S")

    def zone_name(self, at_ms: int) -> str:
        """Return the zone of the times on pages."""
        local = self._local(at_ms)
        name = getattr(self.zone, "key", "") or local.strftime("%Z")
        return f"{name} (UTC{local.strftime('%z')})"

    def _local(self, at_ms: int) -> datetime:
        return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(self.zone)

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


def chosen_zone(*names: str) -> ZoneInfo | None:
    """Return the first of these time zones that this host knows; None = its own."""
    for name in names:
        if name and len(name) < 64:
            try:
                return ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                continue
    return None
