"""Both ends of the link against each other: whatever is lost, doubled or cut, each fact is taken once, in order."""

from __future__ import annotations

import random
from collections import deque
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.backoff import Backoff
from doai.changes.outbox import AppendFact, OutboxState, PutEpoch, PutStoreId, RenewIncarnation, TrimFacts
from doai.codec import Kind, decode, pack_header, unpack_header
from doai.limits import ACK_TIMEOUT_S, RECORDS_PER_FRAME_MAX, SILENCE_S, WELCOME_TIMEOUT_S
from doai.link import incoming as incoming_end
from doai.link.actions import Actions, Established, OpenSocket, OutgoingState, ReadFacts, Renewing, SendFrame, Stop
from doai.link.incoming import Gap, Greeted, Incoming, Refused, Taken, digest
from doai.link.outgoing import TRIM_EVERY, Outgoing
from doai.messages.link import Hello, HostSample, Record, Records, Role, Welcome

SAMPLE = HostSample(host="h", pid=1, version="0", started_at_ms=0)


class File:
    """An outbox file: what is in it has been committed."""

    def __init__(self) -> None:
        self.state = OutboxState(
            incarnation="life-1", epoch=0, store_id="", highest_seq=0, trimmed_seq=0, records=0, held=[], recipes={}
        )
        self.facts: dict[int, bytes] = {}

    def apply(self, op: object) -> None:
        replace = msgspec.structs.replace
        if isinstance(op, PutEpoch):
            self.state = replace(self.state, epoch=op.epoch)
        elif isinstance(op, PutStoreId):
            self.state = replace(self.state, store_id=op.store_id)
        elif isinstance(op, TrimFacts):
            self.facts = {seq: data for seq, data in self.facts.items() if seq > op.seq}
            self.state = replace(self.state, trimmed_seq=op.seq)
        elif isinstance(op, AppendFact):
            self.facts[op.seq] = op.envelope
            self.state = replace(self.state, highest_seq=op.seq)
        elif isinstance(op, RenewIncarnation):
            kept = [self.facts[seq] for seq in sorted(self.facts) if seq > op.keep_after_seq]
            self.facts = dict(enumerate(kept, 1))
            self.state = replace(
                self.state, incarnation=op.incarnation, epoch=0, highest_seq=len(kept), trimmed_seq=0
            )

    def read(self, after_seq: int, limit: int) -> list[tuple[int, bytes]]:
        return [(seq, self.facts[seq]) for seq in sorted(self.facts) if seq > after_seq][:limit]


