"""Peers: who speaks over which connection, who is alive, who is refused (steps 1, 11, 12)."""

from __future__ import annotations

import msgspec

from doai import __version__, topics
from doai.broker.core.bots import Bots
from doai.broker.core.decision import Decision
from doai.broker.core.devices import Devices
from doai.broker.core.incidents import Incidents
from doai.broker.core.plugins import forgotten
from doai.broker.core.scheduler import Scheduler
from doai.broker.core.state import State, proven
from doai.broker.core.tables import Peer
from doai.broker.core.versions import Versions
from doai.changes.ops import PutKey, PutNode
from doai.changes.rows import NodeRow
from doai.codec import Kind, encode
from doai.errors import ProtocolError
from doai.ids import parse_address
from doai.limits import DEVICE_SETTLE_S, LATE_AFTER_S
from doai.link.incoming import Greeted, Incoming, Refused
from doai.link.liveness import Change, Liveness
from doai.messages.events import NodeOnline, NodeRekeyed, NodeStatus, SystemNotice
from doai.messages.link import Hello, HostSample, Role, Welcome
from doai.reasons import reason as because
from doai.states import PeerState

_JUST_AFTER_S = 0.001
"""Liveness changes when an age is exceeded, not when it is reached."""


class Peers:
    """Greets, proves, ages and drops peers."""

    def __init__(
        self, state: State, scheduler: Scheduler, devices: Devices, incidents: Incidents, bots: Bots
    ) -> None:
        self._state = state
        self._scheduler = scheduler
        self._devices = devices
        self._incidents = incidents
        self.versions = Versions(state, self.bye)
        self._bots = bots
        bots.succeed = self.succeed
        self._handles = 0

    # --- greeting -----------------------------------------------------------------------------------------

    def hello(self, decision: Decision, link: int, key_name: str, hello: Hello) -> None:
        """Decide about a HELLO: WELCOME, or FENCED with the reason."""
        name, next_key = proven(key_name)
        refusal = self._refusal(name, next_key, hello)
        if refusal is not None:
            decision.fence(link, refusal)
            decision.log("warning", refusal)
            return
        wire_version = self.versions.agreed(hello)
        if wire_version is None:
            self.versions.refuse(decision, link, hello)
            return
        peer = self._peer_of(hello, decision)
        peer.wire_version = wire_version
        stream = self._stream_of(peer, hello)
        greeted = stream.hello(hello, link, self._state.store_id)
        if isinstance(greeted, Refused):
            self.refuse(decision, link, peer, greeted)
            return
        if stream is not peer.stream:
            if peer.stream.incarnation:
                for task in peer.held.values():
                    task.unsure = True
            peer.stream.link = None
            peer.stream = stream
        self._connect(decision, peer, link)
        if next_key:
            self._change_key(decision, name, next_key)
        if hello.role is Role.NODE:
            decision.ops.extend(greeted.ops)
            self._register(decision, peer, hello)
        else:
            peer.sample = hello.sample
            peer.liveness.prove(decision.now.mono_s)
            self._state.sweep_by(decision.now.mono_s + LATE_AFTER_S)
        self._welcome(decision, peer, hello, greeted)

    def _refusal(self, key_name: str, next_key: str, hello: Hello) -> str | None:
        try:
            parse_address(f"{hello.name}/{hello.instance}")
        except ProtocolError as error:
            return str(error)
        if hello.name != key_name:
            return (
                f"this key proves the name {key_name}, not {hello.name}: use the key that was made for {hello.name}"
            )
        key = self._state.keys.get(key_name)
        is_known = key is not None and (not next_key or next_key in (key.public_key, key.next_public_key))
        if key is None or key.revoked_at_ms is not None or not is_known:
            return f"the key of {key_name} is not accepted any more: ask for a new one"
        if key.role != hello.role.value:
            return f"the key of {key_name} is one of role {key.role}, it can not speak as {hello.role.value}"
        if hello.role is not Role.NODE:
            return None
        if not hello.incarnation:
            return f"node {hello.name} named no life of its outbox: it must keep one"
        node = self._state.nodes.get(hello.name)
        other = node is not None and node.instance not in ("", hello.instance)
        if node is not None and other and node.liveness.state is not PeerState.OFFLINE:
            return (
                f"node {hello.name} is connected already as {node.address}: "
                "give this node a key and a name of its own, or stop the other one"
            )
        return None

    def _change_key(self, decision: Decision, name: str, next_key: str) -> None:
        """The node came with the key that it changes to: from now on it is the only one."""
        row = self._state.keys[name]
        if row.next_public_key != next_key:
            return
        changed = msgspec.structs.replace(
            row,
            public_key=next_key,
            secret_sha256=row.next_secret_sha256,
            next_public_key="",
            next_secret_sha256="",
        )
        self._state.keys[name] = changed
        decision.ops.append(PutKey(changed))
        decision.event(topics.NODE_REKEYED, topics.node_subject(name), NodeRekeyed(node_id=name))
        decision.keys_changed(self._state.live_keys(), name)
        decision.log("info", f"node {name} uses its new key: the one before is refused", {"node_id": name})

    def _peer_of(self, hello: Hello, decision: Decision) -> Peer:
        state, address = self._state, f"{hello.name}/{hello.instance}"
        peer = state.nodes.get(hello.name) if hello.role is Role.NODE else state.peers.get(address)
        if peer is None:
            liveness = Liveness(hello.name, hello.role, proven_s=decision.now.mono_s)
            peer = Peer(hello.name, hello.instance, hello.role, Incoming(hello.name, hello.instance), liveness)
            if hello.role is Role.NODE:
                state.nodes[hello.name] = peer
        elif peer.instance != hello.instance:
            state.peers.pop(peer.address, None)
            peer.instance, peer.address = hello.instance, address
        state.peers[address] = peer
        return peer

    def _stream_of(self, peer: Peer, hello: Hello) -> Incoming:
        if hello.incarnation == peer.stream.incarnation:
            return peer.stream
        streams = self._state.streams.setdefault(peer.address, {})
        stream = streams.get(hello.incarnation)
        if stream is None:
            stream = streams[hello.incarnation] = Incoming(peer.name, peer.instance)
        return stream

    def _connect(self, decision: Decision, peer: Peer, link: int) -> None:
        links = self._state.links
        other = links.get(link)
        if other is not None and other is not peer:
            self._disconnect(other)
        if peer.link is not None and peer.link != link:
            links.pop(peer.link, None)
            decision.fence(peer.link, f"a newer connection of {peer.address} took over")
        if peer.role is Role.BOT:
            self._bots.left(link)
            self._bots.left(peer.link or link)
        peer.link = link
        links[link] = peer
        peer.ready = False
        peer.holdings = None
        peer.intake_closed = ""
        peer.recipes.clear()
        peer.wants.clear()
        if not peer.handle:
            self._handles += 1
            peer.handle = self._handles
        decision.open_channel(link, peer.handle)

    def _register(self, decision: Decision, peer: Peer, hello: Hello) -> None:
        now, sample, before = decision.now, hello.sample, peer.row
        change = peer.liveness.prove(now.mono_s)
        self._state.sweep_by(now.mono_s + LATE_AFTER_S)
        peer.capacity = max(1, sample.slots) + self._state.settings.queue_ahead
        if before is None or before.started_at_ms != sample.started_at_ms:
            peer.settled_s = now.mono_s + DEVICE_SETTLE_S
        peer.row = NodeRow(
            node_id=peer.name,
            host=sample.host,
            version=sample.version,
            slots=sample.slots,
            capabilities=hello.capabilities,
            started_at_ms=sample.started_at_ms,
            first_seen_at_ms=before.first_seen_at_ms if before is not None else now.utc_ms,
            connected_at_ms=now.utc_ms,
            state=peer.liveness.state.value,
            state_reason=because("connected"),
            changed_at_ms=now.utc_ms if before is None or change is not None else before.changed_at_ms,
            quarantine=before.quarantine if before is not None else None,
            plugins=[] if before is None else before.plugins,
        )
        if before is not None and before.started_at_ms != sample.started_at_ms:
            # Another process: it tells what it has once it has looked.
            peer.row = msgspec.structs.replace(peer.row, plugins=forgotten(before.plugins))
            peer.steps = frozenset()
        decision.ops.append(PutNode(peer.row))
        if before is None:
            self._say_online(decision, peer, topics.NODE_REGISTERED)
        if change is not None:
            self._say_online(decision, peer, topics.NODE_ONLINE, {"state": change.before})
            decision.log("info", f"node {peer.name} is online", {"node_id": peer.name})

    def _welcome(self, decision: Decision, peer: Peer, hello: Hello, greeted: Greeted) -> None:
        if greeted.rolled_back is not None:
            self.alert(decision, peer, "rolled_back", greeted.rolled_back)
        welcome = Welcome(
            store_id=self._state.store_id,
            last_seq=greeted.last_seq,
            digests=greeted.digests,
            capacity=peer.capacity,
            heartbeat_s=self._state.settings.heartbeat_s,
            handle=peer.handle,
            new_incarnation=greeted.rolled_back is not None and bool(hello.incarnation),
            broker_life=self._state.life,
            wire_version=peer.wire_version,
            doai_version=__version__,
            takes_log_lines=True,
        )
        decision.send_to(peer, Kind.WELCOME, encode(welcome))

    def refuse(self, decision: Decision, link: int, peer: Peer, refused: Refused) -> None:
        """Fence a connection whose stream can not be the one it says, and raise an alert."""
        decision.fence(link, refused.reason)
        if peer.link == link:
            self._disconnect(peer)
        self.alert(decision, peer, "cloned_outbox", refused.reason)

    def alert(self, decision: Decision, peer: Peer, code: str, message: str) -> None:
        """Write a system.alert about a peer."""
        subject = topics.node_subject(peer.name) if peer.role is Role.NODE else f"{peer.role.value}/{peer.name}"
        decision.event(topics.SYSTEM_ALERT, subject, SystemNotice(code=code, message=message, subject=subject))
        self._incidents.alerted(decision, code, subject, message)
        decision.log("warning", message, {"node_id": peer.name})

    def alerted(self, decision: Decision, peer: Peer, told: SystemNotice) -> None:
        """A node wrote a system.alert; what it is an incident of is the node, whatever it says."""
        self._incidents.alerted(decision, told.code, topics.node_subject(peer.name), told.message)

    # --- liveness -----------------------------------------------------------------------------------------

    def prove(self, decision: Decision, peer: Peer) -> None:
        """A frame of it came."""
        change = peer.liveness.prove(decision.now.mono_s)
        if change is not None and peer.role is Role.BOT:
            self._bots.went(decision, peer, change)
        if change is not None and peer.row is not None:
            self._note(decision, peer, change)
            self._state.sweep_by(decision.now.mono_s + LATE_AFTER_S)
            self._say_online(decision, peer, topics.NODE_ONLINE, {"state": change.before})
            self._scheduler.mark_node(peer)

    def sampled(self, decision: Decision, peer: Peer, sample: HostSample) -> None:
        """It says how its host is."""
        peer.sample = sample
        peer.clock_skew_s = 0.0 if sample.utc_ms is None else (sample.utc_ms - decision.now.utc_ms) / 1000

    def bye(self, decision: Decision, peer: Peer, reason: str) -> None:
        """It leaves on purpose: offline at once."""
        change = peer.liveness.bye(reason)
        self._disconnect(peer)
        if change is not None:
            self._went(decision, peer, change)

    def succeed(self, decision: Decision, peer: Peer, instance: str) -> None:
        """It takes the place of another process of its name: nobody waits for the end of that one's leases.

        The end of a connection is often not seen yet. Should it live all the same, it is fenced as a clone is.
        """
        former = self._state.peers.get(f"{peer.name}/{instance}")
        if former is None or former is peer:
            return
        reason = because("place_taken", address=peer.address)
        if former.link is not None:
            decision.fence(former.link, reason)
        self.bye(decision, former, reason)

    def link_gone(self, link: int) -> None:
        """A connection ended; how its peer fares is a matter of time."""
        peer = self._state.links.get(link)
        if peer is not None:
            self._disconnect(peer)

    def sweep(self, decision: Decision) -> None:
        """Let peers age."""
        for peer in list(self._state.peers.values()):
            change = peer.liveness.age(decision.now.mono_s)
            if change is not None:
                self._went(decision, peer, change)

    def due_s(self) -> float | None:
        """Return when the next peer may age."""
        due = [at for peer in self._state.peers.values() if (at := peer.liveness.due_s()) is not None]
        return min(due) + _JUST_AFTER_S if due else None

    def revoke(self, decision: Decision, name: str) -> None:
        """The key of this name is not accepted any more: fence whoever speaks under it."""
        for peer in list(self._state.peers.values()):
            if peer.name == name and peer.link is not None:
                decision.fence(peer.link, f"the key of {name} was revoked")
                self.bye(decision, peer, because("key_revoked"))

    def _disconnect(self, peer: Peer) -> None:
        if peer.link is not None:
            self._state.links.pop(peer.link, None)
            if peer.role is Role.BOT:
                self._bots.left(peer.link)
        peer.link = None
        peer.stream.link = None
        peer.ready = False
        peer.holdings = None

    def _went(self, decision: Decision, peer: Peer, change: Change) -> None:
        if peer.role is not Role.NODE:
            if peer.role is Role.BOT:
                self._bots.went(decision, peer, change)
            if change.after is PeerState.OFFLINE:
                self._disconnect(peer)
                self._state.peers.pop(peer.address, None)
                self._state.streams.pop(peer.address, None)
            return
        self._note(decision, peer, change)
        event_type = topics.NODE_OFFLINE if change.after is PeerState.OFFLINE else topics.NODE_LATE
        status = NodeStatus(node_id=peer.name, reason=change.reason)
        before, after = {"state": change.before}, {"state": change.after}
        decision.event(event_type, topics.node_subject(peer.name), status, before=before, after=after)
        decision.log(
            "warning", f"node {peer.name} is {change.after.value}: {change.reason}", {"node_id": peer.name}
        )
        self._devices.node_went(decision, peer)

    def _note(self, decision: Decision, peer: Peer, change: Change) -> None:
        row = peer.row
        if row is None:
            return
        peer.row = msgspec.structs.replace(
            row, state=change.after.value, state_reason=change.reason, changed_at_ms=decision.now.utc_ms
        )
        decision.ops.append(PutNode(peer.row))

    def _say_online(self, decision: Decision, peer: Peer, event_type: str, before: object = None) -> None:
        row = peer.row
        assert row is not None
        online = NodeOnline(
            node_id=row.node_id,
            host=row.host,
            version=row.version,
            slots=row.slots,
            incarnation=peer.stream.incarnation,
        )
        decision.event(event_type, topics.node_subject(peer.name), online, before=before)
