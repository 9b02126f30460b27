"""Rows of users and sessions as columns and back, in the order of sql/broker/columns.sql (steps 2, 3 and 14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from doai.changes.people import DropSession, PutSession, PutUser, SessionRow, UserRow

Columns = tuple[Any, ...]


def user_row(c: Columns) -> UserRow:
    return UserRow(**dict(zip(UserRow.__struct_fields__, c, strict=True)))


def session_row(c: Columns) -> SessionRow:
    return SessionRow(**dict(zip(SessionRow.__struct_fields__, c, strict=True)))


STATEMENTS: Final[dict[type, tuple[str, Callable[[Any], Columns]]]] = {
    PutUser: ("put_user", lambda op: msgspec.structs.astuple(op.row)),
    PutSession: ("put_session", lambda op: msgspec.structs.astuple(op.row)),
    DropSession: ("drop_session", lambda op: (op.token_sha256,)),
}
"""Of each op: the statement that writes it, and what is bound."""
TABLES: Final[dict[type, str]] = {PutUser: "users", PutSession: "sessions", DropSession: "sessions"}
