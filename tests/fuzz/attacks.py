"""What hostile peers do, each bounded in count and time; every one says how the broker answered.

Before the handshake: bytes over TCP, half greetings, frames that claim to be huge, other mechanisms, unknown keys,
very many connections. After it, under keys that are registered: messages that are none, vectors of the contract
with bytes changed, frames of other roles, floods.
"""

from __future__ import annotations

import json
import random
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import trio
import zmq

from doai.codec import Kind, encode, pack_header, unpack_header
from doai.envelope import Envelope
from doai.errors import DecodeError
from doai.messages import commands as c
from doai.messages.catalogue import BODIES
from doai.messages.link import Record, Records, Role
from doai.wire.keys import KeyPair, make_keypair
from tests.fuzz.site import Site, command, hello, ids

VECTORS = Path(__file__).resolve().parents[2] / "proto" / "vectors"
GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01"
"""The first 12 octets of ZMTP 3.1 (rfc.zeromq.org/spec/37): signature and version."""
CLOSED_WITHIN_S = 90.0
"""The broker gives a handshake 10 s."""
KINDS = {body.__name__: kind for kind, body in BODIES.items() if body is not None}
Outcomes = Counter[str]
Attack = Callable[[Site, random.Random], Awaitable[Outcomes]]


def mechanism(name: bytes) -> bytes:
    """Return a whole ZMTP greeting of a client that wants this mechanism."""
    return GREETING + name.ljust(20, b"\0") + b"\0" + bytes(31)


# --- before the handshake ---------------------------------------------------------------------------------------


