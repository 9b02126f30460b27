"""libzmq's own proxy (zmq_proxy): a loop in C that forwards from a ROUTER to a DEALER, in a thread of this process.

pyzmq calls it with the interpreter let go, so nothing of Python is in its way, and no compiler is needed for a
reference in C. What arrives has the routing id of its sender before its own parts (`bin/bench hop`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
import zmq

from doai.limits import SEND_HWM

PARTS: Final = 3
"""Of a message as its receiver gets it: routing id, header, body."""
STOP_S: Final = 10.0


class Proxy(msgspec.Struct, frozen=True):
    """A proxy that runs."""

    front: str
    """Where senders connect."""
    back: str
    """Where the receiver connects."""
    clock_id: int
    """Of its thread's CPU."""

    def cpu_s(self) -> float:
        """Return the CPU seconds of the loop so far, without those of libzmq's I/O thread."""
        return time.clock_gettime(self.clock_id)


@contextmanager
def open_proxy(secret_key: str | None) -> Iterator[Proxy]:
    """Run a proxy on ports of its own, with CURVE if there is a key; it has ended at the end of the block."""
    context = zmq.Context(io_threads=1)
    sockets = [_bound(context, kind, secret_key) for kind in (zmq.ROUTER, zmq.DEALER)]
    front, back = (socket.get_string(zmq.LAST_ENDPOINT) for socket in sockets)
    thread = threading.Thread(target=_forward, args=sockets, name="proxy")
    thread.start()
    assert thread.ident is not None
    try:
        yield Proxy(front, back, time.pthread_getcpuclockid(thread.ident))
    finally:
        context.term()  # ends the proxy, and returns once it has closed its sockets
        thread.join(STOP_S)


def _forward(front: zmq.Socket[bytes], back: zmq.Socket[bytes]) -> None:
    try:
        zmq.proxy(front, back)
    except zmq.ContextTerminated:
        pass  # the end of the block
    finally:
        front.close()
        back.close()


def _bound(context: zmq.Context[zmq.Socket[bytes]], kind: int, secret_key: str | None) -> zmq.Socket[bytes]:
    socket = context.socket(kind)
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.SNDHWM, SEND_HWM)
    socket.set(zmq.RCVHWM, SEND_HWM)
    if secret_key is not None:
        socket.set(zmq.CURVE_SERVER, 1)
        socket.set(zmq.CURVE_SECRETKEY, secret_key.encode())
    socket.bind("tcp://127.0.0.1:0")
    return socket
