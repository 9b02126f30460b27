"""What is read of people who sign in, beside the writer (steps 1 and 14)."""

from __future__ import annotations

from collections.abc import Mapping

from doai.changes.people import SessionRow, UserRow
from doai.store.people_columns import session_row, user_row
from doai.store.read_connections import ReadConnections


class PeopleReader:
    """Answers questions about users and sessions, over the connections of a `StoreReader`."""

    def __init__(self, connections: ReadConnections, sql: Mapping[str, str]) -> None:
        self._connections = connections
        self._sql = sql

    async def users(self) -> list[UserRow]:
        """Return all users by name, removed ones too."""
        [answer] = await self._connections.ask((self._sql["users"], ()))
        return [user_row(c) for c in answer]

    async def user(self, name: str) -> UserRow | None:
        """Return a user, removed or not."""
        [answer] = await self._connections.ask((self._sql["user"], (name,)))
        return user_row(answer[0]) if answer else None

    async def session(self, token_sha256: str) -> tuple[SessionRow, UserRow] | None:
        """Return the session with this hash and its user, expired or not."""
        sessions, users = await self._connections.ask(
            (self._sql["session"], (token_sha256,)), (self._sql["user_of_session"], (token_sha256,))
        )
        return (session_row(sessions[0]), user_row(users[0])) if sessions and users else None
