"""Programs of another version in a world: hosts that share no wire version, frames of later ones (steps 1, 11)."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from doai.codec import Kind, encode, pack_header
from doai.messages.link import Hello, HostSample, Role
from tests.sim.mix import NEWER, has

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

_KIND: Final = 250
"""Of no frame."""
_WIRE: Final = 90


class Newer:
    """Tries to greet the broker from time to time, and says what is not understood."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self._sim = simulation
        self._random = Random(seed + 3)
        self._calm = False
        if has(seed, NEWER):
            simulation.world.after(10.0, self._act)

    def settle(self) -> None:
        """No more of them."""
        self._calm = True

    def _act(self) -> None:
        if self._calm:
            return
        self._random.choice((self._greet, self._greet, self._unknown))()
        self._sim.world.after(self._random.expovariate(1.0 / 8.0), self._act)

    def _greet(self) -> None:
        name, role = self._random.choice(
            [("stranger", Role.NODE), ("robot", Role.BOT), *((node.name, Role.NODE) for node in self._sim.nodes)]
        )
        connection = self._sim.network.dial(name, lambda header, body: None)
        hello = Hello(
            name=name,
            instance="newer",
            role=role,
            sample=HostSample(host=name, pid=1, version="99", started_at_ms=0, slots=1),
            incarnation="newer",
            epoch=1,
            highest_seq=0,
            wire_lowest=_WIRE,
            wire_highest=_WIRE,
        )
        for _ in range(2):
            connection.send(pack_header(Kind.HELLO), encode(hello))
        self._sim.world.after(3.0, connection.close)
        self._sim.world.fault("newer_peer")

    def _unknown(self) -> None:
        node = self._random.choice(self._sim.nodes)
        if node.core is not None and not node.frozen and node.core._session.live:
            node.say_and_hear(node.core._session._outgoing.agreement.header(_KIND))
            self._sim.world.fault("newer_frame")
