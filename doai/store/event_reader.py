"""Events of the log as they are read beside the writer (step 14)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from doai.codec import BodyDecoder
from doai.envelope import Envelope
from doai.store.read_connections import Answer, ReadConnections
from doai.store.views import EventView

_decode: Final = BodyDecoder(Envelope)


def event_views(answer: Answer) -> list[EventView]:
    """Return events from the columns position, recorded_at_ms, envelope."""
    return [
        EventView(position=position, recorded_at_ms=recorded_at_ms, envelope=_decode(envelope))
        for position, recorded_at_ms, envelope in answer
    ]


class NewestEvents:
    """What happened last, over the connections of a `StoreReader`."""

    def __init__(self, connections: ReadConnections, sql: Mapping[str, str]) -> None:
        self._connections = connections
        self._sql = sql

    async def of(self, subject: str, limit: int) -> list[EventView]:
        """Return the newest events of a subject, newest first."""
        [answer] = await self._connections.ask((self._sql["newest_events_of_subject"], (subject, limit)))
        return event_views(answer)
