"""One subscription: how far it is, who holds what of it, and to whom the next events go (step 14).

`next` is the first position that was not looked at. An event below it is done, or in flight (a process holds it),
or its subject is *behind*: events of it from a position on were passed over, because one before them is not done.
So the row says exactly what was acknowledged: a position, and for each open subject below it the first event that
is not done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from doai.broker.core.effects import SendFrame
from doai.broker.core.event_tail import Batch, Filter, Part, fits_frame
from doai.broker.core.tables import Peer
from doai.changes.bots import SubscriptionRow
from doai.changes.log import LoggedRow
from doai.codec import Kind, encode, pack_header
from doai.limits import (
    EVENTS_AGAIN_MAX,
    EVENTS_IN_FLIGHT_MAX,
    SAMPLES_PER_FRAME_MAX,
    SUBJECT_IN_FLIGHT_MAX,
    SUBJECTS_OPEN_MAX,
)
from doai.messages.bots import Subscribe, Subscription

_FEW: Final = 16
"""Subjects that are told one by one below the newest position; more of them, and the row names a lower position."""


class Member:
    """One process over one connection, for one subscription."""

    __slots__ = (
        "_crowded_from",
        "again",
        "batch",
        "channel",
        "credit_bytes",
        "credit_events",
        "given",
        "given_bytes",
        "in_flight",
        "link",
        "peer",
        "samples",
        "samples_late",
        "samples_sent",
        "samples_taken",
        "sent",
        "told",
        "window",
    )

    def __init__(self, peer: Peer, link: int, channel: int, credit_events: int, credit_bytes: int) -> None:
        self.peer = peer
        self.link = link
        self.channel = channel
        self.credit_events = credit_events
        self.credit_bytes = credit_bytes
        self.window = credit_events
        """So many events it may hold."""
        self._crowded_from = 0
        """It is looked at again when so many events were given."""
        self.given = 0
        self.given_bytes = 0
        self.told = 0
        """Events that it told done or gave up."""
        self.sent = 0
        """Events in frames that were sent."""
        self.in_flight: dict[int, str] = {}
        """Position -> subject of what it holds."""
        self.again: set[int] = set()
        """Of these, those that a person gives again."""
        self.batch: list[LoggedRow] = []
        """To be sent at the end of this decision."""
        self.samples: dict[tuple[str, str], bytes] = {}
        """Newest samples that it was not sent: (topic, subject) -> one encoded Sample."""
        self.samples_sent = 0
        self.samples_taken = 0
        self.samples_late = False
        """One was under way at the last look: if it still is, it was lost."""

    @property
    def room(self) -> int:
        """So many more events it may be given, as far as their number goes."""
        return self.credit_events - self.given

    def header(self, events: int) -> bytes:
        """Return the header of a frame with so many events."""
        before, self.sent = self.sent, self.sent + events
        return pack_header(Kind.EVENTS, version=self.peer.wire_version, channel=self.channel, credit_seq=before)

    def next_samples(self) -> list[SendFrame]:
        """Return the next frame of samples. One is under way at a time: newer ones take the place of what waits."""
        if not self.samples or self.samples_sent > self.samples_taken:
            return []
        keys = list(self.samples)[:SAMPLES_PER_FRAME_MAX]
        body = encode([[msgspec.Raw(self.samples.pop(key)) for key in keys]])
        self.samples_sent += 1
        header = pack_header(Kind.SAMPLES, version=self.peer.wire_version, channel=self.channel)
        return [SendFrame(self.link, header, body)]

    def has_room(self, count: int, size: int) -> bool:
        """Whether it may be given so many events of so many bytes."""
        return self.given + count <= self.credit_events and self.given_bytes + size <= self.credit_bytes

    def is_crowded(self) -> bool:
        """Whether one subject takes more than its part of what it may hold, and has to wait behind."""
        few = len(self.in_flight) <= max(SUBJECT_IN_FLIGHT_MAX, self.window * 3 // 4)
        if few or self.given < self._crowded_from:
            return False
        most = max(Counter(self.in_flight.values()).values())
        # So many more of one subject must come first.
        self._crowded_from = self.given + SUBJECT_IN_FLIGHT_MAX + 1 - most
        return most > SUBJECT_IN_FLIGHT_MAX

    def takes(self, size: int) -> bool:
        """Whether it may be given one more event of so many bytes."""
        if self.given >= self.credit_events:
            return False
        return self.given_bytes + size <= self.credit_bytes or not self.in_flight

    def give(self, row: LoggedRow) -> None:
        """It gets this event."""
        self.in_flight[row.position] = row.subject
        self.batch.append(row)
        self.given += 1
        self.given_bytes += len(row.body)


def following(peer: Peer, link: int, wish: Subscribe, takes: Filter, position: int) -> Feed:
    """Return the subscription of one connection to what happens after a position."""
    name = f"{wish.subscription}#{link}.{wish.channel}"  # no registered one is called so by chance
    row = SubscriptionRow(bot=peer.name, name=name, topics_body=b"[]", position=position)
    return Feed(row, Subscription(name=wish.subscription, topics=wish.follows), takes, passes=True)


class Feed:
    """One subscription of a bot."""

    def __init__(self, row: SubscriptionRow, wanted: Subscription, takes: Filter, *, passes: bool = False) -> None:
        self.passes = passes
        """It ends with its connection, and is never written."""
        self.row = row
        self.wanted = wanted
        self.filter = takes
        self.members: dict[int, Member] = {}
        """By the link of the process."""
        self.next = row.position + 1
        self.behind: dict[str, int] = msgspec.json.decode(row.open_body, type=dict[str, int])
        self.again: dict[int, None] = dict.fromkeys(msgspec.json.decode(row.again_body, type=list[int]))
        self.since_ms = row.since_ms
        self.done_high = row.position
        """The highest position that was acknowledged, or was the cursor's."""
        self.ticket = 0
        """Counts beginnings: what was read for one before is not wanted any more."""
        self.reads_log = False
        """A part of the log is being read for it ..."""
        self.reads_open = False
        """... or open subjects, or what is given again."""
        self.paused = False
        self.dirty_s: float | None = None
        """Its row is to be written then; None = it is as it is."""
        self.wrote_s = 0.0

    @property
    def key(self) -> tuple[str, str]:
        """Bot and name."""
        return self.row.bot, self.row.name

    @property
    def in_flight(self) -> int:
        """Events that its processes hold."""
        return sum(len(member.in_flight) for member in self.members.values())

    # --- giving -------------------------------------------------------------------------------------------

    def sole(self) -> Member | None:
        """Return the process that can be given whole parts: the only one, and no subject is behind or fills it."""
        if len(self.members) != 1 or self.behind:
            return None
        [member] = self.members.values()
        return None if member.batch or member.is_crowded() else member

    def level(self, batch: Batch) -> Member | None:
        """Return the process that gets the newest batch without a further look: nearly always the one there is."""
        is_level = self.next == batch.first and len(self.members) == 1
        if not is_level or self.behind or self.again or self.paused or self.reads_log or self.since_ms:
            return None
        [member] = self.members.values()
        part = batch.of(self.filter)
        fits = self.gives_whole(member, len(part.rows), part.size)
        return member if fits and not (member.batch or member.samples or member.is_crowded()) else None

    def whole(self, member: Member, batches: Iterable[Batch]) -> tuple[list[Part], int]:
        """Return what the next frame to a process takes of the batches, and how many events these are."""
        parts: list[Part] = []
        count = size = 0
        for batch in batches:
            part = batch.of(self.filter)
            more, larger = count + len(part.rows), size + part.size
            if not fits_frame(more, larger) or not self.gives_whole(member, more, larger):
                break
            parts.append(part)
            count, size = more, larger
        return parts, count

    def gives_whole(self, member: Member, count: int, size: int) -> bool:
        """Whether it may be given so many events more at once."""
        held = len(member.in_flight)
        return member.has_room(count, size) and held + count <= EVENTS_IN_FLIGHT_MAX

    def give_whole(self, member: Member, parts: Sequence[Part]) -> None:
        """It gets all of some parts that begin at `next`."""
        for part in parts:
            member.in_flight.update(part.flight)
            member.given += len(part.rows)
            member.given_bytes += part.size
        self.next = parts[-1].through + 1

    def spread(self, part: Part) -> None:
        """Give a part that begins at `next` out event by event: processes find theirs in their batches.

        A subject goes to the process that holds an event of it, or waits behind. What nobody has room for is left:
        `next` stays there.
        """
        owners = self._owners()
        held = self.in_flight
        for row in part.rows:
            if row.subject in self.behind:
                continue
            owner, count = owners.get(row.subject, (None, 0))
            size = len(row.body)
            if held >= EVENTS_IN_FLIGHT_MAX or not any(m.takes(size) for m in self.members.values()):
                self.next = row.position
                return
            if owner is None:
                owner = self._emptiest(size)
            elif count >= SUBJECT_IN_FLIGHT_MAX or not owner.takes(size):
                if len(self.behind) >= SUBJECTS_OPEN_MAX:
                    self.next = row.position
                    return
                self.behind[row.subject] = row.position
                continue
            assert owner is not None
            owner.give(row)
            owners[row.subject] = owner, count + 1
            held += 1
        self.next = part.through + 1

    def take_open(self, rows: Sequence[LoggedRow], looked: Mapping[str, int]) -> None:
        """Give out what was read of open subjects; ``looked`` says up to where each was looked through."""
        owners = self._owners()
        for subject, through in looked.items():
            if subject not in self.behind or subject in owners:
                continue
            of_subject = [row for row in rows if row.subject == subject and row.position >= self.behind[subject]]
            owner = self._emptiest(len(of_subject[0].body)) if of_subject else None
            self.behind[subject] = through + 1
            for row in of_subject:
                if owner is None or not owner.takes(len(row.body)):
                    self.behind[subject] = row.position
                    break
                owner.give(row)
            if self.behind[subject] >= self.next:
                del self.behind[subject]

    def take_again(self, rows: Sequence[LoggedRow], asked: Sequence[int]) -> None:
        """Give out what a person gives again; what is not in the log any more is done with."""
        there = {row.position: row for row in rows}
        for position in asked:
            row = there.get(position)
            if row is None:
                self.again.pop(position, None)
                continue
            owner = self._emptiest(len(row.body))
            if owner is None or position not in self.again:
                continue
            owner.give(row)
            owner.again.add(position)

    def _owners(self) -> dict[str, tuple[Member, int]]:
        owners: dict[str, tuple[Member, int]] = {}
        for member in self.members.values():
            for position, subject in member.in_flight.items():
                if position not in member.again:
                    owners[subject] = member, owners.get(subject, (member, 0))[1] + 1
        return owners

    def _emptiest(self, size: int) -> Member | None:
        fit = [member for member in self.members.values() if member.takes(size)]
        return min(fit, key=lambda member: len(member.in_flight), default=None)

    # --- what waits for a read ----------------------------------------------------------------------------

    def idle_subjects(self, at_most: int) -> list[tuple[str, int]]:
        """Return subjects that are behind and of which nobody holds anything."""
        if not self.behind:
            return []
        owners = self._owners()
        idle = [(subject, first) for subject, first in self.behind.items() if subject not in owners]
        return idle[:at_most]

    def idle_again(self, at_most: int) -> list[int]:
        """Return positions that are to be given again and that nobody holds."""
        if not self.again:
            return []
        held: set[int] = set().union(*(member.again for member in self.members.values()))
        return [position for position in self.again if position not in held][:at_most]

    # --- done ---------------------------------------------------------------------------------------------

    def done(self, member: Member, positions: Sequence[int]) -> bool:
        """The process is done with these; return whether it held any. Those that it does not hold are not its."""
        pop, again = member.in_flight.pop, member.again
        held = [position for position in positions if pop(position, None) is not None]
        done = held
        if again:
            done = [position for position in held if position not in again]
            for position in held:
                again.discard(position)
                self.again.pop(position, None)
        self.done_high = max(self.done_high, *done) if done else self.done_high
        return bool(held)

    def leave(self, member: Member) -> None:
        """The process is gone: what it holds is behind, and is given to another."""
        self.members.pop(member.link, None)
        for position, subject in member.in_flight.items():
            if position in member.again:
                continue
            if position < self.behind.get(subject, self.next):
                self.behind[subject] = position
        member.in_flight.clear()
        member.again.clear()

    def give_again(self, position: int) -> bool:
        """A person wants this event to be given again; False when that are too many."""
        if len(self.again) >= EVENTS_AGAIN_MAX:
            return False
        self.again[position] = None
        return True

    def begin_at(self, position: int, since_ms: int) -> None:
        """Begin anew after a position."""
        self.ticket += 1
        self.reads_log = self.reads_open = False
        self.next, self.since_ms, self.done_high = position + 1, since_ms, position
        self.behind.clear()
        for member in self.members.values():
            member.in_flight = {p: s for p, s in member.in_flight.items() if p in member.again}

    # --- the row ------------------------------------------------------------------------------------------

    def open_subjects(self) -> dict[str, int]:
        """Return subject -> position of its first event that is not done."""
        first = dict(self.behind)
        for member in self.members.values():
            for position, subject in member.in_flight.items():
                if position not in member.again and position < first.get(subject, self.next):
                    first[subject] = position
        return first

    def place(self) -> tuple[int, dict[str, int]]:
        """Return the position below which all is done but for the open subjects, and those."""
        first = self.open_subjects()
        if len(first) <= _FEW:
            return self.next - 1, first
        position = max(self.done_high, min(first.values()) - 1)
        return position, {subject: at for subject, at in first.items() if at <= position}

    def low(self) -> int:
        """Return the position below which nothing is wanted any more."""
        return min([*self.open_subjects().values(), *self.again, self.next]) - 1

    def written(self, now_ms: int, last_position: int) -> SubscriptionRow:
        """Return the row as it is now."""
        position, opened = self.place()
        all_done = position == last_position and not opened and not self.again
        self.row = msgspec.structs.replace(
            self.row,
            position=position,
            open_body=msgspec.json.encode(opened),
            again_body=msgspec.json.encode(list(self.again)),
            since_ms=self.since_ms,
            done_to_ms=now_ms if all_done else self.row.done_to_ms,
            moved_at_ms=now_ms,
        )
        return self.row
