"""Who is let in: the ZAP handler (ZeroMQ RFC 27) behind every handshake with the router (before step 1).

It fails closed: the router's socket requires an answer for this domain, so while there is no handler, or it has
died, nobody gets in; and its death ends the router.
"""

from __future__ import annotations

from typing import Final

import zmq
from zmq.utils import z85

from doai.errors import DoaiError
from doai.wire.base import KeyRing
from doai.wire.readiness import Readiness
from doai.wire.sockets import NOBLOCK, POLLIN, ZAP_DOMAIN, ZAP_ENDPOINT

_VERSION: Final = b"1.0"
_CURVE_KEY_BYTES: Final = 32


class ZapDiedError(DoaiError):
    """The check of keys failed by a fault of ours: nobody can connect until the process is started again."""

    code = "zap_died"


class ZapHandler:
    """Answers the handshakes of one context; the name of a known key becomes the User-Id of its messages."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], key_ring: KeyRing) -> None:
        self.refused = 0
        self._key_ring = key_ring
        self._socket = context.socket(zmq.REP)
        self._socket.set(zmq.LINGER, 0)
        self._socket.bind(ZAP_ENDPOINT)

    async def run(self) -> None:
        """Answer for ever. Raises ZapDiedError when it cannot, e.g. because the key ring failed."""
        readiness = Readiness(self._socket)
        try:
            while True:
                await readiness.wait(POLLIN)
                self._answer_one()
        except Exception as error:
            raise ZapDiedError(f"the check of keys failed ({error!r}): nobody is let in; start again") from error
        finally:
            readiness.close()
            self._socket.close()

    def _answer_one(self) -> None:
        try:
            request = self._socket.recv_multipart(NOBLOCK)
        except zmq.Again:
            return
        name = self._judge(request)
        if name is None:
            self.refused += 1
        verdict = (b"400", b"this key is not known", b"") if name is None else (b"200", b"OK", name.encode("ascii"))
        self._socket.send_multipart([_VERSION, request[1], *verdict, b""])

    def _judge(self, request: list[bytes]) -> str | None:
        # version, request id, domain, address, routing id, mechanism, client key
        if len(request) != 7 or request[0] != _VERSION or request[2] != ZAP_DOMAIN or request[5] != b"CURVE":
            return None
        if len(request[6]) != _CURVE_KEY_BYTES:
            return None
        return self._key_ring.name_of(z85.encode(request[6]).decode("ascii")) or None
