"""What becomes of a dealer's connection, from the socket's monitor: why nobody answers (step 1).

The events are read when somebody asks or waits, so they cost nothing while all is well.
"""

from __future__ import annotations

import struct
from typing import Final

import zmq

from doai.wire.base import Connection
from doai.wire.sockets import NOBLOCK

_ENDPOINT: Final = "inproc://monitor"
_EVENT: Final = struct.Struct("=Hi")
_MEANING: Final = {
    int(zmq.EVENT_HANDSHAKE_SUCCEEDED): Connection.UP,
    int(zmq.EVENT_HANDSHAKE_FAILED_AUTH): Connection.REFUSED,
    # The server cannot read what was meant for another key, and hangs up without a word.
    int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL): Connection.WRONG_SERVER,
    int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL): Connection.WRONG_SERVER,
    int(zmq.EVENT_CLOSED): Connection.ABSENT,
    int(zmq.EVENT_DISCONNECTED): Connection.LOST,
}


class ConnectionWatch:
    """Follows one dealer socket; made before it connects, closed before it."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes]) -> None:
        self._state = Connection.CONNECTING
        self._socket = socket
        self.was_up = False
        """There was a connection, as of the last look."""
        self.ended = False
        """One that was up has ended, or none will be: the key was refused."""
        socket.monitor(_ENDPOINT, sum(_MEANING))
        self._events = context.socket(zmq.PAIR)
        # Unbounded: a full monitor would hold up the thread that moves the frames. Events come a few times a
        # second at most, and whoever waits for a connection asks.
        self._events.set(zmq.RCVHWM, 0)
        self._events.connect(_ENDPOINT)

    @property
    def events(self) -> zmq.Socket[bytes]:
        """Readable when there is something new; to wait for, not to read from."""
        return self._events

    def state(self) -> Connection:
        """Read the events since the last call and return what they amount to."""
        while True:
            try:
                event, _endpoint = self._events.recv_multipart(NOBLOCK)
            except zmq.Again:
                return self._state
            meaning = _MEANING[_EVENT.unpack(event)[0]]
            self.ended |= meaning is Connection.REFUSED or (self.was_up and meaning is not Connection.UP)
            self.was_up |= meaning is Connection.UP
            # A failed handshake is followed by a disconnection, which says less.
            if meaning is not Connection.LOST or self._state is Connection.UP:
                self._state = meaning

    def close(self) -> None:
        """Stop following."""
        self._socket.disable_monitor()
        self._events.close(linger=0)
