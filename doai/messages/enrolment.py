"""Payloads of the commands of enrolment and of secrets, and of their answers (step 2)."""

from __future__ import annotations

from doai.envelope import Message

ENROL_NODES = "node.enrol"
JOIN_NODE = "node.join"
STORE_SECRET = "secret.store"  # noqa: S105 - the name of a command
REMOVE_SECRET = "secret.remove"  # noqa: S105 - the name of a command


class NewEnrolment(Message, frozen=True, kw_only=True):
    """A node that may join, and the hash of its token."""

    name: str
    token_sha256: str


class EnrolNodes(Message, frozen=True, kw_only=True):
    """Let these nodes join, each once, with a token; all of them or none. Answer: NodesEnrolled.

    A node that was enrolled and has not joined gets the new token in place of the old one.
    """

    nodes: list[NewEnrolment]
    expires_in_s: float
    rotate: bool = False
    """For nodes that have joined: they change their keys, and the old one stays until the new one is in use."""


class NodesEnrolled(Message, frozen=True, kw_only=True):
    """Answer to EnrolNodes."""

    names: list[str]
    expires_at_ms: int


class JoinNode(Message, frozen=True, kw_only=True):
    """A host shows a token: its key is to be accepted. Answer: NodeAccepted; the same again answers the same."""

    token_sha256: str
    public_key: str
    secret_sha256: str
    """SHA-256 of the secret of its uploads, which the host made itself (hexadecimal)."""


class NodeAccepted(Message, frozen=True, kw_only=True):
    """Answer to JoinNode."""

    name: str
    rotation: bool = False


class StoreSecret(Message, frozen=True, kw_only=True):
    """Keep a secret as the admin encrypted it, in place of the one before. Answer: SecretKept."""

    name: str
    ciphertext: bytes


class RemoveSecret(Message, frozen=True, kw_only=True):
    """Forget a secret. Answer: SecretKept."""

    name: str


class SecretKept(Message, frozen=True, kw_only=True):
    """Answer to StoreSecret and RemoveSecret."""

    name: str
