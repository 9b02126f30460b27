"""Facts that may wait leave together; those that may not take them along at once."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from doai.backoff import Backoff
from doai.changes.outbox import OutboxState
from doai.codec import Kind, decode, pack_header, unpack_header
from doai.limits import FACTS_APART_S, RESULTS_TOGETHER
from doai.link.actions import Actions, SendFrame
from doai.link.outgoing import Outgoing
from doai.messages.link import HostSample, Records, Role, Welcome

SAMPLE = HostSample(host="h", pid=1, version="0", started_at_ms=0)
CREDIT = {"credit_seq": 1 << 30, "credit_bytes": 1 << 40}


class Peer:
    """A live link, and the seqs of the frames that it sent."""

    def __init__(self, credit_seq: int = 1 << 30) -> None:
        self.frames: list[list[int]] = []
        file = OutboxState(
            incarnation="life-1",
            epoch=0,
            store_id="",
            highest_seq=0,
            trimmed_seq=0,
            records=0,
            held=[],
            recipes={},
        )
        self.link = Outgoing(
            name="node-1",
            instance="main",
            role=Role.NODE,
            capabilities=[],
            outbox=file,
            new_incarnation=lambda: "life-2",
            backoff=Backoff(first_s=0.1, longest_s=1.0),
        )
        self.link.tick(0.0, 0.0)
        self.link.opened(1, SAMPLE, 0.0)
        welcome = Welcome(store_id="s", last_seq=0, digests=b"", capacity=1, heartbeat_s=10.0, handle=1)
        header = pack_header(Kind.WELCOME, credit_seq=credit_seq, credit_bytes=1 << 40)
        self.take(self.link.welcome(welcome, unpack_header(header), 0.0))

    def take(self, actions: Actions) -> None:
        for effect in actions.effects:
            if isinstance(effect, SendFrame):
                self.frames.append([record.seq for record in decode(effect.body, Records).records])

    def tell(self, mono_s: float, *, may_wait: bool = True, is_result: bool = False) -> None:
        self.link.append(b"\xc0", may_wait=may_wait, is_result=is_result)
        self.take(Actions([], self.link.pump(mono_s)))

    def ack(self, mono_s: float) -> None:
        header = pack_header(Kind.ACK, ack=self.frames[-1][-1], **CREDIT)
        self.take(self.link.acked(unpack_header(header), mono_s))


def test_the_first_fact_after_a_quiet_moment_waits_for_nothing() -> None:
    peer = Peer()
    peer.tell(1.0)
    assert peer.frames == [[1]]


def test_what_may_wait_leaves_in_one_frame_when_it_has_gathered_long_enough() -> None:
    peer = Peer()
    peer.tell(1.0)
    peer.ack(1.001)
    peer.tell(1.002)
    peer.tell(1.003)
    assert peer.frames == [[1]]
    assert peer.link.due_s() == 1.0 + FACTS_APART_S
    peer.take(peer.link.tick(1.0 + FACTS_APART_S - 0.001, 0.0))
    assert peer.frames == [[1]]
    peer.take(peer.link.tick(1.0 + FACTS_APART_S, 0.0))
    assert peer.frames == [[1], [2, 3]]


def test_a_result_leaves_at_once_and_takes_along_what_has_gathered() -> None:
    peer = Peer()
    peer.tell(1.0)
    peer.ack(1.001)
    peer.tell(1.002)
    peer.tell(1.003, may_wait=False)
    peer.tell(1.004)
    assert peer.frames == [[1], [2, 3]]


def test_a_result_that_waits_for_an_ack_leaves_with_it() -> None:
    peer = Peer()
    peer.tell(1.0)
    peer.tell(1.001, may_wait=False)
    peer.tell(1.002)
    peer.ack(1.003)
    assert peer.frames == [[1], [2, 3]]


def test_of_results_that_may_wait_only_so_many_do() -> None:
    peer = Peer()
    peer.tell(1.0)
    peer.ack(1.001)
    for _ in range(RESULTS_TOGETHER - 1):
        peer.tell(1.002, is_result=True)
    assert peer.frames == [[1]]
    peer.tell(1.003, is_result=True)
    assert peer.frames[1:] == [list(range(2, 2 + RESULTS_TOGETHER))]


def test_without_credit_nothing_is_due_because_of_what_gathers() -> None:
    peer = Peer(credit_seq=1)
    peer.tell(1.0)
    peer.take(peer.link.acked(unpack_header(pack_header(Kind.ACK, ack=1, credit_seq=1, credit_bytes=9)), 1.001))
    silent_s = peer.link.due_s()
    peer.tell(1.002)
    assert peer.frames == [[1]]
    assert peer.link.due_s() == silent_s, "a time that is over would keep the loop busy"


@given(st.lists(st.tuples(st.floats(0, 0.1), st.booleans()), max_size=40))
def test_every_fact_leaves_in_order_and_in_time(steps: list[tuple[float, bool]]) -> None:
    """Whoever ticks when something is due and acknowledges each frame at once sees no fact wait for longer."""
    peer, now_s = Peer(), 1.0
    told_s: dict[int, float] = {}
    left_s: dict[int, float] = {}

    def look() -> None:
        while any(seq not in left_s for frame in peer.frames for seq in frame):
            for seq in itertools.chain(*peer.frames):
                left_s.setdefault(seq, now_s)
            peer.ack(now_s)

    for wait_s, may_wait in [*steps, (1.0, True)]:
        until_s = now_s + wait_s
        while (due_s := peer.link.due_s()) is not None and due_s <= until_s and peer.link.unacknowledged:
            now_s = max(now_s, due_s)
            peer.take(peer.link.tick(now_s, 0.0))
            look()
        now_s = until_s
        told_s[peer.link.highest_seq + 1] = now_s
        peer.tell(now_s, may_wait=may_wait)
        look()
    peer.take(peer.link.tick(now_s + FACTS_APART_S, 0.0))
    now_s += FACTS_APART_S
    look()
    assert list(itertools.chain(*peer.frames)) == list(told_s)
    assert all(left_s[seq] - told_s[seq] <= FACTS_APART_S + 1e-9 for seq in told_s)
