"""An event that is being told: its payload in one voice, and the parts that many sentences share (step 14)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from doai.story.voice import Voice

Payload = Mapping[str, Any]
_TEXT_MAX: Final = 300
"""Longer texts are cut: a story is read line by line, the event has the whole."""
_MISSING: Final = {
    "attempt": "1",
    "queue": "default",
    "priority": "0",
    "degradedAbove": "0",
    "runs": "0",
    "sizeBytes": "0",
    "slots": "0",
    "tasks": "0",
    "waiting": "0",
}
"""Fields that have their default may be missing; what else is missing is a question mark."""


def cut(value: object) -> str:
    """Return a value as text that is not too long for a line."""
    text = str(value)
    return text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 1] + "…"


class Told:
    """What a sentence is made of; raises for no payload, whatever it holds."""

    def __init__(self, payload: Payload, voice: Voice) -> None:
        self.payload = payload
        self.voice = voice

    def say(self, key: str, **values: str) -> str:
        """Return words with these values, else with parts that many sentences have, else with fields by name."""
        return self.voice.filled(key, _Values(self, values))

    def has(self, name: str) -> bool:
        """Whether the payload says anything there."""
        return bool(self.payload.get(name))

    def say_if(self, name: str, key: str) -> str:
        """Return words when the payload says anything there, else nothing."""
        return self.say(key, **{name: self.word(name)}) if self.has(name) else ""

    def word(self, name: str) -> str:
        """Return a field as text."""
        value = self.payload.get(name)
        return _MISSING.get(name, "?") if value is None or value == "" else cut(value)

    def part(self, name: str) -> Payload:
        """Return a map in the payload."""
        value = self.payload.get(name)
        return value if isinstance(value, Mapping) else {}

    def several(self, name: str) -> list[str]:
        """Return a list in the payload as texts."""
        value = self.payload.get(name)
        return [cut(each) for each in value] if isinstance(value, list | tuple) else []

    def state(self, name: str, missing: str) -> str:
        """Return a field that is a state or an outcome."""
        value = self.payload.get(name)
        return self.voice.state(missing if value is None or value == "" else cut(value))

    def failure(self) -> str:
        """Return why something failed, without its step; empty = nothing is said."""
        failure = self.part("failure")
        message = failure.get("message")
        if not message:
            return ""
        return self.voice.why(cut(message), failure.get("code"))

    def because(self) -> str:
        """Return ``: why``, with the failure's step where there is one."""
        failure, reason = self.part("failure"), self.payload.get("reason")
        why = self.failure() or (cut(self.voice.reason(str(reason))) if reason else "")
        if not why:
            return ""
        step = self.voice("say.in_step", step=failure["step"]) if failure.get("step") else ""
        return f"{step}: {why}"

    def again(self) -> str:
        """Return which try of a step it is, but for the first."""
        return self.say("say.again") if self.payload.get("tryNumber", 1) != 1 else ""


class _Values(Mapping[str, str]):
    """What stands for a name in words."""

    def __init__(self, told: Told, given: Mapping[str, str]) -> None:
        self._told = told
        self._given = given

    def __getitem__(self, name: str) -> str:
        if name in self._given:
            return self._given[name]
        part = _PARTS.get(name)
        return part(self._told) if part is not None else self._told.word(name)

    def __iter__(self) -> Iterator[str]:
        return iter({*self._given, *_PARTS, *self._told.payload})

    def __len__(self) -> int:
        return len({*self._given, *_PARTS, *self._told.payload})


_PARTS: Final[Mapping[str, Callable[[Told], str]]] = {
    "because": Told.because,
    "again": Told.again,
    "by": lambda e: e.say_if("actor", "say.by"),
    "onDevice": lambda e: e.say_if("deviceSerial", "step.on"),
    "note": lambda e: e.say_if("note", "say.note"),
    "took": lambda e: e.voice.duration(e.payload.get("durationMs")),
    "ended": lambda e: e.state("outcome", "?"),
}
