"""Commands: decoded, allowed, executed once per idempotency key, answered (steps 1-3)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from doai.broker.core.access import Access
from doai.broker.core.audit import command_row
from doai.broker.core.bots import Handler
from doai.broker.core.campaigns import Campaigns
from doai.broker.core.decision import Decision
from doai.broker.core.descriptions import Descriptions
from doai.broker.core.discards import Discards
from doai.broker.core.files import Files
from doai.broker.core.finished import Finished
from doai.broker.core.holds import Holds
from doai.broker.core.incidents import Incidents
from doai.broker.core.letter_decisions import LetterDecisions
from doai.broker.core.library import Library
from doai.broker.core.people import People
from doai.broker.core.quarantine import Quarantines
from doai.broker.core.queues import Queues
from doai.broker.core.retention import Retention
from doai.broker.core.runs import Runs
from doai.broker.core.secrets import Secrets
from doai.broker.core.state import State
from doai.broker.core.tables import Peer
from doai.changes.ops import AppendAudit, ForgetCommands, RememberCommand
from doai.changes.rows import CommandRow
from doai.clock import Now
from doai.codec import BodyDecoder, Kind, encode
from doai.envelope import SCHEMA_VERSION, Envelope, Message
from doai.errors import ConflictError, DecodeError, DiskLow, DoaiError, NotFoundError, UserError
from doai.limits import IDEMPOTENCY_KEPT_S
from doai.messages import bots as b
from doai.messages import campaigns as m
from doai.messages import commands as c
from doai.messages import dead_letters as d
from doai.messages import enrolment, retention
from doai.messages import finished as ended
from doai.messages import holds as h
from doai.messages import incidents as incident_messages
from doai.messages import queues as q
from doai.messages.bot_reports import PUBLISH_REPORT
from doai.messages.catalogue import COMMANDS
from doai.messages.health import REPORT_HEALTH
from doai.messages.link import Role
from doai.workflow.mistakes import did_you_mean

KEY_CHARS_MAX: Final = 200
FORGET_EVERY_S: Final = 600.0
_NEEDS_ROOM: Final = frozenset(
    {c.CREATE_RUN, c.STORE_WORKFLOW, c.STORE_FILE, m.PUT_CAMPAIGN, d.RETRY_DEAD_LETTERS, ended.RETRY_FAILED}
)
"""Refused below the disk reserve. Cancels, keys and artifacts that are stored already end work or mend things."""
_BOT_MAY: Final = frozenset(
    {
        b.REGISTER_BOT,
        b.END_BOT_TASK,
        b.RESET_SUBSCRIPTION,
        PUBLISH_REPORT,
        REPORT_HEALTH,
        c.CREATE_RUN,
        c.CANCEL_RUN,
        c.CANCEL_TASK,
        c.QUARANTINE_DEVICE,
        c.RELEASE_DEVICE,
        h.HOLD_DEVICE,
        h.UNHOLD_DEVICE,
        c.DESCRIBE_DEVICES,
    }
)
"""What a bot may command: itself, what it finds, runs, whether a device gets tasks. All else is an operator's."""
_reply: Final = BodyDecoder(c.Reply)


