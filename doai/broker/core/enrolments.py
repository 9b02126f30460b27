"""Enrolment: which nodes may join with a token, what a token becomes, and how a key is changed (step 2).

    enrolled --(token shown in time)--> joined;  enrolled --(revoked, replaced or too late)--> refused

The core knows tokens by their hash only, and decides: of two hosts that show one token at once, one joins.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from doai import topics
from doai.broker.core.decision import Decision
from doai.broker.core.state import State
from doai.changes.ops import PutEnrolment, PutKey
from doai.changes.rows import EnrolmentRow, KeyRow
from doai.envelope import Envelope
from doai.errors import ConflictError, UserError
from doai.ids import peer_name_mistake
from doai.messages.enrolment import EnrolNodes, JoinNode, NodeAccepted, NodesEnrolled
from doai.messages.events import NodeEnrolled, NodeJoined, NodeRevoked
from doai.messages.link import Role

NODES_MAX: Final = 500
"""Nodes enrolled by one command; a person prints their tokens."""
EXPIRES_IN_MAX_S: Final = 30 * 24 * 3600.0
"""A token that nobody used for a month was forgotten somewhere."""
_PUBLIC_KEY: Final = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Enrolments:
    """Lets nodes join, once each."""

    def __init__(self, state: State) -> None:
        self._state = state

    def enrol(self, decision: Decision, command: Envelope, enrol: EnrolNodes) -> NodesEnrolled:
        """Take the tokens of these nodes, or refuse them all with every reason."""
        self._check(enrol)
        actor = command.actor or command.source
        now_ms = decision.now.utc_ms
        expires_at_ms = now_ms + round(enrol.expires_in_s * 1000)
        for node in enrol.nodes:
            row = EnrolmentRow(
                name=node.name,
                token_sha256=node.token_sha256,
                created_at_ms=now_ms,
                created_by=actor,
                expires_at_ms=expires_at_ms,
            )
            decision.changed(topics.node_subject(node.name), self._state.enrolments.get(node.name), row)
            self._put(decision, row)
            enrolled = NodeEnrolled(
                node_id=node.name, expires_at_ms=expires_at_ms, actor=actor, rotation=enrol.rotate
            )
            self._tell(decision, command, topics.NODE_ENROLLED, node.name, enrolled)
        return NodesEnrolled(names=[node.name for node in enrol.nodes], expires_at_ms=expires_at_ms)

    def _check(self, enrol: EnrolNodes) -> None:
        names = [node.name for node in enrol.nodes]
        if not 1 <= len(names) <= NODES_MAX:
            raise UserError(f"{len(names)} nodes can not be enrolled at once: name 1 to {NODES_MAX}")
        if not 0 < enrol.expires_in_s <= EXPIRES_IN_MAX_S:
            raise UserError("a token can not live so long or short: give a time above 0, 30 days at most")
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UserError(f"{twice[:80]!r} is named twice: each node has a name of its own", code="bad_name")
        mistakes = [why for node in enrol.nodes if (why := self._unfit(node.name, rotate=enrol.rotate)) is not None]
        if mistakes:
            raise EnrolmentError(mistakes)
        if any(_SHA256.fullmatch(node.token_sha256) is None for node in enrol.nodes):
            raise UserError("token_sha256 is no SHA-256: it has 64 hexadecimal digits", code="bad_token")

    def _unfit(self, name: str, *, rotate: bool) -> str | None:
        key, mistake = self._live_key(name), peer_name_mistake(name)
        if key is None and mistake:
            return mistake
        if rotate and key is None:
            return f"node {name} has no key to change: enroll it"
        if key is not None and key.role != Role.NODE.value:
            return f"{name} is the name of a {key.role}: choose another"
        if key is not None and not rotate:
            return f"node {name} has joined already: rotate its key, or revoke it first"
        return None

    def join(self, decision: Decision, command: Envelope, join: JoinNode) -> NodeAccepted:
        """Accept the key of a host that shows a token; the same host may ask again, its answer may be lost."""
        self._check_keys(join)
        row = next((row for row in self._state.enrolments.values() if row.token_sha256 == join.token_sha256), None)
        if row is None:
            raise UserError(
                "this token is not known: it was replaced by a newer one, or comes from another installation",
                code="token_unknown",
            )
        if row.revoked_at_ms is not None:
            raise UserError(f"the token of {row.name} was revoked: ask for a new one", code="token_revoked")
        key = self._live_key(row.name)
        if row.used_at_ms is not None:
            if key is not None and _is_of(key, join):
                return NodeAccepted(name=row.name, rotation=key.next_public_key == join.public_key)
            raise UserError(
                f"the token of {row.name} was used already, and a token is good for one host: ask for a new one",
                code="token_used",
            )
        if row.expires_at_ms <= decision.now.utc_ms:
            raise UserError(f"the token of {row.name} has expired: ask for a new one", code="token_expired")
        self._accept(decision, command, row, key, join)
        return NodeAccepted(name=row.name, rotation=key is not None)

    def _check_keys(self, join: JoinNode) -> None:
        if _PUBLIC_KEY.fullmatch(join.public_key) is None:
            raise UserError("a public key is 40 characters of Z85", code="bad_key")
        if _SHA256.fullmatch(join.secret_sha256) is None:
            raise UserError("secret_sha256 is no SHA-256: it has 64 hexadecimal digits", code="bad_secret")

    def _accept(
        self, decision: Decision, command: Envelope, row: EnrolmentRow, key: KeyRow | None, join: JoinNode
    ) -> None:
        for other in self._state.keys.values():
            if other.revoked_at_ms is None and join.public_key in (other.public_key, other.next_public_key):
                raise ConflictError(f"this key is that of {other.name}: each node makes one of its own")
        known = key
        if key is None:
            key = KeyRow(
                name=row.name,
                role=Role.NODE.value,
                public_key=join.public_key,
                secret_sha256=join.secret_sha256,
                created_at_ms=decision.now.utc_ms,
                created_by=row.created_by,
            )
            rotation = False
        else:
            key = msgspec.structs.replace(
                key, next_public_key=join.public_key, next_secret_sha256=join.secret_sha256
            )
            rotation = True
        self._state.keys[key.name] = key
        decision.ops.append(PutKey(key))
        self._put(decision, msgspec.structs.replace(row, used_at_ms=decision.now.utc_ms))
        decision.changed(topics.node_subject(key.name), known, key)
        joined = NodeJoined(node_id=key.name, rotation=rotation)
        self._tell(decision, command, topics.NODE_JOINED, key.name, joined)
        decision.keys_changed(self._state.live_keys())
        decision.log("info", f"node {key.name} joined with a token", {"node_id": key.name})

    def revoke(self, decision: Decision, name: str) -> bool:
        """Take the open token of a node back; False when there is none. Its key is the caller's."""
        row = self._state.enrolments.get(name)
        is_open = row is not None and row.used_at_ms is None and row.revoked_at_ms is None
        if row is not None and is_open:
            revoked = msgspec.structs.replace(row, revoked_at_ms=decision.now.utc_ms)
            self._put(decision, revoked)
            decision.changed(topics.node_subject(name), row, revoked)
        return is_open

    def tell_revoked(self, decision: Decision, command: Envelope, name: str) -> None:
        """Write the event of a revoked node."""
        actor = command.actor or command.source
        self._tell(decision, command, topics.NODE_REVOKED, name, NodeRevoked(node_id=name, actor=actor))

    def _live_key(self, name: str) -> KeyRow | None:
        key = self._state.keys.get(name)
        return key if key is not None and key.revoked_at_ms is None else None

    def _put(self, decision: Decision, row: EnrolmentRow) -> None:
        self._state.enrolments[row.name] = row
        decision.ops.append(PutEnrolment(row))

    def _tell(
        self,
        decision: Decision,
        command: Envelope,
        event_type: str,
        name: str,
        payload: NodeEnrolled | NodeJoined | NodeRevoked,
    ) -> None:
        decision.event(
            event_type,
            topics.node_subject(name),
            payload,
            trace_id=command.trace_id,
            causation_id=command.event_id,
            actor=command.actor,
        )


class EnrolmentError(ConflictError):
    """Nodes that can not be enrolled; ``details`` has a sentence for each."""

    code = "bad_enrolment"

    def __init__(self, details: list[str]) -> None:
        more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
        super().__init__(details[0] + more)
        self.details = details


def _is_of(key: KeyRow, join: JoinNode) -> bool:
    pairs = ((key.public_key, key.secret_sha256), (key.next_public_key, key.next_secret_sha256))
    return (join.public_key, join.secret_sha256) in pairs
