"""Bots and their subscriptions as the broker's store keeps them (steps 3 and 14)."""

from __future__ import annotations

import msgspec

from doai.changes.store_op import StoreOp
from doai.messages.bots import BotStatus
from doai.states import PeerState


class BotProcess(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a bot that is connected, or was until a moment ago."""

    instance: str
    host: str
    pid: int
    version: str
    state: PeerState
    connected_at_ms: int


class BotRow(msgspec.Struct, frozen=True, kw_only=True):
    """A bot that registered. Its fields are its columns, in this order."""

    name: str
    declared_body: bytes
    """JSON of the doai.messages.bots.RegisterBot that its newest process said."""
    status: BotStatus = BotStatus.ACTIVE
    status_reason: str = ""
    config_body: bytes = b"{}"
    """JSON, as an operator set it."""
    revision: int = 0
    """Grows with every change of status or configuration."""
    state: PeerState = PeerState.OFFLINE
    """Of the one of its processes that fares best."""
    state_reason: str = ""
    proven_at_ms: int = 0
    """When one of them was last heard, as of the last look."""
    processes_body: bytes = b"[]"
    """JSON of a list of BotProcess."""
    registered_at_ms: int
    changed_at_ms: int
    """When its state or status last changed."""


class SubscriptionRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a bot hears of, and how far it is. Its fields are its columns, in this order."""

    bot: str
    name: str
    topics_body: bytes
    """JSON of a list of patterns."""
    position: int
    """All that matches and is at or below is done, but for `open` and `again`."""
    open_body: bytes = b"{}"
    """JSON: subject -> position of its first event that is not done."""
    again_body: bytes = b"[]"
    """JSON: positions of events that a person gives again."""
    since_ms: int = 0
    """What was recorded before is passed over; 0 = nothing is."""
    done_to_ms: int = 0
    """All that was recorded before is done."""
    moved_at_ms: int = 0
    """When this was written."""


class PutBot(StoreOp, frozen=True):
    """A bot, new or known by its name."""

    row: BotRow


class PutSubscription(StoreOp, frozen=True):
    """A subscription, new or known by bot and name."""

    row: SubscriptionRow


class DropSubscription(StoreOp, frozen=True):
    """Removes a subscription; one that is not there is fine."""

    bot: str
    name: str


class AddUptime(StoreOp, frozen=True):
    """Adds to the time in which a bot was heard, by hour; and forgets the hours before another."""

    bot: str
    hour: int
    """Since 1970-01-01 (UTC)."""
    seconds: float
    keep_from_hour: int


class KeepEvent(StoreOp, frozen=True):
    """Puts the event at the `seq` of a dead letter beside its reason, so that it outlives the log."""

    letter_id: str


BotOp = PutBot | PutSubscription | DropSubscription | AddUptime | KeepEvent
