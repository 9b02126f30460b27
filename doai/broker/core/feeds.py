"""Subscriptions of bots: committed events go to them, what they are done with moves their cursors (step 14).

Live events come from the tail of the log in memory. Whoever is further behind is read from the store, a slice at a
time, by the effect `ReadLog`. Nothing here costs anything while nobody subscribes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from weakref import WeakValueDictionary
from zlib import crc32

from doai.broker.core.decision import Decision
from doai.broker.core.effects import ReadLog, SendFrame
from doai.broker.core.event_tail import Batch, EventTail, Filter, Part, events_body, parts_of
from doai.broker.core.feed import Feed, Member
from doai.broker.core.feed_reads import of_open_subjects, rest_of_log, with_newer
from doai.broker.core.state import State
from doai.broker.core.tables import Peer
from doai.changes.bots import DropSubscription, PutSubscription, SubscriptionRow
from doai.changes.log import LogSlice
from doai.codec import Kind, encode
from doai.limits import (
    CURSOR_APART_S,
    CURSOR_IDLE_S,
    EVENTS_FLUSH_BOT_S,
    EVENTS_FLUSH_MAX_S,
    EVENTS_FLUSH_S,
)
from doai.messages.bots import Cursor, Subscribe, Subscribed
from doai.topics import matches

FeedKey = tuple[str, str]
"""Bot and name of the subscription."""
GATHER_MAX: Final = 200
"""With so many events waiting to be given out they go at once."""


class Feeds:
    """Gives out events."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._filters: WeakValueDictionary[tuple[str, ...], Filter] = WeakValueDictionary()
        """Of what is subscribed to, or was of late: processes may follow one thing after the other."""
        self.by_key: dict[FeedKey, Feed] = {}
        self._of_link: dict[int, dict[int, tuple[Feed, Member]]] = {}
        """Link -> channel -> what it subscribes to."""
        self._begun_anew: dict[tuple[int, int], tuple[Peer, Subscribed]] = {}
        """By link and channel: who was told to subscribe again and has not; that frame may be lost, too."""
        self._wanting: dict[Feed, None] = {}
        """Those that may be able to give something out now."""
        self._given_to = 0
        """Position up to which what is new was given out."""
        self._flush_s: float | None = None
        self._flushed_s = 0.0
        self._apart_s = EVENTS_FLUSH_S
        """Between two times at which events are given out."""
        self._write_s: float | None = None
        self._tell_s: float | None = None
        self.audience_changed = False
        """Who subscribes to what may be another than when it was last looked; whoever looks says that it did."""

    # --- which there are ----------------------------------------------------------------------------------

    def put(self, feed: Feed) -> None:
        """There is another subscription, or another one of this name."""
        self.by_key[feed.key] = feed

    def filter(self, patterns: Sequence[str]) -> Filter:
        """Return the one filter of these patterns."""
        key = tuple(patterns)
        found = self._filters.get(key)
        if found is None:
            found = self._filters[key] = Filter(key)
        return found

    def drop(self, decision: Decision, feed: Feed) -> None:
        """The bot does not want it any more."""
        self.audience_changed = True
        del self.by_key[feed.key]
        self._wanting.pop(feed, None)
        for member in list(feed.members.values()):
            self._of_link.get(member.link, {}).pop(member.channel, None)
            feed.leave(member)
        decision.ops.append(DropSubscription(*feed.key))
        self._rest()

    def of_link(self, link: int) -> Iterator[tuple[Feed, Member]]:
        """What a connection subscribes to."""
        yield from self._of_link.get(link, {}).values()

    # --- what processes say -------------------------------------------------------------------------------

    def subscribe(self, decision: Decision, peer: Peer, link: int, wish: Subscribe, feed: Feed | str) -> None:
        """A process wants its share; ``feed`` is a sentence when there is no such subscription."""
        self._begun_anew.pop((link, wish.channel), None)
        if isinstance(feed, Feed) and wish.channel < 1:
            feed = f"channel {wish.channel} can not be: number them from 1 on"
        if isinstance(feed, str):
            answer = Subscribed(channel=max(wish.channel, 0), subscription=wish.subscription, problem=feed)
            decision.send_to(peer, Kind.SUBSCRIBED, encode(answer))
            return
        channels = self._of_link.setdefault(link, {})
        before = channels.pop(wish.channel, None)
        for known, member in [*([before] if before else []), *((feed, m) for m in feed.members.values())]:
            if member.link == link:
                self._leave(known, member)
                channels.pop(member.channel, None)
        self.audience_changed = True
        self.by_key[feed.key] = feed
        member = Member(peer, link, wish.channel, wish.credit_events, wish.credit_bytes)
        feed.members[link] = member
        channels[wish.channel] = (feed, member)
        log = self._state.log
        if log.tail is None:
            log.tail = EventTail(log.position + 1)
            self._given_to = log.position
        answer = Subscribed(channel=wish.channel, subscription=wish.subscription, position=feed.place()[0])
        decision.send_to(peer, Kind.SUBSCRIBED, encode(answer))
        self._wanting[feed] = None
        # One before it may be dead, and what it holds is wanted: a frame that can not be sent tells.
        self._tell(decision, feed)
        if self._tell_s is None:
            self._tell_s = decision.now.mono_s + CURSOR_IDLE_S

    def cursor(self, decision: Decision, link: int, told: Cursor) -> tuple[Feed, Member] | None:
        """A process is done with events, or takes more; return of which subscription it spoke."""
        found = self._of_link.get(link, {}).get(told.channel)
        if found is None:
            return None  # it was dropped, or is that of a connection before
        feed, member = found
        member.credit_events = max(member.credit_events, told.credit_events)
        member.credit_bytes = max(member.credit_bytes, told.credit_bytes)
        member.samples_taken = max(member.samples_taken, told.samples_taken)
        member.told += len(told.done) + len(told.failed)
        if told.told and told.told != member.told:
            self._lost(decision, feed, member)
            return None
        if told.done and feed.done(member, told.done):
            self.moved(decision, feed)
        self._wanting[feed] = None
        return found

    def _lost(self, decision: Decision, feed: Feed, member: Member) -> None:
        """What it told was lost on its way: what it holds is not known, and it begins anew."""
        self._of_link.get(member.link, {}).pop(member.channel, None)
        self._leave(feed, member)
        problem = f"a CURSOR of channel {member.channel} was lost: subscribe again"
        answer = Subscribed(channel=member.channel, subscription=feed.wanted.name, problem=problem, again=True)
        self._begun_anew[member.link, member.channel] = member.peer, answer
        decision.send_to(member.peer, Kind.SUBSCRIBED, encode(answer))

    def gave_up(self, decision: Decision, feed: Feed, member: Member, position: int) -> str | None:
        """A process gives an event up, which counts as done; return its subject, None when it holds no such."""
        subject = member.in_flight.get(position)
        if subject is not None:
            feed.done(member, [position])
            self.moved(decision, feed)
        return subject

    def left(self, link: int) -> None:
        """A connection ended: what it holds is given to others."""
        for feed, member in self._of_link.pop(link, {}).values():
            self._leave(feed, member)
        for key in [key for key in self._begun_anew if key[0] == link]:
            del self._begun_anew[key]
        self._rest()

    def _leave(self, feed: Feed, member: Member) -> None:
        feed.leave(member)
        self.audience_changed = True
        if feed.passes:
            self.by_key.pop(feed.key, None)
        else:
            self._wanting[feed] = None

    def want(self, feed: Feed) -> None:
        """Something of it changed: look whether it can give something out."""
        self._wanting[feed] = None

    def moved(self, decision: Decision, feed: Feed, apart_s: float = CURSOR_APART_S) -> None:
        """Its row is to be written, soon."""
        if feed.passes:
            return
        due_s = max(decision.now.mono_s, feed.wrote_s + apart_s)
        if feed.dirty_s is None or due_s < feed.dirty_s:
            feed.dirty_s = due_s
            if self._write_s is None or due_s < self._write_s:
                self._write_s = due_s

    def write(self, decision: Decision, feed: Feed) -> SubscriptionRow:
        """Write its row now."""
        feed.dirty_s, feed.wrote_s = None, decision.now.mono_s
        row = feed.written(decision.now.utc_ms, self._state.log.position)
        decision.ops.append(PutSubscription(row))
        return row

    def sampled(self, topic: str, subject: str, sample: bytes) -> None:
        """There is a newer sample of a subject: an encoded `Sample`. One process of each bot gets it."""
        for feed in self.by_key.values():
            if feed.members and any(matches(pattern, topic) for pattern in feed.wanted.samples):
                members = list(feed.members.values())
                members[crc32(subject.encode()) % len(members)].samples[topic, subject] = sample
                self._wanting[feed] = None

    # --- time ---------------------------------------------------------------------------------------------

    def due_s(self) -> float | None:
        """Return when something is to be given out or written."""
        due_s = self._flush_s
        for at in (self._write_s, self._tell_s):
            if at is not None and (due_s is None or at < due_s):
                due_s = at
        return due_s

    def finish(self, decision: Decision) -> None:
        """End of a decision: give out what is due, write what is due."""
        tail = self._state.log.tail
        now_s = decision.now.mono_s
        if tail is not None:
            waiting = self._state.log.position - self._given_to
            due = waiting >= GATHER_MAX or now_s >= self._flushed_s + self._apart_s
            if waiting > 0 and due:
                tail.close()
                self._given_to = self._state.log.position
                given = [feed for feed in self.by_key.values() if feed.members]
                newest = tail.newest
                for feed in given:
                    if newest is None or not self._give_newest(decision, feed, newest):
                        self._wanting[feed] = None
                self._flush_s, self._flushed_s = None, now_s
                self._apart_s = min(EVENTS_FLUSH_S + (len(given) - 1) * EVENTS_FLUSH_BOT_S, EVENTS_FLUSH_MAX_S)
            elif waiting > 0:
                self._flush_s = self._flushed_s + self._apart_s
        if self._wanting:
            wanting, self._wanting = self._wanting, {}
            for feed in wanting:
                self._pump(decision, feed)
        if self._write_s is not None and self._write_s <= now_s:
            self._write_due(decision)
        if self._tell_s is not None and self._tell_s <= now_s:
            for feed in self.by_key.values():
                self._tell(decision, feed)
            for peer, answer in self._begun_anew.values():
                decision.send_to(peer, Kind.SUBSCRIBED, encode(answer))
            self._tell_s = now_s + CURSOR_IDLE_S if tail is not None or self._begun_anew else None

    def _tell(self, decision: Decision, feed: Feed) -> None:
        """Say how far the log was looked through."""
        body = events_body([Part([], feed.next - 1)])
        for member in feed.members.values():
            decision.effects.append(SendFrame(member.link, member.header(0), body))
            if member.samples_sent > member.samples_taken and member.samples_late:
                member.samples_taken = member.samples_sent
                self._wanting[feed] = None
            member.samples_late = member.samples_sent > member.samples_taken

    def _write_due(self, decision: Decision) -> None:
        """Write what is due, and what would be soon: the rows of many then have the same times."""
        earliest: float | None = None
        soon_s = decision.now.mono_s + CURSOR_APART_S
        for feed in self.by_key.values():
            if feed.dirty_s is None:
                continue
            if feed.dirty_s <= soon_s:
                self.write(decision, feed)
            elif earliest is None or feed.dirty_s < earliest:
                earliest = feed.dirty_s
        self._write_s = earliest

    def _rest(self) -> None:
        """Without anybody who subscribes nothing is gathered."""
        if not any(feed.members for feed in self.by_key.values()):
            self._state.log.tail = None
            self._flush_s = None

    # --- giving out ---------------------------------------------------------------------------------------

    def _pump(self, decision: Decision, feed: Feed) -> None:
        if not feed.members or feed.paused:
            return
        if feed.wanted.samples:
            for member in feed.members.values():
                decision.effects += member.next_samples()
        tail = self._state.log.tail
        assert tail is not None, "somebody subscribes"
        began = feed.next
        self._read_open(decision, feed)
        while feed.next <= tail.closed and not feed.reads_log:
            if all(member.room <= 0 for member in feed.members.values()):
                break
            if feed.since_ms or feed.next < tail.first:
                self._read_log(decision, feed)
                break
            if not self._give(decision, feed, tail):
                break
        if feed.next != began:
            self.moved(decision, feed, CURSOR_IDLE_S)

    def _give_newest(self, decision: Decision, feed: Feed, batch: Batch) -> bool:
        """Give the newest batch to who is level with the log; False: it takes a longer look."""
        member = feed.level(batch)
        if member is None:
            return False
        part = batch.of(feed.filter)
        feed.give_whole(member, [part])
        if part.rows:
            decision.effects.append(SendFrame(member.link, member.header(len(part.rows)), part.body))
        if feed.dirty_s is None:
            self.moved(decision, feed, CURSOR_IDLE_S)
        return True

    def _give(self, decision: Decision, feed: Feed, tail: EventTail) -> bool:
        """Give out of the tail what fits a frame; return whether there may be more to give."""
        member = feed.sole()
        batch = next(tail.batches(feed.next))
        if member is None or feed.next != batch.first:
            return self._give_part(decision, feed, batch.since(feed.next, feed.filter))
        parts, count = feed.whole(member, tail.batches(feed.next))
        if not parts:
            # Rather a whole part soon than some of it now, unless that is long to come.
            few = member.in_flight and member.room < member.window / 4
            return not few and self._give_part(decision, feed, batch.of(feed.filter))
        feed.give_whole(member, parts)
        if count:
            decision.effects.append(SendFrame(member.link, member.header(count), events_body(parts)))
        return True

    def _give_part(self, decision: Decision, feed: Feed, part: Part) -> bool:
        """Give a part that begins at the place of the subscription; return whether all of it was given."""
        member = feed.sole()
        if member is not None and feed.gives_whole(member, len(part.rows), part.size):
            feed.give_whole(member, [part])
            if part.rows:
                decision.effects.append(SendFrame(member.link, member.header(len(part.rows)), part.body))
        else:
            feed.spread(part)
            self._send_batches(decision, feed)
        return feed.next > part.through

    def _send_batches(self, decision: Decision, feed: Feed) -> None:
        through = feed.next - 1
        for member in feed.members.values():
            rows, member.batch = member.batch, []
            for part in parts_of(rows, through) if rows else ():
                decision.effects.append(SendFrame(member.link, member.header(len(part.rows)), part.body))

    # --- from the store -----------------------------------------------------------------------------------

    def _read_log(self, decision: Decision, feed: Feed) -> None:
        feed.reads_log = True
        request = rest_of_log(feed, self._state.log.position)
        decision.effects.append(ReadLog(feed.key, feed.ticket, request))

    def _read_open(self, decision: Decision, feed: Feed) -> None:
        if feed.reads_open or not (feed.behind or feed.again):
            return
        if all(member.room <= 0 for member in feed.members.values()):
            return
        request = of_open_subjects(feed)
        if request is None:
            return
        feed.reads_open = True
        decision.effects.append(ReadLog(feed.key, feed.ticket, request))

    def was_read(self, decision: Decision, read: ReadLog, found: LogSlice) -> None:
        """A part of the log came from the store."""
        feed = self.by_key.get(read.feed)
        if feed is None or feed.ticket != read.ticket:
            return  # dropped, or begun anew meanwhile
        request = read.request
        if request.positions:
            feed.reads_open = False
            feed.take_again(found.rows, request.positions)
            self.moved(decision, feed)
        elif request.subjects:
            feed.reads_open = False
            feed.take_open(*with_newer(feed, self._state.log.tail, request, found))
            self.moved(decision, feed, CURSOR_IDLE_S)
        else:
            feed.reads_log = False
            if feed.members and not feed.paused:
                feed.since_ms = 0
                self._give_part(decision, feed, Part(found.rows, found.through))
                self.moved(decision, feed, CURSOR_IDLE_S)
        self._send_batches(decision, feed)
        self._wanting[feed] = None