class World:
    """One node, one broker, a network that may lose, double, and cut; a crash keeps only the files."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now_s = 0.0
        self.file = File()
        self.incoming = Incoming("node-1", "main")
        self.streams: dict[str, Incoming] = {}
        """Those of other incarnations."""
        self.store_id = "store-1"
        self.taken: list[bytes] = []
        self.told = 0
        self.to_broker: deque[SendFrame] = deque()
        self.to_node: deque[tuple[int, bytes, bytes]] = deque()
        self.stopped: str | None = None
        self.renewals: list[Renewing] = []
        self.start_node()

    def start_node(self) -> None:
        self.lives = getattr(self, "lives", 0) + 1
        self.node = Outgoing(
            name="node-1",
            instance="main",
            role=Role.NODE,
            capabilities=[],
            outbox=self.file.state,
            new_incarnation=lambda: f"life-{self.random.getrandbits(32)}",
            backoff=Backoff(first_s=0.1, longest_s=1.0),
        )

    def perform(self, actions: Actions) -> None:
        for op in actions.ops:
            self.file.apply(op)
            if isinstance(op, RenewIncarnation):
                self.node.renewed(self.file.state)
        for effect in actions.effects:
            if isinstance(effect, SendFrame):
                self.to_broker.append(effect)
            elif isinstance(effect, OpenSocket):
                self.to_broker.clear()
                self.to_node.clear()
                self.perform(self.node.opened(effect.epoch, SAMPLE, self.now_s))
            elif isinstance(effect, ReadFacts):
                facts = self.file.read(effect.after_seq, self.random.randint(1, 50))
                self.perform(self.node.facts_read(effect.epoch, facts, self.now_s))
            elif isinstance(effect, Stop):
                self.stopped = effect.reason
            elif isinstance(effect, Renewing):
                self.renewals.append(effect)
            else:
                assert isinstance(effect, Established)

    def tell(self, count: int) -> None:
        ops = []
        for _ in range(count):
            self.told += 1
            data = msgspec.msgpack.encode(f"fact {self.told}" + "." * self.random.randint(0, 300))
            ops.append(AppendFact(self.node.append(data), data, False))
        self.perform(Actions([*ops], []))
        self.perform(Actions([], self.node.pump(self.now_s)))

    def broker_step(self) -> None:
        frame = self.to_broker.popleft()
        header = unpack_header(frame.header)
        if header.kind == Kind.HELLO:
            hello = decode(frame.body, Hello)
            if hello.incarnation != self.incoming.incarnation and self.incoming.incarnation:
                self.streams[self.incoming.incarnation] = self.incoming
                self.incoming = self.streams.pop(hello.incarnation, None) or Incoming("node-1", "main")
            greeted = self.incoming.hello(hello, frame.epoch, self.store_id)
            assert isinstance(greeted, Greeted), greeted
            welcome = Welcome(
                store_id=self.store_id,
                last_seq=greeted.last_seq,
                digests=greeted.digests,
                capacity=1,
                heartbeat_s=10,
                handle=1,
            )
            self.answer(frame.epoch, Kind.WELCOME, msgspec.msgpack.encode(welcome))
        elif header.kind == Kind.RECORDS and self.incoming.link == frame.epoch:
            answer = self.incoming.records(decode(frame.body, Records).records)
            assert not isinstance(answer, Refused), answer
            if isinstance(answer, Taken):
                self.taken += [bytes(record.envelope) for record in answer.records]
                self.answer(frame.epoch, Kind.ACK, b"")
            else:
                self.answer(frame.epoch, Kind.HELLO_REQUIRED, b"")

    def answer(self, epoch: int, kind: Kind, body: bytes) -> None:
        credit_seq, credit_bytes = self.incoming.credit()
        ack = self.incoming.last_seq
        self.to_node.append(
            (epoch, pack_header(kind, ack=ack, credit_seq=credit_seq, credit_bytes=credit_bytes), body)
        )

    def node_step(self) -> None:
        epoch, header_bytes, body = self.to_node.popleft()
        if not self.node.heard(epoch, self.now_s):
            return
        header = unpack_header(header_bytes)
        if header.kind == Kind.WELCOME:
            self.perform(self.node.welcome(decode(body, Welcome), header, self.now_s))
            self.perform(Actions([], self.node.pump(self.now_s)))
        elif header.kind == Kind.HELLO_REQUIRED:
            self.perform(self.node.lost(self.now_s, self.random.random()))
        else:
            self.perform(self.node.acked(header, self.now_s))

    def tick(self, seconds: float) -> None:
        self.now_s += seconds
        self.perform(self.node.tick(self.now_s, self.random.random()))

    def fault(self) -> None:
        kind = self.random.randrange(6)
        if kind == 0 and self.to_broker:
            self.to_broker.popleft()
        elif kind == 1 and self.to_node:
            self.to_node.popleft()
        elif kind == 2 and self.to_broker:
            self.to_broker.append(self.to_broker[0])
        elif kind == 3 and self.to_node:
            self.to_node.append(self.to_node[0])
        elif kind == 4:
            self.start_node()
        elif kind == 5:
            self.perform(self.node.lost(self.now_s, self.random.random()))

    def settle(self) -> None:
        for _ in range(5000):
            if self.to_broker:
                self.broker_step()
            elif self.to_node:
                self.node_step()
            elif self.node.unacknowledged or self.node.state is not OutgoingState.LIVE:
                self.tick(1.0)
            else:
                self.perform(Actions(self.node.trim(), []))
                return
        raise AssertionError(f"not settled: {self.node.state}, {self.node.unacknowledged} unacknowledged")


@given(st.integers(0, 2**32), st.integers(20, 300), st.floats(0, 0.4))
def test_each_fact_is_taken_exactly_once_and_in_order(seed: int, steps: int, fault_share: float) -> None:
    world = World(seed)
    for _ in range(steps):
        choice = world.random.random()
        if choice < fault_share:
            world.fault()
        elif choice < 0.5:
            world.tell(world.random.randint(1, 20))
        elif choice < 0.7 and world.to_broker:
            world.broker_step()
        elif choice < 0.9 and world.to_node:
            world.node_step()
        else:
            world.tick(world.random.random() * 3)
    world.settle()
    assert [msgspec.msgpack.decode(data).split(".")[0] for data in world.taken] == [
        f"fact {n}" for n in range(1, world.told + 1)
    ]
    assert world.file.facts == {}
    assert world.stopped is None


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 900))
def test_no_more_is_on_the_way_than_a_tiny_credit_allows(seed: int, records: int, size: int) -> None:
    world = World(seed)
    with patch.object(incoming_end, "CREDIT_RECORDS", records), patch.object(incoming_end, "CREDIT_BYTES", size):
        for _ in range(60):
            choice = world.random.random()
            if choice < 0.3:
                world.tell(world.random.randint(1, 8))
            elif choice < 0.6 and world.to_broker:
                world.broker_step()
            elif choice < 0.9 and world.to_node:
                world.node_step()
            else:
                world.tick(0.1)
            on_the_way = [
                record
                for frame in world.to_broker
                if unpack_header(frame.header).kind == Kind.RECORDS
                for record in decode(frame.body, Records).records
                if record.seq > world.incoming.last_seq
            ]
            assert len(on_the_way) <= records
            # One record always fits, however large.
            assert len(on_the_way) <= 1 or sum(len(bytes(record.envelope)) for record in on_the_way) <= size
        world.settle()
    assert len(world.taken) == world.told


def live_world(facts: int) -> World:
    world = World(1)
    world.tell(facts)
    world.settle()
    return world


def test_a_broker_that_lost_its_past_is_told_again() -> None:
    world = live_world(5)
    world.store_id = "store-2"
    world.incoming = Incoming("node-1", "main")
    world.tell(3)
    world.perform(world.node.lost(world.now_s, 0.0))
    world.to_broker.clear()
    world.settle()
    assert world.file.state.incarnation != "life-1"
    assert world.file.state.store_id == "store-2"
    assert len(world.taken) == 8, "five before the loss, and the three it had not confirmed"


def test_an_old_disk_begins_a_new_life_and_drops_what_was_taken() -> None:
    world = live_world(5)
    world.file.state = msgspec.structs.replace(world.file.state, highest_seq=2, trimmed_seq=2)
    world.start_node()
    world.settle()
    assert world.file.state.incarnation != "life-1"
    world.tell(1)
    world.settle()
    assert len(world.taken) == 6


def copy_of(world: World) -> tuple[OutboxState, dict[int, bytes]]:
    return world.file.state, dict(world.file.facts)


def told(world: World) -> list[str]:
    return [msgspec.msgpack.decode(data).split(".")[0] for data in world.taken]


def test_a_copy_of_an_outbox_tells_what_the_broker_does_not_have_and_nothing_twice() -> None:
    world = live_world(3)
    world.perform(world.node.lost(world.now_s, 0.0))
    world.tell(2)  # facts 4 and 5: in the copy too
    copy = copy_of(world)
    world.tell(3)  # facts 6-8 of the original
    world.settle()
    world.file.state, world.file.facts = copy
    world.start_node()
    world.tell(2)  # facts 9 and 10 of the copy, under the numbers 6 and 7
    world.settle()
    assert told(world) == [f"fact {n}" for n in range(1, 11)]
    [renewal] = world.renewals
    assert renewal.cloned
    assert "from number 6 on" in renewal.reason
    assert world.file.state.incarnation != "life-1"


def test_a_copy_that_went_on_longer_than_the_original_is_noticed_too() -> None:
    world = live_world(1)
    copy = copy_of(world)
    world.tell(2)
    world.settle()
    world.file.state, world.file.facts = copy
    world.start_node()
    world.tell(5)
    world.settle()
    assert sorted(told(world)) == [f"fact {n}" for n in range(1, 9)]
    assert [renewal.cloned for renewal in world.renewals] == [True]


def test_two_copies_that_both_have_facts_which_nobody_took_tell_them_once() -> None:
    world = live_world(1)
    old = copy_of(world)
    world.tell(2)  # facts 2 and 3 of a life that a backup made undone
    world.settle()
    world.file.state, world.file.facts = old
    world.start_node()
    world.tell(2)  # facts 4 and 5, under their numbers
    copy = copy_of(world)
    world.settle()
    world.tell(1)
    world.settle()
    world.file.state, world.file.facts = copy
    world.start_node()
    world.tell(1)  # fact 7, of the copy alone
    world.settle()
    world.tell(1)
    world.settle()
    assert told(world) == [f"fact {n}" for n in range(1, 9)]


def test_an_old_disk_that_told_nothing_of_its_own_is_no_clone() -> None:
    world = live_world(1)
    world.perform(world.node.lost(world.now_s, 0.0))
    world.tell(2)
    copy = copy_of(world)
    world.tell(2)
    world.settle()
    world.file.state, world.file.facts = copy
    world.start_node()
    world.settle()
    assert [renewal.cloned for renewal in world.renewals] == [False]
    assert told(world) == [f"fact {n}" for n in range(1, 6)], "and nothing is told again"


def test_a_fact_recorded_while_an_old_disk_greets_is_not_taken_for_one_that_the_broker_has() -> None:
    world = live_world(1)
    copy = copy_of(world)
    world.tell(4)
    world.settle()
    world.file.state, world.file.facts = copy
    world.start_node()
    world.tick(0.0)  # HELLO is on its way and says: one fact
    world.tell(2)
    world.settle()
    assert told(world) == [f"fact {n}" for n in range(1, 8)]


def test_facts_whose_digests_the_broker_no_longer_has_are_told_again() -> None:
    world = live_world(1)
    copy = copy_of(world)
    with patch.object(incoming_end, "HASHES_KEPT", 2):
        world.incoming = Incoming("node-1", "main")
    world.incoming.load(
        msgspec.structs.replace(world.incoming.row(), incarnation="life-1", epoch=1, last_seq=1), []
    )
    world.tell(6)
    world.settle()
    world.file.state, world.file.facts = copy
    world.start_node()
    world.tell(2)
    world.settle()
    assert told(world)[-2:] == ["fact 8", "fact 9"]
    assert [renewal.cloned for renewal in world.renewals] == [True]


def frames_of(world: World) -> list[list[int]]:
    """Take the RECORDS frames that are on their way, as the numbers in each."""
    frames = [decode(frame.body, Records).records for frame in world.to_broker]
    world.to_broker.clear()
    return [[record.seq for record in records] for records in frames]


def test_a_lost_last_frame_is_sent_again_on_the_same_connection() -> None:
    world = live_world(2)
    epoch = world.node.epoch
    world.tell(3)
    assert frames_of(world) == [[3, 4, 5]], "lost"
    world.tick(0.0)
    world.tick(ACK_TIMEOUT_S - 0.1)
    assert frames_of(world) == []
    world.tick(0.1)
    world.settle()
    assert world.node.epoch == epoch
    assert told(world) == [f"fact {n}" for n in range(1, 6)]


def test_facts_gather_while_a_frame_has_no_ack() -> None:
    world = live_world(1)
    world.tell(1)
    world.tell(1)
    world.tell(1)
    assert [len(decode(frame.body, Records).records) for frame in world.to_broker] == [1]
    world.broker_step()
    _, header, _ = world.to_node.popleft()
    world.perform(world.node.acked(unpack_header(header), world.now_s))
    assert frames_of(world) == [[3, 4]]


def test_whole_frames_wait_for_no_ack() -> None:
    world = live_world(1)
    world.tell(1)
    world.tell(2 * RECORDS_PER_FRAME_MAX)
    world.tell(1)
    assert [len(frame) for frame in frames_of(world)] == [1, RECORDS_PER_FRAME_MAX, RECORDS_PER_FRAME_MAX]


def test_a_lost_ack_is_asked_for_ever_more_seldom() -> None:
    world = live_world(1)
    world.tell(1)
    assert frames_of(world) == [[2]]
    at_s = []
    began_s = world.now_s
    for _ in range(240):
        world.tick(0.1)
        if frames_of(world) == [[2]]:
            at_s.append(round(world.now_s - began_s))
    assert at_s == [5, 15], "and then the silent connection is given up"


def test_an_ack_that_comes_while_its_facts_are_read_again_lets_them_go() -> None:
    world = live_world(1)
    world.tell(1)
    world.tell(4)
    assert frames_of(world) == [[2]]
    world.tick(0.0)
    world.now_s += ACK_TIMEOUT_S
    [read] = world.node.tick(world.now_s, 0.5).effects
    assert read == ReadFacts(world.node.epoch, 1)
    late = world.node.acked(
        unpack_header(pack_header(Kind.ACK, ack=2, credit_seq=99, credit_bytes=9999)), world.now_s
    )
    world.perform(Actions([*late.ops, *world.node.trim()], late.effects))
    world.perform(world.node.facts_read(world.node.epoch, world.file.read(1, 9), world.now_s))
    assert frames_of(world) == [[3, 4, 5, 6]]


def test_what_is_sent_again_needs_no_credit_twice() -> None:
    world = live_world(0)
    world.tell(1)
    [size] = [len(data) for data in world.file.facts.values()]
    frames_of(world)
    world.perform(
        world.node.acked(unpack_header(pack_header(Kind.BEAT, credit_seq=9, credit_bytes=size)), world.now_s)
    )
    world.tick(0.0)
    world.tick(ACK_TIMEOUT_S)
    assert frames_of(world) == [[1]]
    world.perform(
        world.node.acked(unpack_header(pack_header(Kind.ACK, ack=1, credit_seq=9, credit_bytes=9999)), world.now_s)
    )
    assert world.node.unacknowledged == 0
    assert world.node._sent_bytes == size


def hello(epoch: int, incarnation: str = "life-1") -> Hello:
    return Hello(
        name="node-1", instance="main", role=Role.NODE, sample=SAMPLE, incarnation=incarnation, epoch=epoch
    )


def record(seq: int, text: str = "x") -> Record:
    return Record(seq, msgspec.Raw(msgspec.msgpack.encode(text)))


def test_a_lower_epoch_and_an_equal_one_elsewhere_are_refused() -> None:
    incoming = Incoming("node-1", "main")
    assert isinstance(incoming.hello(hello(3), 1, "s"), Greeted)
    for epoch in (2, 3):
        refused = incoming.hello(hello(epoch), 2, "s")
        assert isinstance(refused, Refused)
        assert "copy of its data" in refused.reason
    newer = incoming.hello(hello(4), 2, "s")
    assert isinstance(newer, Greeted)
    assert newer.displaced == 1


def test_a_hello_writes_only_when_its_epoch_rises() -> None:
    incoming = Incoming("node-1", "main")
    first = incoming.hello(hello(1), 1, "s")
    again = incoming.hello(hello(1), 1, "s")
    assert isinstance(first, Greeted)
    assert isinstance(again, Greeted)
    assert len(first.ops) == 1
    assert again.ops == []


def test_a_resend_is_taken_for_one_only_if_it_is_the_same() -> None:
    incoming = Incoming("node-1", "main")
    incoming.hello(hello(1), 1, "s")
    taken = incoming.records([record(1), record(2)])
    assert isinstance(taken, Taken)
    assert taken.ops[0].digests == [digest(record(1)), digest(record(2))]
    assert incoming.records([record(2)]) == Taken(records=[], envelopes=[], ops=[])
    both = incoming.records([record(2), record(3)])
    assert isinstance(both, Taken)
    assert [r.seq for r in both.records] == [3]
    assert incoming.records([record(5)]) == Gap(expected=4, got=5)
    assert isinstance(incoming.records([record(2, "other")]), Refused)


def test_a_resend_older_than_any_digest_kept_is_a_clone() -> None:
    incoming = Incoming("node-1", "main")
    incoming.load(
        msgspec.structs.replace(incoming.row(), incarnation="life-1", epoch=1, last_seq=10), [digest(record(10))]
    )
    incoming.hello(hello(2), 1, "s")
    assert isinstance(incoming.records([record(10)]), Taken)
    assert isinstance(incoming.records([record(9)]), Refused)


def test_facts_beyond_credit_wait_and_one_record_always_fits() -> None:
    world = World(1)
    world.tell(3)
    world.tick(0.0)
    world.broker_step()
    epoch, _, body = world.to_node.popleft()
    no_bytes = unpack_header(pack_header(Kind.WELCOME, credit_seq=2, credit_bytes=1))
    world.node.heard(epoch, 0.0)
    world.perform(world.node.welcome(decode(body, Welcome), no_bytes, 0.0))
    world.perform(Actions([], world.node.pump(world.now_s)))
    sent = [record for frame in world.to_broker for record in decode(frame.body, Records).records]
    assert [r.seq for r in sent] == [1], "the byte credit is too small, yet one record goes"


def test_a_fenced_peer_stops_for_good() -> None:
    world = live_world(1)
    world.perform(world.node.fenced("another process uses a copy of its data"))
    assert world.stopped == "another process uses a copy of its data"
    assert world.node.due_s() is None
    assert world.node.tick(1e9, 0.0) == Actions()


def opening(random01: float) -> Outgoing:
    """A link whose connection has just ended and that looks for the broker again."""
    node = live_world(1).node
    node.lost(100.0, random01)
    return node


def test_the_first_connection_after_an_end_comes_soon_and_spread() -> None:
    assert opening(0.0).due_s() == 100.0
    assert opening(0.5).due_s() == 100.05
    assert opening(0.999).due_s() == pytest.approx(100.1, abs=0.001)


def test_while_nobody_is_there_the_socket_stays_and_no_failure_counts() -> None:
    node = opening(0.0)
    [epoch] = [effect.epoch for effect in node.tick(100.0, 0.9).effects if isinstance(effect, OpenSocket)]
    assert node.tick(159.9, 0.9) == Actions()
    assert node.opened(epoch, SAMPLE, 159.9).effects, "it greets when it is connected, however late"
    stuck = opening(0.0)
    stuck.tick(100.0, 0.9)
    again = stuck.tick(160.0, 0.9)
    assert again.effects == [OpenSocket(epoch + 1)]
    stuck.lost(161.0, 0.999)
    assert stuck.due_s() == pytest.approx(161.2, abs=0.001), "the second failure since WELCOME"


def test_a_broker_that_accepts_and_says_nothing_is_asked_ever_more_seldom() -> None:
    node, now_s, waits = opening(0.999), 100.0, []
    for _ in range(7):
        due_s = node.due_s()
        assert due_s is not None
        waits.append(due_s - now_s)
        node.tick(due_s, 0.999)
        node.opened(node.epoch, SAMPLE, due_s)
        now_s = due_s + WELCOME_TIMEOUT_S
        node.tick(now_s, 0.999)
        assert node.state is OutgoingState.CLOSED
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1, 1, 1], rel=0.01)


def test_silence_gives_the_connection_up() -> None:
    world = live_world(1)
    epoch = world.node.epoch
    world.tick(26.0)
    assert world.node.state is OutgoingState.CLOSED
    world.tick(1.0)
    assert world.node.epoch == epoch + 1


def test_a_frame_that_comes_after_too_long_a_silence_is_not_heard() -> None:
    world = live_world(1)
    epoch, live_s = world.node.epoch, world.now_s
    assert world.node.heard(epoch, live_s + SILENCE_S - 0.1)
    assert not world.node.heard(epoch, live_s + 2 * SILENCE_S), (
        "it may have waited as long as the process stood still"
    )
    world.tick(2 * SILENCE_S)
    assert world.node.state is OutgoingState.CLOSED


def test_acks_are_told_to_the_file_with_what_is_written_next() -> None:
    world = live_world(1)
    world.tell(1)
    while world.to_broker:
        world.broker_step()
    epoch, header, _ = world.to_node.popleft()
    world.node.heard(epoch, world.now_s)
    assert world.node.acked(unpack_header(header), world.now_s).ops == [], "no commit of its own"
    assert world.node.unacknowledged == 0
    assert world.node.trim() == [TrimFacts(2)]
    assert world.node.trim() == []


def test_many_acks_are_told_by_themselves() -> None:
    world = live_world(1)
    world.tell(TRIM_EVERY)
    world.settle()
    assert world.file.state.trimmed_seq == TRIM_EVERY + 1
