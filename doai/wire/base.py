"""What a router and a dealer are, whatever carries the frames; one Protocol for every twin (steps 1, 5, 11)."""

from __future__ import annotations

import enum
from typing import Final, Protocol

import msgspec

from doai.codec import HEADER_BYTES
from doai.errors import DoaiError, Fault, LocalProtocolError, UserError
from doai.limits import FRAME_BYTES_MAX

DATA_KEPT_BYTES: Final = 64
"""How much of a malformed frame is kept: enough to recognise it, little enough to log it."""


class Incoming(msgspec.Struct, frozen=True, gc=False):
    """One well-formed frame that a router received: exactly two parts, 32 bytes of header, a bounded body."""

    link: int
    """The connection it came over; a number is never given to a second connection."""
    key_name: str
    """The name that the sender's CURVE key proves."""
    header: bytes
    body: bytes


class Malformed(msgspec.Struct, frozen=True, gc=False):
    """A message that is no frame; it was taken off the socket wholly, and what follows it is intact."""

    link: int
    """0 at a dealer and where the sender's name is not proven."""
    key_name: str
    reason: str
    """What is wrong, as the end of a sentence: ``it has 3 parts instead of 2``."""
    data: bytes
    """The first bytes of the part that is wrong."""


class RouterStatistics(msgspec.Struct, frozen=True):
    """Counters of a router since it was opened, and what it holds now."""

    received: int
    """Frames given to `Router.receive`; forwarded frames are not among them."""
    sent: int
    malformed: int
    forwarded: int
    forward_dropped: int
    """Ephemeral frames dropped: nobody has that channel, or the peer's socket is full."""
    links: int
    """Connections remembered now."""
    links_expired: int
    """Connections forgotten because many newer ones spoke after them."""
    queued: int
    """Frames held now for peers whose sockets are full."""
    lost: int
    """Frames that were held for a peer when its connection ended."""
    refused: int
    """Handshakes with a key that nobody knows."""


class DealerStatistics(msgspec.Struct, frozen=True):
    """Counters of a dealer since it was opened."""

    received: int
    sent: int
    malformed: int


class Connection(enum.Enum):
    """What a dealer knows of its connection; `Dealer.explain` says it as a sentence."""

    CONNECTING = "connecting"
    """Not known yet, or somebody accepted and has not answered the handshake yet."""
    UP = "up"
    ABSENT = "absent"
    """Nobody listens at the endpoint; it is tried again by itself."""
    WRONG_SERVER = "wrong_server"
    """Somebody listens who cannot prove the expected server key; it is tried again by itself."""
    REFUSED = "refused"
    """The broker does not know this key. ZeroMQ does not try again: open a new dealer."""
    LOST = "lost"
    """It was up and ended; it is tried again by itself."""


class PeerGone(DoaiError):
    """The connection that the frame was for has ended."""

    fault = Fault.PEER
    code = "peer_gone"

    def __init__(self, link: int) -> None:
        super().__init__(f"link {link} has ended: its peer must connect again")
        self.link = link


class PeerStuck(DoaiError):
    """The peer takes no frames and as many as may be held for it are held: end its connection."""

    fault = Fault.PEER
    code = "peer_stuck"

    def __init__(self, link: int, frames: int, size_bytes: int) -> None:
        super().__init__(f"link {link} takes no frames: {frames} ({size_bytes} bytes) already wait for it")
        self.link = link


class WouldBlock(DoaiError):
    """Nothing was sent: there is no connection now, or its buffer is full."""

    fault = Fault.PEER
    code = "would_block"

    def __init__(self) -> None:
        super().__init__("the frame was not sent: the broker is not connected or takes no frames now")


class EndpointError(UserError):
    """An endpoint or a key with which no socket can be opened."""

    code = "bad_endpoint"


class KeyRing(Protocol):
    """Whose key is whose; may change while a router is open."""

    def name_of(self, public_key: str) -> str | None:
        """Return the name that this public CURVE key (Z85, 40 characters) proves; None lets it not in."""
        ...


