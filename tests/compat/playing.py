"""Plays one side of a recording against this release's other side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import trio

from doai.codec import Kind, decode, encode, unpack_header
from doai.envelope import Envelope
from doai.messages.link import Fenced, Records
from doai.wire.base import Dealer, Incoming, Router
from tests.compat.recording import Act, Recording
from tests.compat.site import NODE, Heard, RunningNode

_ID_CHARACTERS = 26
_ACK = slice(8, 16)
WAIT_S = 90.0


class _Ears:
    """What one played peer has heard of the broker."""

    def __init__(self, dealer: Dealer) -> None:
        self.dealer = dealer
        self.acked = 0
        self._heard: list[Heard] = []

    async def listen(self) -> None:
        for header, body in await self.dealer.receive():
            frame = Heard("", False, header, body)
            if frame.kind == Kind.FENCED:
                raise AssertionError(f"the broker refuses what was recorded: {decode(body, Fenced).reason}")
            assert frame.kind != Kind.HELLO_REQUIRED, "the broker does not know the recorded peer any more"
            self.acked = max(self.acked, unpack_header(header).ack)
            self._heard.append(frame)

    async def next_of(self, kind: int) -> bytes:
        while True:
            for frame in self._heard:
                if frame.kind == kind:
                    self._heard.remove(frame)
                    return frame.body
            await self.listen()


class PlayedPeers:
    """The node and the admin of a recording, before a broker: ids that it gives otherwise are put in the place."""

    def __init__(self, recording: Recording, dealers: dict[str, Dealer]) -> None:
        self._recording = recording
        self._ears = {name: _Ears(dealer) for name, dealer in dealers.items()}
        self._ids: dict[bytes, bytes] = {}

    async def play(self) -> None:
        """Say all that was said; what was answered then must be answered now."""
        for number, step in enumerate(self._recording.steps):
            if isinstance(step, Act):
                continue
            ears = self._ears[step.peer]
            if step.to_broker:
                await ears.dealer.send(step.header, self._with_ids_of_now(step.body))
                continue
            with trio.move_on_after(WAIT_S) as waited:
                await self._expect(step, ears)
            assert not waited.cancelled_caught, (
                f"step {number} of {self._recording.stem}: {Kind(step.kind).name} to {step.peer} does not come"
            )

    async def _expect(self, step: Heard, ears: _Ears) -> None:
        if step.kind in (Kind.ACK, Kind.BEAT):  # several may become one
            while ears.acked < unpack_header(step.header).ack:
                await ears.listen()
            return
        body = await ears.next_of(step.kind)
        if step.kind in (Kind.REPLY, Kind.DISPATCH):
            self._learn(msgspec.msgpack.decode(step.body), msgspec.msgpack.decode(body))

    def _learn(self, recorded: Any, present: Any) -> None:
        """Walk two answers that say the same, and note which id of now is which of then."""
        if isinstance(recorded, dict):
            assert "problem" not in present, present
            assert recorded.keys() <= present.keys(), f"fields are gone: {recorded.keys() - present.keys()}"
            for key, value in recorded.items():
                self._learn(value, present[key])
        elif isinstance(recorded, list):
            for then, now in zip(recorded, present, strict=False):
                self._learn(then, now)
        elif isinstance(recorded, str) and len(recorded) == len(present) == _ID_CHARACTERS:
            self._ids[recorded.encode()] = present.encode()

    def _with_ids_of_now(self, body: bytes) -> bytes:
        for then, now in self._ids.items():
            body = body.replace(then, now)
        return body


class PlayedBroker:
    """The broker of a recording, before a node."""

    def __init__(self, recording: Recording, router: Router) -> None:
        self._recording = recording
        self._router = router
        self._link = 0
        self._highest_seq = 0
        self._said_s = 0.0
        self._kinds: Counter[int] = Counter()
        self.facts: list[Envelope] = []
        self._news = trio.Event()

    async def listen(self) -> None:
        """Hear the node, until cancelled."""
        while True:
            for frame in await self._router.receive():
                assert isinstance(frame, Incoming)
                self._link = frame.link
                self._hear(frame.header[1], frame.body)
            self._news.set()

    def _hear(self, kind: int, body: bytes) -> None:
        self._kinds[kind] += 1
        if kind == Kind.HEARTBEAT:
            self._said_s = msgspec.msgpack.decode(body).get("saidS", 0.0)
        elif kind == Kind.RECORDS:
            for record in decode(body, Records).records:
                if record.seq > self._highest_seq:
                    self._highest_seq = record.seq
                    self.facts.append(decode(record.envelope, Envelope))

    async def play(self, node: RunningNode, drain: str) -> None:
        """Say all that was said to the node, each when the node has said what it had said by then."""
        needed: Counter[str] = Counter()
        for number, step in enumerate(self._recording.steps):
            if isinstance(step, Act):
                assert step.what == drain
                node.shell.drain("it is upgraded")
            elif step.peer == NODE and step.to_broker:
                where = f"step {number} of {self._recording.stem}"
                if step.kind == Kind.RECORDS:
                    needed.update(envelope.type for envelope in facts_of(step))
                    await self._wait(lambda: self._types() >= needed, f"{where}: {needed} is not told")
                else:
                    kind = step.kind
                    await self._wait(lambda k=kind: self._kinds[k] > 0, f"{where}: {Kind(kind).name} is not said")
            elif step.peer == NODE:
                self._router.send_nowait(self._link, self._header_of_now(step), self._body_of_now(step))

    def _types(self) -> Counter[str]:
        return Counter(envelope.type for envelope in self.facts)

    async def _wait(self, is_so: Callable[[], bool], otherwise: str) -> None:
        with trio.move_on_after(WAIT_S):
            while not is_so():
                self._news = trio.Event()
                await self._news.wait()
        assert is_so(), f"{otherwise}; told was {self._types()}"

    def _header_of_now(self, step: Heard) -> bytes:
        # A node of now may tell more facts, or gather them otherwise: what is acknowledged is what it told.
        ack = self._highest_seq.to_bytes(8, "big")
        return step.header[: _ACK.start] + ack + step.header[_ACK.stop :]

    def _body_of_now(self, step: Heard) -> bytes:
        if step.kind != Kind.BEAT:
            return step.body
        said = msgspec.msgpack.decode(step.body)
        assert "saidS" in said
        return encode({**said, "saidS": self._said_s})


def facts_of(step: Heard) -> list[Envelope]:
    """The facts of a recorded RECORDS."""
    return [decode(record.envelope, Envelope) for record in decode(step.body, Records).records]
