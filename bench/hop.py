"""hop: forwarding a 300-byte ephemeral frame, against a bare batched loop and against libzmq's own proxy.

Three processes: this one is the broker, and one sends and one receives; both of them are the same bare loops for
whatever is measured. At most a window of frames is under way, so that nothing is dropped. The rate is taken by
the receiver; the CPU is that of the broker's loop alone. What is compared alternates within one run. The proxy
(bench/hop_proxy.py) is libzmq's loop in C from a ROUTER to a DEALER: what a broker in C would be.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from multiprocessing.connection import Connection
from typing import Final

import msgspec
import trio
import zmq
from zmq.backend import Socket as BackendSocket

from bench.hop_proxy import PARTS as PROXY_PARTS
from bench.hop_proxy import open_proxy
from bench.report import Line, compared
from doai.codec import Kind, pack_header
from doai.limits import RECEIVE_BATCH, SEND_HWM
from doai.wire.base import Incoming, Router
from doai.wire.intake import Proof
from doai.wire.keys import KeyPair, KeyTable, make_keypair
from doai.wire.router import ZmqRouter, open_router

FRAMES: Final = 15_000
ROUNDS: Final = 15
BODY: Final = bytes(range(256)) + bytes(44)
WINDOW: Final = 400
"""Frames under way at most. A ZeroMQ pipe learns of what was read only every half of its limit, so that it may
count itself full with half of its limit under way."""
CREDIT_EVERY: Final = 50
ROUND_TIMEOUT_S: Final = 20.0
"""A frame that was lost would be waited for; a round takes a fraction of a second."""
SENDER, RECEIVER = 1, 2
PARTS: Final = 2
"""Header and body."""
GOAL_BARE: Final = 0.8
GOAL_C: Final = {"plain": 0.33, "curve": 0.6}
"""Of the rate of the bare loop, and of that of the loop in C."""
NB: Final = int(zmq.NOBLOCK)
MORE_NB: Final = int(zmq.NOBLOCK | zmq.SNDMORE)

assert len(BODY) == 300
assert WINDOW + CREDIT_EVERY < SEND_HWM // 2


Way = tuple[str, tuple[str, ...], int]
"""Of one of the other processes to a broker: endpoint, keys if any, parts of a message that is received."""


class Place(msgspec.Struct, frozen=True):
    """Where one of the compared brokers listens, and the keys to get in; without keys there is no encryption."""

    endpoint: str
    server_key: str | None
    client: KeyPair | None
    receive_endpoint: str = ""
    """Where the receiver connects; empty: where the sender does."""
    parts: int = PARTS
    """Of a message as the receiver gets it."""


class Subject(msgspec.Struct, frozen=True):
    """One of the compared brokers: where it is, and how it forwards until it is cancelled."""

    place: Place
    meet: Callable[[], Awaitable[object]] | None
    """Hears the hello of one peer; None where nobody greets."""
    forward: Callable[[], Awaitable[object]]
    cpu_s: Callable[[], float] = time.thread_time
    """Of the loop that forwards."""


def run() -> Iterator[Line]:
    """Yield the lines; takes some 15 s."""
    rates: dict[str, list[float]] = {}
    cpu_us: dict[str, list[float]] = {}
    trio.run(_measure_all, rates, cpu_us)
    for security in ("curve", "plain"):
        ours, goal_c = f"{security} ours", GOAL_C[security]
        for other, suffix, against, goal in (
            ("bare", "", "bare batched loop", GOAL_BARE),
            ("proxy", ".to_proxy", "zmq_proxy, libzmq's loop in C", goal_c),
        ):
            name = f"{security} {other}"
            rate = (rates[ours], rates[name], against, "more", goal)
            yield compared(f"hop.{security}.rate{suffix}", "frames/s", *rate)
            cpu = (cpu_us[ours], cpu_us[name], against, "less")
            yield compared(f"hop.{security}.loop_cpu{suffix}", "us/frame", *cpu)


async def _measure_all(rates: dict[str, list[float]], cpu_us: dict[str, list[float]]) -> None:
    client = make_keypair()
    async with (
        _ours_with_curve(client) as ours_curve,
        _ours_plain() as ours_plain,
        _bare(client) as bare_curve,
        _bare(None) as bare_plain,
        _proxy(client) as proxy_curve,
        _proxy(None) as proxy_plain,
    ):
        subjects = {
            "curve ours": ours_curve,
            "curve bare": bare_curve,
            "plain ours": ours_plain,
            "plain bare": bare_plain,
            "curve proxy": proxy_curve,
            "plain proxy": proxy_plain,
        }
        with _peers([subject.place for subject in subjects.values()]) as (sender, receiver):
            for index, subject in enumerate(subjects.values()):
                await _meet(subject, index, sender, receiver)
            for round_number in range(ROUNDS + 1):
                for index, (name, subject) in enumerate(subjects.items()):
                    seconds, cpu_s = await _measure(subject, index, sender, receiver)
                    if round_number:  # the first round warms up
                        rates.setdefault(name, []).append(FRAMES / seconds)
                        cpu_us.setdefault(name, []).append(cpu_s / FRAMES * 1e6)


async def _measure(subject: Subject, index: int, sender: Connection, receiver: Connection) -> tuple[float, float]:
    """Let all frames through; return the receiver's seconds and the loop's CPU seconds."""
    receiver.send(("series", index))
    sender.send(("series", index))
    began = subject.cpu_s()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subject.forward)
        with trio.fail_after(ROUND_TIMEOUT_S):
            await trio.lowlevel.wait_readable(receiver.fileno())
        nursery.cancel_scope.cancel()
    cpu_s = subject.cpu_s() - began
    seconds: float = receiver.recv()
    return seconds, cpu_s


async def _meet(subject: Subject, index: int, sender: Connection, receiver: Connection) -> None:
    if subject.meet is None:
        return
    for peer in (sender, receiver):
        peer.send(("hello", index))
        with trio.fail_after(10):
            await subject.meet()


# --- the compared brokers -------------------------------------------------------------------------------------


def _nameless(frame: zmq.Frame) -> Proof:
    """Take everybody for one peer: without CURVE no name is proven. For this measurement only."""
    return "bench", int(frame.get(zmq.SRCFD))


def _router_subject(router: Router, place: Place) -> Subject:
    async def meet() -> None:
        [hello] = await router.receive()
        assert isinstance(hello, Incoming)
        router.open_channel(hello.link, int(hello.body))

    return Subject(place, meet, router.receive)


@asynccontextmanager
async def _ours_with_curve(client: KeyPair) -> AsyncIterator[Subject]:
    server = make_keypair()
    async with open_router("tcp://127.0.0.1:0", server, KeyTable({client.public: "bench"})) as router:
        yield _router_subject(router, Place(router.endpoint, server.public, client))


@asynccontextmanager
async def _ours_plain() -> AsyncIterator[Subject]:
    with bound_router(None) as socket:
        socket.set(zmq.ROUTER_MANDATORY, 1)
        router = ZmqRouter(socket, proof=_nameless)
        yield _router_subject(router, Place(router.endpoint, None, None))
        router.close()


@asynccontextmanager
async def _bare(client: KeyPair | None) -> AsyncIterator[Subject]:
    server = make_keypair() if client is not None else None
    with bound_router(server) as socket:
        peers: dict[int, bytes] = {}
        descriptor = int(socket.get(zmq.FD))
        events = int(zmq.EVENTS)
        recv: Callable[[int], bytes] = socket.recv
        send: Callable[[bytes, int], object] = BackendSocket.send.__get__(socket)

        async def readable() -> None:
            if int(socket.get(events)) & int(zmq.POLLIN):
                await trio.lowlevel.checkpoint()
                return
            while not int(socket.get(events)) & int(zmq.POLLIN):
                await trio.lowlevel.wait_readable(descriptor)

        async def meet() -> None:
            await readable()
            routing_id, _header, body = socket.recv_multipart()
            peers[int(body)] = routing_id

        async def forward() -> None:
            to = peers[RECEIVER]
            while True:
                await readable()
                try:
                    for _ in range(RECEIVE_BATCH):
                        recv(NB)
                        header = recv(NB)
                        body = recv(NB)
                        send(to, MORE_NB)
                        send(header, MORE_NB)
                        send(body, NB)
                except zmq.Again:
                    pass  # empty: wait again

        endpoint = socket.get_string(zmq.LAST_ENDPOINT)
        yield Subject(Place(endpoint, server.public if server else None, client), meet, forward)


@asynccontextmanager
async def _proxy(client: KeyPair | None) -> AsyncIterator[Subject]:
    server = make_keypair() if client is not None else None
    with open_proxy(server.secret.reveal() if server else None) as proxy:
        key = server.public if server else None
        place = Place(proxy.front, key, client, receive_endpoint=proxy.back, parts=PROXY_PARTS)
        yield Subject(place, None, trio.sleep_forever, proxy.cpu_s)


@contextmanager
def bound_router(server: KeyPair | None) -> Iterator[zmq.Socket[bytes]]:
    """Yield a ROUTER that listens; without keys there is no encryption, with them everybody is let in."""
    with zmq.Context(io_threads=1) as context, context.socket(zmq.ROUTER) as socket:
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.SNDHWM, SEND_HWM)
        socket.set(zmq.RCVHWM, SEND_HWM)
        if server is not None:
            socket.set(zmq.CURVE_SERVER, 1)
            socket.set(zmq.CURVE_SECRETKEY, server.secret.reveal().encode())
        socket.bind("tcp://127.0.0.1:0")
        yield socket


# --- the other two processes ----------------------------------------------------------------------------------


@contextmanager
def _peers(places: list[Place]) -> Iterator[tuple[Connection, Connection]]:
    """Start the sender and the receiver; yield the pipes that order them about."""
    spawn = multiprocessing.get_context("spawn")
    credit_in, credit_out = spawn.Pipe(duplex=False)
    keys = [
        (place.server_key or "", place.client.public, place.client.secret.reveal()) if place.client else ()
        for place in places
    ]
    sides = (
        (_send, [place.endpoint for place in places], credit_in),
        (_receive, [place.receive_endpoint or place.endpoint for place in places], credit_out),
    )
    parts = [place.parts for place in places]
    ours: list[Connection] = []
    processes = []
    for work, endpoints, credit in sides:
        here, there = spawn.Pipe()
        ways = list(zip(endpoints, keys, parts, strict=True))
        processes.append(spawn.Process(target=work, args=(ways, there, credit), daemon=True))
        processes[-1].start()
        there.close()
        ours.append(here)
    credit_in.close()
    credit_out.close()
    try:
        yield ours[0], ours[1]
    finally:
        for pipe in ours:
            pipe.close()  # the end of the orders is the end of the process
        for process in processes:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()


def _open_dealers(context: zmq.Context[zmq.Socket[bytes]], ways: list[Way]) -> list[zmq.Socket[bytes]]:
    dealers = []
    options = (zmq.CURVE_SERVERKEY, zmq.CURVE_PUBLICKEY, zmq.CURVE_SECRETKEY)
    for endpoint, keys, _parts in ways:
        dealer = context.socket(zmq.DEALER)
        dealer.set(zmq.LINGER, 0)
        for option, key in zip(options, keys, strict=False):  # without keys there is none of them
            dealer.set(option, key.encode())
        dealer.connect(endpoint)
        dealers.append(dealer)
    return dealers


def _orders(who: int, ways: list[Way], orders: Connection) -> Iterator[tuple[zmq.Socket[bytes], int]]:
    """Say hello where asked; yield dealer and parts of a message with which to send or receive the next series."""
    with zmq.Context(io_threads=1) as context:
        dealers = _open_dealers(context, ways)
        while True:
            try:
                order, index = orders.recv()
            except EOFError:
                break
            if order == "hello":
                dealers[index].send_multipart([pack_header(Kind.HELLO), b"%d" % who])
            else:
                yield dealers[index], ways[index][2]
        for dealer in dealers:
            dealer.close()


def _send(ways: list[Way], orders: Connection, credit: Connection) -> None:
    header = pack_header(Kind.FORWARD, channel=RECEIVER)
    more = int(zmq.SNDMORE)
    for dealer, _parts in _orders(SENDER, ways, orders):
        send: Callable[..., object] = BackendSocket.send.__get__(dealer)
        received = 0
        for number in range(FRAMES):
            while number - received >= WINDOW:
                received += len(credit.recv_bytes()) * CREDIT_EVERY
            send(header, more)
            send(BODY)
        while received < FRAMES:
            received += len(credit.recv_bytes()) * CREDIT_EVERY


def _receive(ways: list[Way], orders: Connection, credit: Connection) -> None:
    for dealer, parts in _orders(RECEIVER, ways, orders):
        recv = dealer.recv
        before_body = range(parts - 1)
        for _ in range(parts):
            recv()
        began = time.perf_counter()
        for number in range(2, FRAMES + 1):
            for _ in before_body:
                recv()
            body = recv()
            if not number % CREDIT_EVERY:
                credit.send_bytes(b"+")
        assert body == BODY
        orders.send(time.perf_counter() - began)