class Router(Protocol):
    """The broker's end of every connection. One task receives; sending never waits.

    Frames held for a peer whose socket is full go out while some task is in `receive`.
    """

    @property
    def endpoint(self) -> str:
        """Where dealers connect, with the port that was really bound."""
        ...

    async def receive(self) -> list[Incoming | Malformed]:
        """Wait for frames and return at most RECEIVE_BATCH; cancelled, it loses none."""
        ...

    def send_nowait(self, link: int, header: bytes, body: bytes) -> None:
        """Send a frame, or hold it while the peer's socket is full. Raises PeerGone and PeerStuck."""
        ...

    def open_channel(self, link: int, channel: int) -> None:
        """Let FORWARD frames for this channel (1 to 2**32-1) go to the link, and let the link send FORWARD frames.

        Such frames are passed on inside `receive`: the body untouched, the header's channel replaced by the
        sender's; dropped when nobody has the channel or that peer's socket is full. FORWARD frames of a link
        without a channel are returned by `receive`. Raises PeerGone.
        """
        ...

    def key_name(self, link: int) -> str:
        """Return the name that the link's key proves. Raises PeerGone."""
        ...

    def forget(self, link: int) -> None:
        """Drop what is known of a link, what is held for it too. If it speaks again it is a new link."""
        ...

    def shut(self, link: int) -> None:
        """Cut the link's connection now and forget it; frames of it that arrived already are still received."""
        ...

    def shut_name(self, key_name: str) -> int:
        """Cut every connection whose key proves this name, e.g. of a revoked key; return how many."""
        ...

    def statistics(self) -> RouterStatistics:
        """Return counters since opening."""
        ...


class Dealer(Protocol):
    """A peer's end of its connection to the broker. One task receives; any number send."""

    async def receive(self) -> list[tuple[bytes, bytes]]:
        """Wait for frames and return at most RECEIVE_BATCH of (header, body); cancelled, it loses none."""
        ...

    def send_nowait(self, header: bytes, body: bytes) -> None:
        """Send a frame. Raises WouldBlock, having sent nothing, when there is no connection or it is full."""
        ...

    async def send(self, header: bytes, body: bytes) -> None:
        """Send a frame as soon as there is a connection with room; cancelled, it has sent nothing."""
        ...

    def send_last(self, header: bytes, body: bytes) -> None:
        """Send a frame just before closing: closing then waits up to GOODBYE_MS for it to leave.

        Nothing happens when there is no connection: a goodbye is a courtesy.
        """
        ...

    def take_malformed(self) -> list[Malformed]:
        """Return (and forget) the latest messages from the broker that were no frames."""
        ...

    def connection(self) -> Connection:
        """Return what is known of the connection now."""
        ...

    async def wait_up(self) -> None:
        """Return once there was a first connection; it may have ended meanwhile."""
        ...

    async def wait_ended(self) -> None:
        """Return once a connection that was up has ended, though another may have come since, or was refused.

        Frames that arrived before the end may still be there to receive.
        """
        ...

    def explain(self) -> str | None:
        """Return one sentence for a person on why there is no connection; None when there is one."""
        ...

    def statistics(self) -> DealerStatistics:
        """Return counters since opening."""
        ...


def check_frame(header: bytes, body: bytes) -> None:
    """Raise LocalProtocolError for a frame that the other side would refuse."""
    if len(header) != HEADER_BYTES:
        raise LocalProtocolError(f"a frame header has {HEADER_BYTES} bytes, not {len(header)}")
    if len(body) > FRAME_BYTES_MAX:
        raise LocalProtocolError(
            f"a frame body of {len(body)} bytes exceeds the {FRAME_BYTES_MAX} that cross the mesh: send an artifact"
        )


def flaw(header: bytes, body_bytes: int) -> str | None:
    """Return what is wrong with the sizes of a received frame, or None."""
    if len(header) != HEADER_BYTES:
        return f"its header has {len(header)} bytes instead of {HEADER_BYTES}"
    if body_bytes > FRAME_BYTES_MAX:
        return f"its body of {body_bytes} bytes exceeds {FRAME_BYTES_MAX}"
    return None


def explain(connection: Connection, endpoint: str, public_key: str) -> str | None:
    """Return the sentence for `Dealer.explain`."""
    if connection is Connection.UP:
        return None
    if connection is Connection.ABSENT:
        return f"nobody listens at {endpoint}: start the broker, or correct the endpoint"
    if connection is Connection.WRONG_SERVER:
        return (
            f"the program at {endpoint} does not have the expected server key:"
            " compare the configured key with the broker's public key file"
        )
    if connection is Connection.REFUSED:
        return f"the broker at {endpoint} does not know this key; let it in with: doai keys add NAME '{public_key}'"
    if connection is Connection.LOST:
        return f"the connection to the broker at {endpoint} ended and is tried again"
    return f"no answer from {endpoint} yet"
