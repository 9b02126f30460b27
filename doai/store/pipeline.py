"""The commit pipeline: gathers decisions into batches and holds effects back until they are on disk (steps 3, 13).

Sans-IO: broker and node drive it with a real writer, the simulator with a disk of its own making.

    add(ops, effects) --> waiting units --begin()--> one batch in flight --committed(n)--> effects, in order

A *unit* is one decision: its ops are never split over two batches, and its effects leave only when its ops
and all ops added before it are on disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

from doai import limits
from doai.errors import LocalProtocolError

OpT = TypeVar("OpT")
EffectT = TypeVar("EffectT")


class Batch(msgspec.Struct, Generic[OpT], frozen=True):
    """What goes to disk in one transaction; ``n`` counts from 1."""

    n: int
    ops: list[OpT]


class PipelineStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes at one moment."""

    waiting_units: int
    waiting_ops: int
    in_flight_ops: int
    held_effects: int
    """Effects that wait for a commit."""
    committed_batches: int


class Pipeline(Generic[OpT, EffectT]):
    """Orders what is written and what may be shown; one batch is in flight at a time.

    ``batch_ops_max``: ops a batch gathers at most; a larger unit goes alone. ``room``: what may wait (ops and
    effects together) before `has_room` says that intake must stop. After four times as much, `add` raises:
    then the shell did not stop its intake.
    """

    def __init__(
        self, *, batch_ops_max: int = limits.COMMIT_ROWS_MAX, room: int = limits.PIPELINE_ROOM, first_batch: int = 1
    ) -> None:
        self._batch_ops_max = batch_ops_max
        self._room = room
        self._next_n = first_batch
        self._waiting: deque[tuple[Sequence[OpT], list[EffectT]]] = deque()
        self._waiting_ops = 0
        self._held = 0
        self._flight: Batch[OpT] | None = None
        self._flight_effects: list[EffectT] = []
        self._committed = 0
        self._dead = ""

    @property
    def idle(self) -> bool:
        """Nothing is uncommitted."""
        return self._flight is None and not self._waiting

    @property
    def in_flight(self) -> bool:
        """A batch was begun and its end is not known."""
        return self._flight is not None

    @property
    def waiting_ops(self) -> int:
        """Ops not yet in a batch."""
        return self._waiting_ops

    @property
    def has_batch(self) -> bool:
        """Whether a whole batch waits and none is in flight: deciding more first would only delay it."""
        return self._flight is None and self._waiting_ops >= self._batch_ops_max

    @property
    def has_room(self) -> bool:
        """Whether intake may go on: commands, facts of nodes. Timers and answers need not look."""
        return self._waiting_ops + self._held < self._room

    def add(self, ops: Sequence[OpT], effects: Sequence[EffectT]) -> list[EffectT]:
        """Take one decision; return the effects that may leave at once.

        These are all of them when there are no ops and nothing at all is uncommitted; otherwise none. The
        caller must not change ``ops`` afterwards. Raises LocalProtocolError when too much waits.
        """
        self._check_alive()
        if self._waiting_ops + self._held >= 4 * self._room:
            raise LocalProtocolError(
                f"{self._waiting_ops} changes and {self._held} effects wait for the disk, the bound is "
                f"{self._room}: intake must stop when has_room is false"
            )
        if not ops:
            return self._add_effects(effects)
        self._waiting.append((ops, list(effects)))
        self._waiting_ops += len(ops)
        self._held += len(effects)
        return []

    def begin(self) -> Batch[OpT] | None:
        """Gather the next batch of whole units; None while one is in flight or nothing waits."""
        self._check_alive()
        if self._flight is not None or not self._waiting:
            return None
        ops: list[OpT] = []
        effects: list[EffectT] = []
        while self._waiting:
            unit_ops, unit_effects = self._waiting[0]
            if ops and len(ops) + len(unit_ops) > self._batch_ops_max:
                break
            self._waiting.popleft()
            ops += unit_ops
            effects += unit_effects
        self._waiting_ops -= len(ops)
        self._flight = Batch(self._next_n, ops)
        self._flight_effects = effects
        self._next_n += 1
        return self._flight

    def committed(self, n: int) -> list[EffectT]:
        """Batch ``n`` is on disk: return its effects, in the order in which they were added."""
        self._check_flight(n)
        effects, self._flight_effects, self._flight = self._flight_effects, [], None
        self._held -= len(effects)
        self._committed += 1
        return effects

    def failed(self, n: int) -> None:
        """The end of batch ``n`` is unknown: the pipeline is dead, every later use raises LocalProtocolError.

        Memory is ahead of the disk by an unknown amount, so the process must exit and reload.
        """
        self._check_flight(n)
        self._dead = f"the commit of batch {n} failed, its outcome is unknown: exit and reload"

    def statistics(self) -> PipelineStatistics:
        """Return the sizes now; allowed after a failure too."""
        return PipelineStatistics(
            waiting_units=len(self._waiting),
            waiting_ops=self._waiting_ops,
            in_flight_ops=len(self._flight.ops) if self._flight else 0,
            held_effects=self._held,
            committed_batches=self._committed,
        )

    def _add_effects(self, effects: Sequence[EffectT]) -> list[EffectT]:
        # Without ops they need no commit of their own: they ride with the last uncommitted unit before them.
        if self._waiting:
            self._waiting[-1][1].extend(effects)
        elif self._flight is not None:
            self._flight_effects.extend(effects)
        else:
            return list(effects)
        self._held += len(effects)
        return []

    def _check_alive(self) -> None:
        if self._dead:
            raise LocalProtocolError(self._dead)

    def _check_flight(self, n: int) -> None:
        self._check_alive()
        if self._flight is None or self._flight.n != n:
            known = f"batch {self._flight.n} is" if self._flight else "none is"
            raise LocalProtocolError(f"batch {n} is not in flight, {known}")
