"""What handlers work with, and the one way in which they change something: a command (steps 1 and 14)."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from doai.admin.access import Caller, Tokens
from doai.admin.artifact_folder import ArtifactFolder
from doai.admin.backups import Backups
from doai.admin.feed import Feed
from doai.admin.file_folder import FileFolder
from doai.admin.janitor import Janitor
from doai.admin.log_keeper import LogKeeper
from doai.admin.logcats import Logcats
from doai.admin.login_limit import LoginLimit
from doai.admin.mesh import Mesh
from doai.admin.outlook import Outlooks
from doai.admin.passwords import Passwords
from doai.admin.problems import CommandRefused
from doai.admin.screens import Screens
from doai.admin.sessions import Sessions
from doai.admin.vault import Vault
from doai.codec import raw
from doai.envelope import Envelope, Message, Origin
from doai.errors import UserError
from doai.ids import RandomIds
from doai.messages.catalogue import COMMANDS
from doai.messages.commands import AddToken, RevokeToken
from doai.messages.people import CloseSession, CreateUser, OpenSession, RemoveUser, SetPassword, SetRole
from doai.store.reader import StoreReader

AnswerT = TypeVar("AnswerT", bound=Message)
_TYPE_OF: Final = {payload: name for name, (payload, _) in COMMANDS.items()}
_IDS: Final = RandomIds(secrets.randbits)


class Done(msgspec.Struct, frozen=True):
    """A command that was executed: its answer, and the place of the event log behind which reads see it."""

    result: Any
    position: int

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Doai-Position": str(self.position)}


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """One of each, made by server.py and handed to every handler."""

    reader: StoreReader
    mesh: Mesh
    tokens: Tokens
    sessions: Sessions
    passwords: Passwords
    logins: LoginLimit
    artifacts: ArtifactFolder
    files: FileFolder
    feed: Feed
    backups: Backups
    vault: Vault
    janitor: Janitor
    logs: LogKeeper
    outlooks: Outlooks
    screens: Screens
    logcats: Logcats
    public_url: str
    """Of this API as nodes elsewhere reach it; empty = as it was asked."""
    fingerprint: str
    """SHA-256 of its certificate; empty = it has none."""
    broker_endpoint: str
    """As nodes reach it."""
    broker_key_path: Path
    """File of the broker's public key."""

    async def command(
        self,
        payload: Message,
        subject: str,
        *,
        actor: str,
        interface: str,
        idempotency_key: str | None = None,
        trace_id: str | None = None,
        origin: Origin | None = None,
    ) -> Done:
        """Have a command executed; raises CommandRefused with the broker's words, or BrokerUnavailable."""
        now_ms = time.time_ns() // 1_000_000
        command_type = _TYPE_OF[type(payload)]
        envelope = Envelope(
            event_id=_IDS.new_id(now_ms),
            type=command_type,
            subject=subject,
            source=self.mesh.source,
            trace_id=trace_id or _IDS.new_trace_id(),
            occurred_at_ms=now_ms,
            payload=_packed(payload),
            idempotency_key=idempotency_key or f"auto-{_IDS.new_id(now_ms)}",
            actor=actor,
            interface=interface,
            origin=origin,
        )
        try:
            reply = await self.mesh.command(envelope)
        finally:  # it may have been executed also where no reply came
            self._forget(payload)
        if reply.problem is not None:
            raise CommandRefused(reply.problem)
        return Done(msgspec.convert(reply.result, COMMANDS[command_type][1]), reply.position)

    async def command_of(
        self, caller: Caller, payload: Message, subject: str, *, idempotency_key: str | None = None
    ) -> Done:
        """`command` in the name of whoever sent the request."""
        try:
            return await self.command(
                payload,
                subject,
                actor=caller.actor,
                interface=caller.interface,
                idempotency_key=idempotency_key,
                origin=caller.origin,
            )
        finally:
            self.outlooks.forget()

    def _forget(self, payload: Message) -> None:
        """Believe no more what a command may have changed: who sends it, and whom it is about, see it at once."""
        match payload:
            case RevokeToken() | AddToken():
                self.tokens.forget(payload.name)
            case SetPassword() | SetRole() | RemoveUser() | CreateUser():
                self.sessions.forget_user(payload.name)
            case OpenSession():  # of too many the oldest one ends
                self.sessions.forget_user(payload.user)
            case CloseSession():
                self.sessions.forget_session(payload.token_sha256)


def _packed(payload: Message) -> msgspec.Raw:
    try:
        return raw(payload)
    except OverflowError:
        # JSON knows larger ones, and what people give as parameters or configuration is of any kind.
        raise UserError(
            "the request has a whole number that needs more than 64 bits: write it as text", code="bad_request"
        ) from None
