"""People who sign in: users and their sessions as the broker's store keeps them (steps 2 and 3)."""

from __future__ import annotations

import msgspec

from doai.changes.store_op import StoreOp


class UserRow(msgspec.Struct, frozen=True, kw_only=True):
    """A person who may sign in; the password only as its hash."""

    name: str
    role: str
    password_hash: str
    """Argon2id in the PHC format, which holds salt and cost."""
    created_at_ms: int
    created_by: str
    password_at_ms: int
    """When the password was set."""
    removed_at_ms: int | None = None


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One browser that signed in, only as the hash of its cookie."""

    token_sha256: str
    user: str
    created_at_ms: int
    expires_at_ms: int
    address: str
    """Network address from which the person signed in."""


class PutUser(StoreOp, frozen=True):
    """A user, new or known by the name."""

    row: UserRow


class PutSession(StoreOp, frozen=True):
    """A session, new or known by its hash."""

    row: SessionRow


class DropSession(StoreOp, frozen=True):
    """A session that has ended."""

    token_sha256: str
