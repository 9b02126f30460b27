"""What the core keeps in memory of bots and their processes (step 14)."""

from __future__ import annotations

import msgspec

from doai.broker.core.feed import Feed
from doai.broker.core.tables import Peer
from doai.changes.bots import BotProcess, BotRow
from doai.limits import BOT_OFFLINE_AFTER_S
from doai.messages.bots import BotSettings, BotStatus, RegisterBot


class Process:
    """One process of a bot that registered, and was heard a moment ago."""

    __slots__ = ("connected_at_ms", "kinds", "peer")

    def __init__(self, peer: Peer, connected_at_ms: int) -> None:
        self.peer = peer
        self.connected_at_ms = connected_at_ms
        self.kinds: list[str] = []
        """Kinds of tasks that it takes."""

    def row(self) -> BotProcess:
        """Return it as it is stored."""
        peer, sample = self.peer, self.peer.sample
        return BotProcess(
            instance=peer.instance,
            host=sample.host if sample is not None else "",
            pid=sample.pid if sample is not None else 0,
            version=sample.version if sample is not None else "",
            state=peer.liveness.state,
            connected_at_ms=self.connected_at_ms,
        )


class Bot:
    """One bot, whatever processes of it there are."""

    __slots__ = ("counted_s", "declared", "expected_until_s", "feeds", "processes", "row")

    def __init__(self, row: BotRow, now_s: float) -> None:
        self.row = row
        self.declared: RegisterBot = msgspec.json.decode(row.declared_body, type=RegisterBot)
        self.processes: dict[str, Process] = {}
        """By address."""
        self.feeds: dict[str, Feed] = {}
        self.counted_s = now_s
        """Up to here the time in which it was heard is counted."""
        self.expected_until_s = now_s + BOT_OFFLINE_AFTER_S
        """A broker that starts gives everyone a full term to be heard from."""

    @property
    def works(self) -> bool:
        """Whether an operator lets it."""
        return self.row.status is not BotStatus.INACTIVE

    @property
    def kinds(self) -> list[str]:
        """Kinds of tasks that it takes, as its newest process said."""
        return self.declared.task_kinds

    def settings(self) -> BotSettings:
        """Return what is wanted of it."""
        row = self.row
        config = msgspec.json.decode(row.config_body)
        return BotSettings(name=row.name, status=row.status, config=config, revision=row.revision)
