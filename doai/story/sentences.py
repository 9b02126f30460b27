"""An event as one sentence that a person reads: what happened, to what, why (step 14).

Pure: a payload is the camelCase map of the catalogue, in which fields that have their default may be missing. An
event of a type that is not known here (a newer broker's) still gets a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from doai.story.fleet import FLEET_SENTENCES
from doai.story.keeping import KEEPING_SENTENCES
from doai.story.runs import RUN_SENTENCES
from doai.story.tasks import TASK_SENTENCES
from doai.story.told import Payload, Told
from doai.story.voice import IN_ENGLISH, Voice

SENTENCES: Final[Mapping[str, Callable[[Told], str]]] = {
    **FLEET_SENTENCES,
    **TASK_SENTENCES,
    **RUN_SENTENCES,
    **KEEPING_SENTENCES,
}
_IDS: Final = ("taskId", "runId", "serial", "deviceSerial", "nodeId", "bot", "name")


def sentence(event_type: str, payload: Payload, voice: Voice = IN_ENGLISH) -> str:
    """Return what an event says, as one line of text; never raises, whatever the payload holds."""
    e, tell = Told(payload, voice), SENTENCES.get(event_type)
    text = tell(e) if tell is not None else f"{event_type}{_known_ids(e)}"
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)


def _known_ids(e: Told) -> str:
    found = [f"{name} {e.word(name)}" for name in _IDS if e.has(name)]
    return f" ({', '.join(found)})" if found else ""
