"""Changes of a node's own file as data: its outbox and what it holds (steps 6 and 10)."""

from __future__ import annotations

import msgspec

from doai.ids import Token
from doai.messages.work import HoldingState


class HeldRow(msgspec.Struct, frozen=True, kw_only=True):
    """A dispatched task that the node holds."""

    task_id: str
    token: Token
    order: int
    """Place in the device's FIFO, increasing."""
    dispatch_body: bytes
    """msgpack of doai.messages.work.Dispatch."""
    state: HoldingState
    received_at_ms: int
    step_begun: str = ""
    """The step whose start was committed and whose end was not; empty = none."""
    repeatable: bool = True
    """False when that step must not be repeated without knowing how it ended."""


class OutboxState(msgspec.Struct, frozen=True, kw_only=True):
    """The file as loaded."""

    incarnation: str
    epoch: int
    store_id: str
    """The broker store this outbox last spoke to; empty = none yet."""
    highest_seq: int
    trimmed_seq: int
    records: int
    """Facts not yet acknowledged."""
    held: list[HeldRow]
    recipes: dict[str, bytes]


class OutboxChange(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Base of all changes of a node's file."""


class AppendFact(OutboxChange, frozen=True):
    """A fact with its place in the stream."""

    seq: int
    envelope: bytes
    """Encoded doai.envelope.Envelope."""
    is_result: bool
    """Ends of attempts are kept a while after their ack, for a broker that lost its past."""


class TrimFacts(OutboxChange, frozen=True):
    """Facts up to here are acknowledged."""

    seq: int


class PutHeld(OutboxChange, frozen=True):
    """A held task, new or known by (task, token)."""

    row: HeldRow


class PutProgress(OutboxChange, frozen=True):
    """How far a held task is; nothing happens when it is not held. PutHeld says all of it anew."""

    task_id: str
    token: Token
    state: HoldingState
    step_begun: str
    repeatable: bool


class DropHeld(OutboxChange, frozen=True):
    """The task is no longer held; nothing happens when it was not."""

    task_id: str
    token: Token


class PutRecipe(OutboxChange, frozen=True):
    """A resolved workflow, kept as long as a held task may need it."""

    recipe_hash: str
    body: bytes


class DropRecipe(OutboxChange, frozen=True):
    """No held task needs this recipe; nothing happens when it was not there."""

    recipe_hash: str


class PutEpoch(OutboxChange, frozen=True):
    """Written before the HELLO that carries it."""

    epoch: int


class PutStoreId(OutboxChange, frozen=True):
    """The broker store this outbox now speaks to."""

    store_id: str


class RenewIncarnation(OutboxChange, frozen=True):
    """A rollback was seen: a new stream begins at seq 1 with what is to be told again.

    All unacknowledged facts after `keep_after_seq`, and kept results where `with_results`, are numbered anew
    in their order; epoch returns to 0.
    """

    incarnation: str
    keep_after_seq: int
    with_results: bool


OutboxOp = (
    AppendFact
    | TrimFacts
    | PutHeld
    | PutProgress
    | DropHeld
    | PutRecipe
    | DropRecipe
    | PutEpoch
    | PutStoreId
    | RenewIncarnation
)