async def bytes_over_tcp(site: Site, rng: random.Random) -> Outcomes:
    """Random bytes, half and whole greetings with garbage behind them, lengths that are lies."""
    whole = mechanism(b"CURVE")
    said = [rng.randbytes(rng.randint(1, 400)) for _ in range(40)]
    said += [whole[: rng.randint(1, 63)] for _ in range(20)]
    said += [whole + rng.randbytes(rng.randint(1, 200)) for _ in range(20)]
    said += [mechanism(name) for name in (b"NULL", b"PLAIN", b"GSSAPI", b"", b"\xff" * 20)]
    huge = struct.pack("!BQ", 0x02, 1 << 62)  # a long frame of 2**62 octets
    command_frame = struct.pack("!BQ", 0x06, 1 << 40) + b"\x05HELLO"
    said += [whole + huge + rng.randbytes(3000), whole + command_frame, whole + b"\x04\xff\x05HELLO" + bytes(9)]
    said += [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00", b"SSH-2.0-x\r\n"]
    outcomes: Outcomes = Counter()
    async with trio.open_nursery() as nursery:
        for data in said:
            nursery.start_soon(_say_and_wait, site.port, data, outcomes)
    return outcomes


async def _say_and_wait(port: int, data: bytes, outcomes: Outcomes) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        try:
            await stream.send_all(data)
            with trio.move_on_after(CLOSED_WITHIN_S) as scope:
                while await stream.receive_some(4096):
                    pass
            outcomes["left open" if scope.cancelled_caught else "closed"] += 1
        except trio.BrokenResourceError:
            outcomes["closed"] += 1


async def many_connections(site: Site, rng: random.Random) -> Outcomes:
    """Hundreds of connections at once that say nothing, and more that come and go."""
    outcomes: Outcomes = Counter()
    streams = [await trio.open_tcp_stream("127.0.0.1", site.port) for _ in range(300)]
    for _ in range(600):
        async with await trio.open_tcp_stream("127.0.0.1", site.port):
            outcomes["came and went"] += 1
    for stream in streams:
        await stream.aclose()
        outcomes["said nothing"] += 1
    return outcomes


async def other_mechanisms(site: Site, rng: random.Random) -> Outcomes:
    """Real ZeroMQ peers with NULL, PLAIN, the wrong server key, and keys that nobody knows."""
    outcomes: Outcomes = Counter()
    stranger = make_keypair()
    with zmq.Context() as context:
        for index in range(24):
            socket = context.socket(zmq.DEALER)
            socket.set(zmq.LINGER, 0)
            if index % 4 == 1:
                socket.set(zmq.PLAIN_USERNAME, b"admin")
                socket.set(zmq.PLAIN_PASSWORD, b"admin")
            elif index % 4 >= 2:
                _set_curve(socket, stranger, make_keypair().public if index % 4 == 2 else site.server_key)
            socket.connect(site.endpoint)
            with suppress(zmq.Again):
                socket.send_multipart([pack_header(Kind.HELLO), hello("admin", Role.ADMIN)], zmq.NOBLOCK)
            await trio.sleep(0.02)
            outcomes["heard something" if socket.poll(0) else "not let in"] += 1
            socket.close()
    return outcomes


# --- with a key that is registered ------------------------------------------------------------------------------


class Liar:
    """A peer with a registered key over a bare socket: it may send what no library of ours sends."""

    def __init__(self, socket: zmq.Socket[bytes], name: str, role: Role) -> None:
        self._socket = socket
        self.name = name
        self.role = role
        self.outcomes: Outcomes = Counter()
        self.acked = 0
        """Facts of its stream that the broker took."""
        self._greeted = False

    async def send(self, *parts: bytes) -> None:
        """Send parts as they are; gives the socket a second to take them."""
        for _ in range(200):
            self.hear()
            try:
                self._socket.send_multipart(parts, zmq.NOBLOCK)
            except zmq.Again:
                await trio.sleep(0.005)
            else:
                self.outcomes["sent"] += 1
                await trio.lowlevel.checkpoint()
                return
        self.outcomes["not taken"] += 1

    async def greet_if_needed(self) -> None:
        """Say a proper HELLO first of all, and when the broker wants one again; wait for what it says to it."""
        self.hear()
        if self._greeted:
            return
        self._greeted = True
        before = self.outcomes["WELCOME"] + self.outcomes["FENCED"]
        await self.send(pack_header(Kind.HELLO), hello(self.name, self.role))
        with trio.move_on_after(0.5):
            while self.outcomes["WELCOME"] + self.outcomes["FENCED"] == before:
                self.hear()
                await trio.sleep(0.005)

    def hear(self) -> None:
        """Count what the broker has said meanwhile, by kind."""
        while True:
            try:
                header, _ = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                known = unpack_header(header)
                kind = Kind(known.kind)
                self.outcomes[kind.name] += 1
                self.acked = max(self.acked, known.ack)
                self._greeted = self._greeted and kind not in (Kind.HELLO_REQUIRED, Kind.FENCED)
            except DecodeError:
                self.outcomes["no frame of ours"] += 1

    async def wait_answered(self, within_s: float) -> None:
        """Return when what was told is acknowledged or refused; after so long, when a rate is used up."""
        acked = self.acked
        with trio.move_on_after(within_s):
            while self.acked == acked and self._greeted:
                self.hear()
                await trio.sleep(0.002)

    async def hear_out(self, seconds: float = 0.5) -> None:
        """Listen a little longer."""
        with trio.move_on_after(seconds):
            while True:
                self.hear()
                await trio.sleep(0.02)


@contextmanager
def liar(site: Site, role: Role) -> Iterator[Liar]:
    """Connect under a hostile key of a role that nobody used yet."""
    name, pair = site.evil[role].pop()
    with zmq.Context() as context:
        socket = context.socket(zmq.DEALER)
        try:
            socket.set(zmq.LINGER, 0)
            _set_curve(socket, pair, site.server_key)
            socket.connect(site.endpoint)
            yield Liar(socket, name, role)
        finally:
            socket.close()


Session = Callable[[Liar], Awaitable[None]]


async def _at_once(site: Site, sessions: list[tuple[Role, Session]]) -> Outcomes:
    """Let liars speak side by side; returns what all of them heard."""
    outcomes: Outcomes = Counter()

    async def one(role: Role, session: Session) -> None:
        with liar(site, role) as peer:
            await session(peer)
            await peer.hear_out()
            outcomes.update(peer.outcomes)

    async with trio.open_nursery() as nursery:
        for role, session in sessions:
            nursery.start_soon(one, role, session)
    return outcomes


def _set_curve(socket: zmq.Socket[bytes], pair: KeyPair, server_key: str) -> None:
    socket.set(zmq.CURVE_SERVERKEY, server_key.encode())
    socket.set(zmq.CURVE_PUBLICKEY, pair.public.encode())
    socket.set(zmq.CURVE_SECRETKEY, pair.secret.reveal().encode())


def vectors(folder: str) -> list[tuple[str, bytes]]:
    """Return (type, msgpack) of the contract's vectors."""
    texts = [json.loads(path.read_text()) for path in _files(folder)]
    return [(text["type"], bytes.fromhex(text["msgpack"])) for text in texts]


def _payloads(folder: str) -> list[tuple[str, bytes]]:
    """Return (type on the wire, payload) of the vectors."""
    names = [path.stem for path in _files(folder)]
    return list(zip(names, (data for _, data in vectors(folder)), strict=True))


def _files(folder: str) -> list[Path]:
    return sorted((VECTORS / folder).glob("*.json"))


def _fact(event_type: str, payload: bytes, name: str) -> bytes:
    envelope = Envelope(
        event_id=ids.new_id(1),
        type=event_type,
        subject="task/none",
        source=f"{name}/main",
        trace_id=ids.new_trace_id(),
        occurred_at_ms=1,
        payload=msgspec.Raw(payload),
    )
    return encode(envelope)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Change a body: flip, cut, double, insert, and lengths that lie."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed)) if changed else 0
        match rng.randrange(5):
            case 0 if changed:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                del changed[at:]
            case 2:
                changed[at:at] = rng.randbytes(rng.randint(1, 9))
            case 3:
                changed[at:at] = changed[at : at + 40]
            case _:
                # array32, map32, str32, bin32 with four octets of length that nothing follows
                changed[at : at + 1] = bytes([rng.choice((0xDD, 0xDF, 0xDB, 0xC6))]) + rng.randbytes(4)
    return bytes(changed)


def _messages(rng: random.Random) -> Iterator[tuple[bytes, ...]]:
    """Messages that are no frames, and frames whose bodies are none."""
    good = pack_header(Kind.HEARTBEAT)
    yield from ((b"",), (good,), (b"", b""), (good, b"", b""), (b"\0" * 5,), (b"\0" * 5, good, b""), (good,) * 40)
    yield from ((rng.randbytes(5), rng.randbytes(32), rng.randbytes(9)) for _ in range(20))
    yield (good, bytes(256 * 1024 + 1))
    yield (good[:31], b"x")
    yield (good + b"x", b"x")
    for kind in range(256):
        yield (bytes([1, kind]) + rng.randbytes(30), rng.randbytes(rng.randint(0, 60)))
    yield (pack_header(Kind.HEARTBEAT), b"\x91" * 100_000)  # depth
    yield (pack_header(Kind.RECORDS), b"\x91\xdd\xff\xff\xff\xff")
    yield (bytes([9]) + good[1:], b"another version")


async def messages_that_are_none(site: Site, rng: random.Random) -> Outcomes:
    """Under each role: parts too few and too many, every kind with random bytes, another wire version."""

    def saying(messages: list[tuple[bytes, ...]]) -> Session:
        async def session(peer: Liar) -> None:
            for message in messages:
                await peer.greet_if_needed()
                await peer.send(*message)

        return session

    said = list(_messages(rng))
    rng.shuffle(said)
    chunks = [said[start : start + 30] for start in range(0, len(said), 30)]
    return await _at_once(site, [(role, saying(chunk)) for role in Role for chunk in chunks])


async def mutated_vectors(site: Site, rng: random.Random) -> Outcomes:
    """Bodies of the contract with bytes changed; commands under a bot's key, which may not command."""

    def saying(name: str, body: bytes) -> Session:
        async def session(peer: Liar) -> None:
            for _ in range(30):
                await peer.greet_if_needed()
                await peer.send(pack_header(KINDS[name]), mutated(body, rng))

        return session

    async def command_as_bot(peer: Liar) -> None:
        await peer.greet_if_needed()
        for asked, data in _payloads("command"):
            await peer.send(pack_header(Kind.COMMAND), command(f"{peer.name}/x", asked, msgspec.Raw(data)))

    async def command_nonsense(peer: Liar) -> None:
        await peer.greet_if_needed()
        for asked in (c.CREATE_RUN, c.STORE_WORKFLOW, c.ADD_KEY, "no.such", "\0" * 500):
            await peer.send(pack_header(Kind.COMMAND), command(f"{peer.name}/x", asked, c.CancelRun(run_id="")))

    async def tell_nonsense(peer: Liar) -> None:
        # In the order of its stream, so that the broker has to take it: as it is, changed, and of every type.
        [(_, fact)] = [(name, body[4:]) for name, body in vectors("body") if name == "Records"]
        typed = [
            _fact(path.stem, data, peer.name)
            for path, (_, data) in zip(_files("event"), vectors("event"), strict=True)
        ]
        told = [fact, *typed, *(mutated(rng.choice(typed), rng) for _ in range(12))]
        for number, envelope in enumerate(told):
            await peer.greet_if_needed()
            records = Records([Record(peer.acked + 1, msgspec.Raw(envelope))])
            await peer.send(pack_header(Kind.RECORDS), encode(records))
            await peer.wait_answered(20.0 if number < 12 else 0.2)

    sessions = [(role, saying(name, body)) for role in Role for name, body in vectors("body")]
    return await _at_once(
        site, [*sessions, (Role.NODE, tell_nonsense), (Role.BOT, command_as_bot), (Role.ADMIN, command_nonsense)]
    )


async def wrong_roles(site: Site, rng: random.Random) -> Outcomes:
    """A name that is not the key's, a role that is not the key's, frames that the role may not send."""

    async def claim(peer: Liar) -> None:
        for claimed in Role:
            await peer.send(pack_header(Kind.HELLO), hello("polite", claimed))
            await peer.send(pack_header(Kind.HELLO), hello(peer.name, claimed))

    async def say_all_kinds(peer: Liar) -> None:
        for name, body in vectors("body"):
            await peer.greet_if_needed()
            await peer.send(pack_header(KINDS[name]), body)

    return await _at_once(site, [(role, session) for role in Role for session in (claim, say_all_kinds)])


async def flood_of_hellos(site: Site, rng: random.Random) -> Outcomes:
    """HELLOs of one key as fast as they go."""
    outcomes: Outcomes = Counter()
    with liar(site, Role.NODE) as peer:
        for _ in range(30_000):
            await peer.send(pack_header(Kind.HELLO), hello(peer.name, peer.role))
            if peer.outcomes["not taken"]:
                break
        outcomes += peer.outcomes
    return outcomes


ATTACKS: tuple[Attack, ...] = (
    bytes_over_tcp,
    many_connections,
    other_mechanisms,
    messages_that_are_none,
    mutated_vectors,
    wrong_roles,
    flood_of_hellos,
)
