"""What a frame is, and whether it is heard: floods, unknown connections, roles, unreadable bytes (steps 1, 12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from doai import topics
from doai.broker.core.bots import Bots
from doai.broker.core.bucket import Bucket
from doai.broker.core.commands import Commands
from doai.broker.core.decision import Decision
from doai.broker.core.devices import Devices
from doai.broker.core.effects import ShutLink
from doai.broker.core.leases import Leases
from doai.broker.core.log_relay import LogRelay
from doai.broker.core.peers import Peers
from doai.broker.core.results import Results
from doai.broker.core.samples import Samples
from doai.broker.core.settings import EVENT_BYTES_KEPT, CoreSettings
from doai.broker.core.state import State
from doai.broker.core.tables import Peer
from doai.changes.ops import PutSample
from doai.changes.rows import SampleRow
from doai.codec import HEADER_BYTES, KINDS, BodyDecoder, Kind, encode
from doai.envelope import Envelope
from doai.errors import DecodeError
from doai.messages.bots import Cursor, Subscribe
from doai.messages.events import SystemNotice
from doai.messages.link import Beat, Bye, Heartbeat, Hello, Records, Role
from doai.messages.samples import DeviceSamples
from doai.messages.work import Holdings
from doai.wire_versions import GREETING

KEYS_MAX: Final = 10_000
"""Names whose rates are remembered; more than a mesh has."""
_NODE: Final = frozenset({Role.NODE})
_BOT: Final = frozenset({Role.BOT})
_ANYONE: Final = frozenset(Role)
_hello: Final = BodyDecoder(Hello)


class _Rates:
    """What one key may do."""

    __slots__ = ("dropped", "frames", "hellos", "notices")

    def __init__(self, settings: CoreSettings, now_s: float) -> None:
        self.frames = Bucket(settings.frames, now_s)
        self.hellos = Bucket(settings.hellos, now_s)
        self.notices = Bucket(settings.notices, now_s)
        self.dropped = 0


class Ingress:
    """Hears frames."""

    def __init__(
        self,
        state: State,
        peers: Peers,
        leases: Leases,
        devices: Devices,
        results: Results,
        commands: Commands,
        bots: Bots,
        samples: Samples,
        log_relay: LogRelay,
    ) -> None:
        self._state = state
        self._peers = peers
        self._leases = leases
        self._devices = devices
        self._results = results
        self._commands = commands
        self._bots = bots
        self._samples = samples
        self._log_relay = log_relay
        self._rates: dict[str, _Rates] = {}
        handlers: dict[Kind, tuple[frozenset[Role], type | None, Callable[[Decision, Peer, int, Any], None]]] = {
            Kind.RECORDS: (_NODE, Records, self._records),
            Kind.HEARTBEAT: (_ANYONE, Heartbeat, self._heartbeat),
            Kind.HOLDINGS: (_NODE, Holdings, self._holdings),
            Kind.COMMAND: (frozenset({Role.ADMIN, Role.BOT}), Envelope, self._command),
            Kind.DEVICE_SAMPLES: (_NODE, DeviceSamples, samples.heard),
            Kind.BYE: (_ANYONE, Bye, self._bye),
            Kind.SUBSCRIBE: (_BOT, Subscribe, bots.subscribe),
            Kind.CURSOR: (_BOT, Cursor, bots.cursor),
            Kind.LOG_LINES: (_ANYONE, msgspec.Raw, log_relay.heard),
        }
        self._handlers = {
            int(kind): (roles, BodyDecoder(body), handler) for kind, (roles, body, handler) in handlers.items()
        }

    def frame(self, decision: Decision, link: int, key_name: str, header: bytes, body: bytes) -> None:
        """Hear one frame of a connection whose key proves ``key_name``."""
        rates = self._rates_of(key_name, decision)
        if not rates.frames.take(decision.now.mono_s):
            self._flooded(decision, link, key_name, rates)
            return
        if len(header) != HEADER_BYTES:
            error = DecodeError(f"a frame header has {HEADER_BYTES} bytes, this one has {len(header)}", header)
            self._unreadable(decision, link, key_name, rates, "a message", error)
            return
        kind = header[1]
        peer = self._state.links.get(link)
        version = peer.wire_version if peer is not None and kind != Kind.HELLO else GREETING
        if header[0] != version and (peer is not None or kind == Kind.HELLO):
            self._foreign(decision, link, key_name, header[0], version)
            return
        try:
            if kind == Kind.HELLO:
                self._greet(decision, link, key_name, rates, body)
            elif peer is None:
                self._ask_for_hello(decision, link, rates)
            else:
                self._heard(decision, peer, link, kind, body)
        except DecodeError as error:
            self._unreadable(decision, link, key_name, rates, f"a frame of kind {kind}", error)

    def malformed(self, decision: Decision, link: int, key_name: str, reason: str, data: bytes) -> None:
        """Hear of a message that is no frame."""
        rates = self._rates_of(key_name, decision)
        if not rates.frames.take(decision.now.mono_s):
            self._flooded(decision, link, key_name, rates)
            return
        self._unreadable(decision, link, key_name, rates, "a message", DecodeError(reason, data))

    # --- before a frame is understood ---------------------------------------------------------------------

    def _rates_of(self, key_name: str, decision: Decision) -> _Rates:
        rates = self._rates.get(key_name)
        if rates is None:
            if len(self._rates) >= KEYS_MAX:
                self._rates.pop(next(iter(self._rates)))
            rates = self._rates[key_name] = _Rates(self._state.settings, decision.now.mono_s)
        return rates

    def _flooded(self, decision: Decision, link: int, key_name: str, rates: _Rates) -> None:
        rates.dropped += 1
        if rates.dropped % int(self._state.settings.frames.burst) == 1:
            reason = f"{key_name} sends more frames than a peer may: its connection is cut"
            decision.effects.append(ShutLink(link, reason))
            self._peers.link_gone(link)
            decision.log("warning", reason)

    def _foreign(self, decision: Decision, link: int, key_name: str, version: int, agreed: int) -> None:
        reason = (
            f"{key_name} sends frames of wire version {version} where {agreed} is agreed on: "
            "use a release of doai on both sides"
        )
        decision.fence(link, reason)
        self._peers.link_gone(link)
        decision.log("warning", reason)

    def _greet(self, decision: Decision, link: int, key_name: str, rates: _Rates, body: bytes) -> None:
        # The address is not known before decoding; the rate is the key's.
        if rates.hellos.take(decision.now.mono_s):
            hello: Hello = _hello(body)
            self._peers.hello(decision, link, key_name, hello)
            self._log_relay.greeted(link, hello)

    def _ask_for_hello(self, decision: Decision, link: int, rates: _Rates) -> None:
        if rates.hellos.take(decision.now.mono_s):
            decision.send(link, Kind.HELLO_REQUIRED)

    def _unreadable(
        self, decision: Decision, link: int, key_name: str, rates: _Rates, what: str, error: DecodeError
    ) -> None:
        if rates.notices.take(decision.now.mono_s):
            message = f"{what} of {key_name or 'an unknown peer'} can not be read: {error}"[:EVENT_BYTES_KEPT]
            subject = f"peer/{key_name}"
            notice = SystemNotice(
                code="unreadable_frame", message=message, subject=subject, data=error.data[:EVENT_BYTES_KEPT]
            )
            decision.event(topics.SYSTEM_ERROR, subject, notice)
            decision.log("error", message)
        if link:
            self._ask_for_hello(decision, link, rates)

    # --- understood ---------------------------------------------------------------------------------------

    def _heard(self, decision: Decision, peer: Peer, link: int, kind: int, body: bytes) -> None:
        entry = self._handlers.get(kind)
        if entry is None:
            self._peers.prove(decision, peer)
            if kind not in KINDS:  # what this broker itself says, and FORWARD without a channel, end here too
                self._peers.versions.unknown(decision, peer, kind)
            return
        roles, decoder, handler = entry
        if peer.role not in roles:
            reason = f"{peer.address} is a {peer.role.value}: it may not send {Kind(kind).name}"
            decision.fence(link, reason)
            self._peers.link_gone(link)
            decision.log("error", reason)
            return
        said = decoder(body)
        if kind != Kind.BYE:
            self._peers.prove(decision, peer)
        handler(decision, peer, link, said)
        if kind == Kind.HEARTBEAT and peer.role is Role.NODE:
            row = SampleRow(
                name=peer.name, instance=peer.instance, received_at_ms=decision.now.utc_ms, body=bytes(body)
            )
            decision.ops.append(PutSample(row))

    def _records(self, decision: Decision, peer: Peer, link: int, records: Records) -> None:
        self._results.records(decision, peer, link, records.records)

    def _heartbeat(self, decision: Decision, peer: Peer, link: int, heartbeat: Heartbeat) -> None:
        counts_on_it = self._leases.heartbeat(decision, peer, heartbeat)
        self._peers.sampled(decision, peer, heartbeat.sample)
        if peer.role is Role.NODE:
            self._bots.sampled(decision, peer, heartbeat.sample)
            self._samples.beat(decision, peer)
        self._devices.listed(decision, peer, heartbeat)
        decision.send_to(peer, Kind.BEAT, encode(Beat(said_s=heartbeat.said_s if counts_on_it else 0.0)))

    def _holdings(self, decision: Decision, peer: Peer, link: int, holdings: Holdings) -> None:
        self._leases.holdings(decision, peer, holdings)
        self._samples.greeted(decision, peer)

    def _command(self, decision: Decision, peer: Peer, link: int, command: Envelope) -> None:
        self._commands.command(decision, peer, command)

    def _bye(self, decision: Decision, peer: Peer, link: int, bye: Bye) -> None:
        self._peers.bye(decision, peer, bye.reason[:500])
