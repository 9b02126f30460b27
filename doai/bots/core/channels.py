"""What came over one connection of each subscription: credit, and what is told the broker as done (step 14)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from doai.bots.core.boxes import Samples
from doai.bots.core.session import ASKED_AGAIN_S
from doai.bots.core.subscription import Subscription
from doai.codec import BodyDecoder
from doai.envelope import Envelope
from doai.limits import BOT_CREDIT, BOT_CREDIT_BYTES
from doai.messages.bots import Cursor, FailedEvent, LoggedEvent, Subscribe

_envelope: Final = BodyDecoder(Envelope)

CURSOR_WITHIN_S: Final = 0.01
"""What is done is told at once for all that ended within this time: a frame an event would cost as much again."""
CURSORS_APART_S: Final = 0.1
"""Frames that tell it are so far apart, unless half of the credit is used: the broker writes no sooner what it was
told, and a frame an event would cost it as much as the event. What a process had not told when it died is given
again."""


class Channel:
    """One subscription on one connection."""

    def __init__(
        self,
        number: int,
        handler: str,
        events: Subscription | None,
        samples: Samples | None,
        follows: Sequence[str] = (),
    ) -> None:
        """``follows``: types of events, where it is of this connection alone and no handler is called."""
        self.number = number
        self.follows = follows
        self.handler = handler
        self.events = events
        self.samples = samples
        self.open = False
        """The broker said that it will give."""
        self.ask_again_s: float | None = None
        """When the broker is asked again; None = it has answered."""
        self._held: dict[int, int] = {}
        """Positions given over this connection and not told done -> bytes."""
        self._done: list[int] = []
        self._failed: list[FailedEvent] = []
        self.received = 0
        """Events that came; where the broker gave more, a frame was lost."""
        self._told = 0
        self._told_s = -math.inf
        self._finished_events = 0
        self._finished_bytes = 0
        self._samples_received = 0
        self._samples_told = 0
        self.tell_by_s: float | None = None
        """When the broker is told at the latest; None = there is nothing to tell."""

    @property
    def due_s(self) -> float | None:
        """When there is something to tell or to ask."""
        return min((at_s for at_s in (self.tell_by_s, self.ask_again_s) if at_s is not None), default=None)

    def subscribe(self, now_s: float) -> Subscribe:
        """Return the frame that asks for what is there."""
        self.ask_again_s = now_s + ASKED_AGAIN_S
        return Subscribe(
            channel=self.number,
            subscription=self.handler,
            credit_events=BOT_CREDIT,
            credit_bytes=BOT_CREDIT_BYTES,
            follows=list(self.follows),
        )

    def anew(self) -> Channel:
        """Return the same before anything came."""
        return Channel(self.number, self.handler, self.events, self.samples, self.follows)

    def subjects(self, given: Sequence[LoggedEvent], now_s: float) -> list[str]:
        """Take what is followed; return what the events are about."""
        found = []
        for event in given:
            self.given(event.position, len(event.envelope))
            found.append(_envelope(event.envelope).subject)
        for event in given:
            self.done(event.position, None, now_s)
        return found

    def given(self, position: int, size_bytes: int) -> None:
        """The broker gave an event; one that is here already takes no room of its own."""
        self.received += 1
        if position in self._held:
            self._finished_events += 1
            self._finished_bytes += size_bytes
        else:
            self._held[position] = size_bytes

    def sampled(self) -> None:
        """The broker gave samples."""
        self._samples_received += 1

    def done(self, position: int, failed: FailedEvent | None, now_s: float) -> None:
        """An event is done with; one of an earlier connection is told when this one gives it again."""
        size_bytes = self._held.pop(position, None)
        if size_bytes is None:
            return
        if failed is None:
            self._done.append(position)
        else:
            self._failed.append(failed)
        self._finished_events += 1
        self._finished_bytes += size_bytes
        self._tell(now_s)

    def samples_handled(self, now_s: float) -> None:
        """No sample waits any more: the next may come."""
        if self._samples_told < self._samples_received:
            self._tell(now_s)

    def _tell(self, now_s: float) -> None:
        if len(self._done) + len(self._failed) >= BOT_CREDIT // 2:
            self.tell_by_s = now_s
        elif self.tell_by_s is None:
            # With nothing left to do there is nothing to wait for.
            by_s = now_s + CURSOR_WITHIN_S if self._held else now_s
            self.tell_by_s = max(by_s, self._told_s + CURSORS_APART_S)

    def cursor(self) -> Cursor:
        """Return what is to be told now."""
        if self.tell_by_s is not None:
            self._told_s = self.tell_by_s
        self._told += len(self._done) + len(self._failed)
        cursor = Cursor(
            channel=self.number,
            done=self._done,
            failed=self._failed,
            credit_events=BOT_CREDIT + self._finished_events,
            credit_bytes=BOT_CREDIT_BYTES + self._finished_bytes,
            told=self._told,
            samples_taken=self._samples_received
            if self.samples is None or self.samples.idle
            else self._samples_told,
        )
        self._done, self._failed = [], []
        self._samples_told = cursor.samples_taken
        self.tell_by_s = None
        return cursor
