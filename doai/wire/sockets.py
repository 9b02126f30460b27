"""ZeroMQ contexts and sockets with every option set in one place, and why each is set (steps 1, 5, 11)."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, cast

import zmq
from zmq.backend import Socket as BackendSocket

from doai.limits import (
    CONNECT_MS,
    FRAME_BYTES_MAX,
    HANDSHAKE_MS,
    RECONNECT_MAX_MS,
    RECONNECT_MS,
    SEND_HWM,
    ZMTP_HEARTBEAT_MS,
)
from doai.wire.base import EndpointError
from doai.wire.keys import KeyPair, is_public_key

ZAP_DOMAIN: Final = b"doai"
ZAP_ENDPOINT: Final = "inproc://zeromq.zap.01"

# Plain ints: an enum member as a flag costs a conversion in every call.
NOBLOCK: Final = int(zmq.NOBLOCK)
MORE_NOBLOCK: Final = int(zmq.NOBLOCK | zmq.SNDMORE)
POLLIN: Final = int(zmq.POLLIN)
POLLOUT: Final = int(zmq.POLLOUT)

RECEIVE_BYTES_MAX: Final = 2 * FRAME_BYTES_MAX
"""ZeroMQ ends the connection of a sender above this; between FRAME_BYTES_MAX and this it is told as malformed."""


@contextmanager
def open_context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    """Yield a context with one I/O thread; ending it waits for its sockets, which have no or a short linger."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
    try:
        yield context
    finally:
        context.destroy(linger=None)


def send_of(socket: zmq.Socket[bytes]) -> Callable[..., object]:
    """Return the backend's ``send(data, flags)``, without the checks that pyzmq's class adds for other patterns."""
    return cast("Callable[..., object]", BackendSocket.send.__get__(socket))


def bind_router(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, keypair: KeyPair) -> zmq.Socket[bytes]:
    """Return a ROUTER that listens, CURVE only, names proven by ZAP. Raises EndpointError."""
    socket = context.socket(zmq.ROUTER)
    _set_common(socket, endpoint)
    # Without it a frame for a full or absent peer is dropped in silence.
    socket.set(zmq.ROUTER_MANDATORY, 1)
    socket.set(zmq.CURVE_SERVER, 1)
    socket.set(zmq.CURVE_SECRETKEY, keypair.secret.reveal().encode("ascii"))
    # A domain and its enforcement: without both, everybody gets in when the handler is away.
    socket.set_string(zmq.ZAP_DOMAIN, ZAP_DOMAIN.decode())
    socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        socket.close()
        raise EndpointError(_bind_sentence(endpoint, error)) from error
    return socket


def connect_dealer(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, keypair: KeyPair, server_key: str
) -> zmq.Socket[bytes]:
    """Return a DEALER that connects (and tries again) by itself; not yet connected. Raises EndpointError."""
    if not is_public_key(server_key):
        raise EndpointError(
            f"{server_key[:60]!r} is no server key: give the 40 characters of the broker's .pub file"
        )
    socket = context.socket(zmq.DEALER)
    _set_common(socket, endpoint)
    # Without it frames gather in a pipe to a broker that is not there, and are lost.
    socket.set(zmq.IMMEDIATE, 1)
    socket.set(zmq.RECONNECT_IVL, RECONNECT_MS)
    socket.set(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
    socket.set(zmq.CONNECT_TIMEOUT, CONNECT_MS)
    socket.set(zmq.CURVE_SERVERKEY, server_key.encode("ascii"))
    socket.set(zmq.CURVE_PUBLICKEY, keypair.public.encode("ascii"))
    socket.set(zmq.CURVE_SECRETKEY, keypair.secret.reveal().encode("ascii"))
    return socket


def connect(socket: zmq.Socket[bytes], endpoint: str) -> None:
    """Begin to connect. Raises EndpointError when the endpoint can be none."""
    port = endpoint.rpartition(":")[2]
    # ZeroMQ looks at the port later, in a thread of its own, and says nothing.
    if endpoint.startswith("tcp://") and not (port.isdecimal() and 0 < int(port) < 65536):
        raise EndpointError(f"{endpoint!r} has no port from 1 to 65535: write tcp://HOST:PORT")
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        raise EndpointError(f"{endpoint!r} is no endpoint ({error.strerror}): write tcp://HOST:PORT") from error


def _set_common(socket: zmq.Socket[bytes], endpoint: str) -> None:
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.SNDHWM, SEND_HWM)
    socket.set(zmq.RCVHWM, SEND_HWM)
    socket.set(zmq.MAXMSGSIZE, RECEIVE_BYTES_MAX)
    socket.set(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    # These notice a cut link; that the application behind it lives is shown by heartbeats of its own.
    socket.set(zmq.HEARTBEAT_IVL, ZMTP_HEARTBEAT_MS)
    socket.set(zmq.HEARTBEAT_TIMEOUT, ZMTP_HEARTBEAT_MS)
    socket.set(zmq.HEARTBEAT_TTL, 2 * ZMTP_HEARTBEAT_MS)
    if "[" in endpoint:
        socket.set(zmq.IPV6, 1)


def _bind_sentence(endpoint: str, error: zmq.ZMQError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{endpoint} is in use: stop the other program that listens there, or choose another port"
    if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV):
        return f"{endpoint} is no address of this machine: choose one that it has, or tcp://*:PORT for all"
    return f"cannot listen at {endpoint!r} ({error.strerror}): write tcp://ADDRESS:PORT"