class Commands:
    """Executes commands of admins."""

    def __init__(
        self,
        state: State,
        runs: Runs,
        library: Library,
        files: Files,
        access: Access,
        quarantines: Quarantines,
        holds: Holds,
        letters: LetterDecisions,
        queues: Queues,
        discards: Discards,
        finished: Finished,
        descriptions: Descriptions,
        campaigns: Campaigns,
        incidents: Incidents,
        pruning: Retention,
        bots: Mapping[str, Handler],
        now: Now,
    ) -> None:
        self._state = state
        secrets = Secrets(state)
        self._forget_s: float | None = now.mono_s + FORGET_EVERY_S if state.commands else None
        self._handlers: dict[str, Handler] = {
            c.CREATE_RUN: runs.create,
            c.CANCEL_RUN: runs.cancel_run,
            c.CANCEL_TASK: runs.cancel_task,
            c.STORE_WORKFLOW: library.store_workflow,
            c.ACTIVATE_WORKFLOW: library.activate_workflow,
            c.ARCHIVE_WORKFLOW: library.archive_workflow,
            c.RECORD_ARTIFACT: library.record_artifact,
            c.STORE_FILE: files.store,
            c.REMOVE_FILE: files.remove,
            c.ADD_KEY: access.add_key,
            c.REVOKE_KEY: access.revoke_key,
            c.ADD_TOKEN: access.add_token,
            c.REVOKE_TOKEN: access.revoke_token,
            m.PUT_CAMPAIGN: campaigns.put,
            m.PAUSE_CAMPAIGN: campaigns.pause,
            m.RESUME_CAMPAIGN: campaigns.resume,
            m.FIRE_CAMPAIGN: campaigns.fire,
            m.REMOVE_CAMPAIGN: campaigns.remove,
            c.DESCRIBE_DEVICES: descriptions.describe,
            incident_messages.ACKNOWLEDGE_INCIDENT: incidents.acknowledge,
            incident_messages.RESOLVE_INCIDENT: incidents.resolve,
            **People(state).handlers,
            enrolment.ENROL_NODES: access.enrolments.enrol,
            enrolment.JOIN_NODE: access.enrolments.join,
            enrolment.STORE_SECRET: secrets.store,
            enrolment.REMOVE_SECRET: secrets.remove,
            retention.PRUNE_STORE: pruning.prune,
            retention.RECORD_RETENTION: pruning.record,
            q.PUT_QUEUE: queues.put,
            q.PAUSE_QUEUE: queues.pause,
            q.RESUME_QUEUE: queues.resume,
            q.DRAIN_QUEUE: queues.drain,
            q.DISCARD_QUEUE: discards.discard,
            ended.CLEAN_QUEUE: finished.clean,
            ended.RETRY_FAILED: finished.retry_failed,
            c.QUARANTINE_DEVICE: quarantines.quarantine_device,
            c.RELEASE_DEVICE: quarantines.release_device,
            c.QUARANTINE_NODE: quarantines.quarantine_node,
            c.RELEASE_NODE: quarantines.release_node,
            h.HOLD_DEVICE: holds.hold,
            h.UNHOLD_DEVICE: holds.unhold,
            **bots,
            d.RETRY_DEAD_LETTERS: letters.retry,
            d.DISCARD_DEAD_LETTERS: letters.discard,
        }
        self._decoders = {name: BodyDecoder(COMMANDS[name][0]) for name in self._handlers}

    def command(self, decision: Decision, peer: Peer, command: Envelope) -> None:
        """Execute one command and answer it; a refused one changes nothing and is not remembered.

        Each leaves its row in the audit, but one that is only answered again: it has its row already.
        """
        decision.in_command = True
        decision.speaker = peer
        if peer.role is Role.BOT:
            command = msgspec.structs.replace(command, actor=peer.address, interface="bot", origin=None)
        remembered = False
        try:
            reply, remembered = self._execute(decision, peer, command)
        except DoaiError as error:
            reply = c.Reply(command_id=command.event_id, position=decision.position, problem=problem_of(error))
        if not remembered:
            row = command_row(peer, command, reply, decision.changes, decision.now.utc_ms)
            decision.ops.append(AppendAudit(row))
        decision.in_command = False
        decision.send_to(peer, Kind.REPLY, encode(reply))

    def _execute(self, decision: Decision, peer: Peer, command: Envelope) -> tuple[c.Reply, bool]:
        """Return the reply, and whether it is that of an earlier time."""
        if peer.role is not Role.ADMIN and command.type not in _BOT_MAY:
            raise UserError(
                f"{peer.address} is a {peer.role.value}: only an admin may say {command.type[:80]}",
                code="not_allowed",
            )
        if command.schema_version > SCHEMA_VERSION:
            raise UserError(
                f"the command has schema version {command.schema_version}, this broker knows {SCHEMA_VERSION}: "
                "upgrade the broker",
                code="newer_schema",
            )
        handler = self._handlers.get(command.type)
        if handler is None:
            raise NotFoundError(
                f"there is no command {command.type[:80]!r}: {did_you_mean(command.type, self._handlers)}",
                code="command_not_found",
            )
        try:
            payload = self._decoders[command.type](command.payload)
        except DecodeError as error:
            raise UserError(f"the payload of {command.type} is wrong: {error}", code="bad_payload") from error
        key = _key_of(command, payload)
        digest = ""
        if key is not None:
            digest = hashlib.sha256(command.type.encode() + b"\0" + bytes(command.payload)).hexdigest()
            remembered = self._remembered(key, digest, decision)
            if remembered is not None:
                return msgspec.structs.replace(remembered, command_id=command.event_id), True
        if command.type in _NEEDS_ROOM and self._state.disk.closed_because:
            raise DiskLow(f"the broker takes nothing new now: {self._state.disk.closed_because}")
        result = handler(decision, command, payload)
        reply = c.Reply(command_id=command.event_id, position=decision.position, result=msgspec.Raw(encode(result)))
        if key is not None:
            self._remember(decision, key, digest, reply)
        return reply, False

    def _remembered(self, key: str, digest: str, decision: Decision) -> c.Reply | None:
        if len(key) > KEY_CHARS_MAX:
            raise UserError(
                f"an idempotency key has at most {KEY_CHARS_MAX} characters", code="bad_idempotency_key"
            )
        row = self._state.commands.get(key)
        if row is None or row.expires_at_ms < decision.now.utc_ms:
            return None
        if row.payload_sha256 != digest:
            raise ConflictError(
                f"the idempotency key {key!r} was used for another command: take a new key", code="key_reused"
            )
        reply: c.Reply = _reply(row.reply_body)
        return reply

    def _remember(self, decision: Decision, key: str, digest: str, reply: c.Reply) -> None:
        now_ms = decision.now.utc_ms
        row = CommandRow(
            idempotency_key=key,
            payload_sha256=digest,
            reply_body=encode(reply),
            created_at_ms=now_ms,
            expires_at_ms=now_ms + round(IDEMPOTENCY_KEPT_S * 1000),
        )
        self._state.commands[key] = row
        decision.ops.append(RememberCommand(row))
        if self._forget_s is None:
            self._forget_s = decision.now.mono_s + FORGET_EVERY_S
            self._state.sweep_by(self._forget_s)

    def due_s(self) -> float | None:
        """Return when remembered commands are looked through."""
        return self._forget_s

    def forget(self, decision: Decision) -> None:
        """Forget the commands whose time is over."""
        if self._forget_s is None or decision.now.mono_s < self._forget_s:
            return
        commands, now_ms = self._state.commands, decision.now.utc_ms
        for key in [key for key, row in commands.items() if row.expires_at_ms < now_ms]:
            del commands[key]
        decision.ops.append(ForgetCommands(now_ms))
        self._forget_s = decision.now.mono_s + FORGET_EVERY_S if commands else None


def problem_of(error: DoaiError) -> c.Problem:
    """Return a refusal as data."""
    details = getattr(error, "details", None)
    return c.Problem(
        code=error.code, message=str(error), fault=error.fault, details=list(details) if details is not None else []
    )


def _key_of(command: Envelope, payload: Message) -> str | None:
    if command.idempotency_key is not None:
        return command.idempotency_key
    if isinstance(payload, c.RecordArtifact):
        # A path and its content are the identity of an artifact: telling of it twice makes one event.
        return "artifact:" + hashlib.sha256(f"{payload.path}\0{payload.sha256}".encode()).hexdigest()
    return None
