"""The floor under the broker's sockets: as many frames, of the same sizes, through a bare loop with CURVE and trio.

A process of its own takes and sends them, in batches and with nothing done to them; its CPU counts, all threads.
The peer is this process, over one connection, and keeps the socket full: no loop that decides has larger batches.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Final

import msgspec
import trio
import zmq
from zmq.backend import Socket as BackendSocket

from bench.hop import MORE_NB, NB, WINDOW, bound_router
from doai.codec import HEADER_BYTES
from doai.limits import RECEIVE_BATCH
from doai.wire.keys import KeyPair, make_keypair

TIMEOUT_S: Final = 20.0
_HEADER: Final = bytes(HEADER_BYTES)
_NONE: Final = b""


class Frames(msgspec.Struct, frozen=True, kw_only=True):
    """Frames that a broker took and sent, with the bytes of their bodies."""

    taken: int = 0
    taken_bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0

    def __add__(self, other: Frames) -> Frames:
        return Frames(
            taken=self.taken + other.taken,
            taken_bytes=self.taken_bytes + other.taken_bytes,
            sent=self.sent + other.sent,
            sent_bytes=self.sent_bytes + other.sent_bytes,
        )

    def since(self, before: Frames) -> Frames:
        """Return what came after ``before``."""
        return Frames(
            taken=self.taken - before.taken,
            taken_bytes=self.taken_bytes - before.taken_bytes,
            sent=self.sent - before.sent,
            sent_bytes=self.sent_bytes - before.sent_bytes,
        )


def measure_frames(frames: Frames, *, rounds: int = 3) -> float:
    """Return the CPU seconds of the bare loop for these frames; of several rounds the least."""
    if not frames.taken or not frames.sent:
        return 0.0
    return min(_measure(frames) for _ in range(rounds))


def _measure(frames: Frames) -> float:
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(there, frames), daemon=True)
    process.start()
    there.close()
    try:
        endpoint, server_key = here.recv()
        _play(endpoint, server_key, make_keypair(), frames)
        if not here.poll(TIMEOUT_S):
            raise TimeoutError("the bare loop did not end: a frame was lost")
        used_s: float = here.recv()
        return used_s
    finally:
        here.close()
        process.join(5)
        if process.is_alive():
            process.kill()
            process.join()


def _play(endpoint: str, server_key: str, client: KeyPair, frames: Frames) -> None:
    """Be the peer: say hello, send all frames with a window of them under way, take all answers."""
    with zmq.Context(io_threads=1) as context, context.socket(zmq.DEALER) as dealer:
        dealer.set(zmq.LINGER, 1000)
        dealer.set(zmq.CURVE_SERVERKEY, server_key.encode())
        dealer.set(zmq.CURVE_PUBLICKEY, client.public.encode())
        dealer.set(zmq.CURVE_SECRETKEY, client.secret.reveal().encode())
        dealer.connect(endpoint)
        body = bytes(frames.taken_bytes // frames.taken)
        sent = got = 0
        dealer.send_multipart([_HEADER, _NONE])
        deadline = time.monotonic() + TIMEOUT_S
        while sent < frames.taken or got < frames.sent:
            # Of the fuller direction: a router drops what is more than a peer's pipe holds.
            under_way = max(sent - got * frames.taken // frames.sent, sent * frames.sent // frames.taken - got)
            if sent < frames.taken and under_way < WINDOW:
                dealer.send_multipart([_HEADER, body])
                sent += 1
            elif dealer.poll(1000):
                dealer.recv_multipart()
                got += 1
            elif time.monotonic() > deadline:
                raise TimeoutError("the bare loop does not answer: a frame was lost")


def _serve(pipe: Connection, frames: Frames) -> None:
    """Be the bare loop: tell endpoint and key, and at the end the CPU seconds since the first frame."""
    server = make_keypair()
    with bound_router(server) as socket:
        pipe.send((socket.get_string(zmq.LAST_ENDPOINT), server.public))
        pipe.send(trio.run(_loop, socket, frames))
        with suppress(EOFError):
            pipe.recv()  # closing the socket would drop what is still to be sent


async def _loop(socket: Any, frames: Frames) -> float:
    descriptor, events, pollin = int(socket.get(zmq.FD)), int(zmq.EVENTS), int(zmq.POLLIN)
    recv: Callable[[int], bytes] = socket.recv
    send: Callable[[bytes, int], object] = BackendSocket.send.__get__(socket)
    answer = bytes(frames.sent_bytes // frames.sent)
    taken = sent = 0
    began: float | None = None
    with trio.fail_after(TIMEOUT_S):
        while began is None or taken < frames.taken or sent < frames.sent:
            if int(socket.get(events)) & pollin:
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(descriptor)
            try:
                for _ in range(RECEIVE_BATCH):
                    peer = recv(NB)
                    recv(NB)
                    recv(NB)
                    if began is None:
                        began = time.process_time()
                        continue
                    taken += 1
                    while sent * frames.taken < frames.sent * taken:
                        send(peer, MORE_NB)
                        send(_HEADER, MORE_NB)
                        send(answer, NB)
                        sent += 1
            except zmq.Again:
                pass  # empty: wait again
        return time.process_time() - began
