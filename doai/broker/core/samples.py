"""Samples of devices: ordered of nodes while bots want them, given to bots, stored once a minute (step 14).

How often is what the subscriptions say of processes that are here; the most often wins. Nothing of it is in the
log: the newest sample wins, and what a broker that dies had not written is followed by more.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from doai.broker.core.bot_table import Bot
from doai.broker.core.decision import Decision
from doai.broker.core.feeds import Feeds
from doai.broker.core.state import State
from doai.broker.core.tables import Peer
from doai.changes.samples import MINUTE_MS, DeviceSampleRow, PutDeviceSample, sample_body
from doai.codec import Kind, encode, raw
from doai.limits import (
    SAMPLE_AT_ONCE,
    SAMPLE_AT_ONCE_MAX,
    SAMPLE_BYTES_MAX,
    SAMPLE_EVERY_MAX_S,
    SAMPLE_EVERY_MIN_S,
    SAMPLE_EVERY_S,
    SAMPLE_ROWS_MAX,
    SAMPLE_WRITE_S,
)
from doai.messages.bots import Sample, Subscription
from doai.messages.samples import DEVICE_HEALTH, SAMPLES_DEVICES, DeviceHealth, DeviceSamples, SampleOrder
from doai.topics import device_subject, matches
from doai.workflow.duration import DurationError, parse_duration

NONE: Final = SampleOrder(every_s=0.0)
SILENT: Final = 3
"""Intervals without a sample of a node after which it is told the order again."""


class Samples:
    """Orders, hears, gives out and stores."""

    def __init__(self, state: State, feeds: Feeds) -> None:
        self._state = state
        self._feeds = feeds
        self._order = NONE
        self._heard_s: dict[str, float] = {}
        """Node -> when a sample of it came, or it was told the order again."""
        self._stored: dict[str, int] = {}
        """Serial -> the minute of its newest row."""
        self._waiting: list[PutDeviceSample] = []
        self._write_s: float | None = None

    # --- orders -------------------------------------------------------------------------------------------

    def greeted(self, decision: Decision, peer: Peer) -> None:
        """A node's connection begins, without an order."""
        if self._order.every_s:
            self._send(decision, peer)

    def beat(self, decision: Decision, peer: Peer) -> None:
        """A node lives: one of which no sample comes may not have the order, whose frame was lost."""
        now_s, every_s = decision.now.mono_s, self._order.every_s
        if every_s and peer.devices and now_s - self._heard_s.setdefault(peer.name, now_s) > SILENT * every_s:
            self._heard_s[peer.name] = now_s
            self._send(decision, peer)

    def look(self, decision: Decision) -> None:
        """Who subscribes, or what an operator set of a bot, may be another: say so to the nodes."""
        if not self._feeds.audience_changed:
            return
        self._feeds.audience_changed = False
        order = self._wanted()
        if order != self._order:
            self._order = order
            for peer in self._state.nodes.values():
                self._send(decision, peer)

    def _send(self, decision: Decision, peer: Peer) -> None:
        # One that does not know of samples would only count the frame as one it does not know.
        if peer.link is not None and peer.row is not None and SAMPLES_DEVICES in peer.row.capabilities:
            decision.send_to(peer, Kind.SAMPLE_ORDER, encode(self._order))

    def _wanted(self) -> SampleOrder:
        wishes = [
            (_every_s(bot, feed.wanted), _at_once(bot, feed.wanted))
            for bot in self._state.bots.values()
            if bot.works
            for feed in bot.feeds.values()
            if feed.members and any(matches(pattern, DEVICE_HEALTH) for pattern in feed.wanted.samples)
        ]
        if not wishes:
            return NONE
        return SampleOrder(
            every_s=min(every_s for every_s, _ in wishes), at_once=max(at_once for _, at_once in wishes)
        )

    # --- what nodes tell ----------------------------------------------------------------------------------

    def heard(self, decision: Decision, peer: Peer, link: int, told: DeviceSamples) -> None:
        """A node has read some of its devices."""
        self._heard_s[peer.name] = decision.now.mono_s
        if not self._order.every_s:
            self._send(decision, peer)  # that nobody wants samples any more was lost
        for health in told.samples:
            # Another node may have the device by now, or nobody ever told of it.
            device = peer.devices.get(health.serial)
            if device is not None and device.row is not None:
                self._take(decision, health)

    def _take(self, decision: Decision, health: DeviceHealth) -> None:
        payload = raw(health)
        if len(bytes(payload)) > SAMPLE_BYTES_MAX:
            decision.log("warning", f"a sample of {health.serial} is larger than {SAMPLE_BYTES_MAX} bytes: dropped")
            return
        subject, now = device_subject(health.serial), decision.now
        told = Sample(DEVICE_HEALTH, subject, now.utc_ms, payload)
        self._feeds.sampled(DEVICE_HEALTH, subject, encode(told))
        minute = now.utc_ms // MINUTE_MS
        if self._stored.get(health.serial) == minute:
            return
        self._stored[health.serial] = minute
        row = DeviceSampleRow(serial=health.serial, minute=minute, body=sample_body(health))
        self._waiting.append(PutDeviceSample(row))
        if self._write_s is None:
            self._write_s = now.mono_s + SAMPLE_WRITE_S
            self._state.sweep_by(self._write_s)

    # --- the store ----------------------------------------------------------------------------------------

    def due_s(self) -> float | None:
        """Return when samples are to be written."""
        return self._write_s

    def sweep(self, decision: Decision) -> None:
        """Write what was gathered, a commit's worth."""
        if self._write_s is None or decision.now.mono_s < self._write_s:
            return
        decision.ops += self._waiting[:SAMPLE_ROWS_MAX]
        del self._waiting[:SAMPLE_ROWS_MAX]
        self._write_s = decision.now.mono_s + SAMPLE_WRITE_S / 10 if self._waiting else None


def _every_s(bot: Bot, wanted: Subscription) -> float:
    every_s = wanted.every_s or SAMPLE_EVERY_S
    said = bot.settings().config.get(wanted.every_setting) if wanted.every_setting else None
    if isinstance(said, str):
        with suppress(DurationError):  # its own check of its configuration says so
            every_s = parse_duration(said)
    return min(max(every_s, SAMPLE_EVERY_MIN_S), SAMPLE_EVERY_MAX_S)


def _at_once(bot: Bot, wanted: Subscription) -> int:
    said = bot.settings().config.get("max_concurrent")
    at_once = said if isinstance(said, int) and not isinstance(said, bool) else wanted.at_once
    return min(max(1, at_once or SAMPLE_AT_ONCE), SAMPLE_AT_ONCE_MAX)
