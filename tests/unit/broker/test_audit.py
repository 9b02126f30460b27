"""Every command leaves its row in the audit, and so does what the system changes by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from doai.broker.core.audit import JSON_CHARACTERS_MAX, MASK, shown
from doai.broker.core.settings import CoreSettings
from doai.changes.audit import AuditOutcome, AuditRow
from doai.codec import encode
from doai.envelope import Message, Origin
from doai.errors import ErrorClass
from doai.messages import commands as c
from doai.messages import enrolment, holds, people
from doai.messages.catalogue import COMMANDS
from doai.messages.contract import example
from doai.messages.link import Role
from doai.states import Outcome
from tests.unit.broker.harness import FakeAdmin, World, failure, started_world

SHA = "a" * 64
KEY = "k" * 40


def rows(world: World, action: str | None = None) -> list[AuditRow]:
    return [row for row in world.tables.audit.values() if action in (None, row.action)]


def told(row: AuditRow) -> tuple[Any, Any]:
    return tuple(None if side is None else json.loads(side) for side in (row.before, row.after))  # type: ignore[return-value]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_leaves_its_row(name: str) -> None:
    world, _, admin = started_world("a")
    before = world.tables.meta["audit_n"]
    origin = Origin(role="operator", token="ann", address="10.0.0.7")
    reply = admin.ask(name, encode(example(COMMANDS[name][0])), key="k", origin=origin)
    new = [row for n, row in world.tables.audit.items() if n > before]
    [row] = [row for row in new if row.outcome is not AuditOutcome.AUTOMATIC]
    assert row.action == name
    assert row.command_id == reply.command_id
    assert (row.actor, row.role, row.token, row.address) == ("user/ann", "operator", "ann", "10.0.0.7")
    assert (row.interface, row.process, row.idempotency_key) == ("cli", "admin/x1", "k")
    if reply.problem is None:
        assert row.outcome is AuditOutcome.DONE
        assert row.before is not None or row.after is not None
    else:
        assert (row.outcome, row.code, row.reason) == (
            AuditOutcome.REFUSED,
            reply.problem.code,
            reply.problem.message,
        )


DEVICES = c.Targets(kind=c.TargetKind.DEVICES, serials=["a"])
PASSWORD_HASH = "$argon2id$v=19$m=8,t=1,p=1$eHh4eHh4eHh4$eHh4eHh4eHh4eHh4eHh4eHh4"
TIE = c.DeviceDescription(serial="a", label="7")
WORKS: list[tuple[str, Message, str, Any, Any]] = [
    (c.CREATE_RUN, c.CreateRun(workflow="look", targets=DEVICES), "run/", None, {"workflow": "look@1", "tasks": 1}),
    (c.DESCRIBE_DEVICES, c.DescribeDevices(devices=[TIE]), "device/a", {"label": ""}, {"label": "7"}),
    (
        c.QUARANTINE_DEVICE,
        c.QuarantineDevice(serial="a", reason="cable"),
        "device/a",
        {"service": "in_service"},
        {"service": "quarantined", "reason": "cable"},
    ),
    (
        c.QUARANTINE_NODE,
        c.QuarantineNode(node_id="n1"),
        "node/n1",
        {"service": "in_service"},
        {"service": "quarantined"},
    ),
    (
        holds.HOLD_DEVICE,
        holds.HoldDevice(serial="a", for_s=60.0, reason="I look at it"),
        "device/a",
        {"hold": None},
        {
            "hold": {
                "since_ms": 1_700_000_000_000,
                "until_ms": 1_700_000_060_000,
                "by": "user/ann",
                "reason": "I look at it",
            }
        },
    ),
    (c.ADD_TOKEN, c.AddToken(name="t", token_sha256=SHA), "token/t", None, {"token_sha256": MASK, "role": "admin"}),
    (
        c.ADD_KEY,
        c.AddKey(name="n3", role="node", public_key=KEY, secret_sha256=SHA),
        "key/n3",
        None,
        {"public_key": KEY, "secret_sha256": MASK},
    ),
    (c.REVOKE_KEY, c.RevokeKey(name="n2"), "key/n2", {"revoked_at_ms": None}, {"name": "n2"}),
    (
        c.ARCHIVE_WORKFLOW,
        c.ArchiveWorkflow(name="look", version=1),
        "workflow/look",
        {"state": "active", "active_version": 1},
        {"state": "archived", "active_version": None},
    ),
    (
        c.STORE_FILE,
        c.StoreFile(name="app", sha256=SHA, size_bytes=3),
        "file/app",
        None,
        {"version": "1", "sha256": SHA},
    ),
    (
        enrolment.STORE_SECRET,
        enrolment.StoreSecret(name="pin", ciphertext=b"sealed"),
        "secret/pin",
        None,
        {"name": "pin", "ciphertext": MASK},
    ),
    (
        enrolment.ENROL_NODES,
        enrolment.EnrolNodes(nodes=[enrolment.NewEnrolment(name="n9", token_sha256=SHA)], expires_in_s=60.0),
        "node/n9",
        None,
        {"name": "n9", "token_sha256": MASK},
    ),
    (
        people.CREATE_USER,
        people.CreateUser(name="bob", role="viewer", password_hash=PASSWORD_HASH),
        "user/bob",
        None,
        {"name": "bob", "role": "viewer", "password_hash": MASK},
    ),
]


@pytest.mark.parametrize(("name", "payload", "subject", "before", "after"), WORKS, ids=[work[0] for work in WORKS])
def test_before_and_after_are_told(name: str, payload: Message, subject: str, before: Any, after: Any) -> None:
    world, _, admin = started_world("a")
    admin.do(name, payload, COMMANDS[name][1])
    [row] = rows(world, name)[-1:]
    assert row.outcome is AuditOutcome.DONE
    assert row.subject.startswith(subject)
    for wanted, found in zip((before, after), told(row), strict=True):
        assert wanted is None or wanted.items() <= found.items(), row
        assert wanted is not None or found is None, row


def test_cancels_tell_the_state_before_and_after() -> None:
    world, _, admin = started_world("a")
    run = admin.run("a")
    admin.do(c.CANCEL_TASK, c.CancelTask(task_id=run.task_ids[0], reason="wrong"), c.Cancelled)
    [row] = rows(world, c.CANCEL_TASK)
    assert told(row) == ({"state": "dispatched"}, {"state": "cancelling", "reason": "wrong"})
    admin.do(c.CANCEL_RUN, c.CancelRun(run_id=run.run_id), c.Cancelled)
    [row] = rows(world, c.CANCEL_RUN)
    assert told(row)[0] == {"state": "active"}
    assert told(row)[1]["cancelling"] == 1


def test_a_command_that_is_sent_again_has_one_row_and_a_refused_one_a_row_each_time() -> None:
    world, _, admin = started_world("a")
    admin.run("a", key="once")
    admin.run("a", key="once")
    assert len(rows(world, c.CREATE_RUN)) == 1
    for _ in range(2):
        admin.refused(c.CANCEL_RUN, c.CancelRun(run_id="x"), key="wrong")
    assert [row.outcome for row in rows(world, c.CANCEL_RUN)] == [AuditOutcome.REFUSED] * 2


def test_who_may_not_command_is_in_the_audit_too() -> None:
    world, _, admin = started_world("a")
    robot = FakeAdmin(world, "robot", Role.BOT)
    robot.refused(c.REVOKE_KEY, c.RevokeKey(name="n1"))
    [row] = rows(world, c.REVOKE_KEY)
    assert (row.outcome, row.code, row.role, row.process) == (
        AuditOutcome.REFUSED,
        "not_allowed",
        "bot",
        "robot/x1",
    )
    assert admin.ask("no.such", b"\x80").problem is not None
    [row] = rows(world, "no.such")
    assert row.code == "command_not_found"


def test_what_the_system_does_by_itself_is_told() -> None:
    world, node, _ = started_world("a", settings=CoreSettings(quarantine_after=1))
    [registered] = rows(world, "node.registered")
    assert (registered.outcome, registered.role, registered.actor) == (
        AuditOutcome.AUTOMATIC,
        "system",
        "broker/main",
    )
    world.pass_time(10_000)
    [late] = rows(world, "node.late")
    assert told(late) == ({"state": "online"}, {"state": "late"})
    [offline] = rows(world, "node.offline")
    assert told(offline) == ({"state": "late"}, {"state": "offline"})
    assert "no word for" in offline.reason
    node.connect()
    assert [told(row)[0] for row in rows(world, "node.online")] == [{"state": "offline"}, {"state": "offline"}]


def test_a_quarantine_its_probe_and_its_release_are_told() -> None:
    world, node, admin = started_world("a", settings=CoreSettings(quarantine_after=1))
    admin.run("a", attempts=1)
    [dispatch] = node.pump()
    node.begin(dispatch)
    node.end(dispatch, Outcome.FAILED, failure=failure(ErrorClass.DEVICE), repeatable=True)
    node.flush()
    [out] = rows(world, "device.quarantined")
    assert told(out)[0] == {"service": "in_service"}
    assert "failures in a row" in out.reason
    while not rows(world, "device.probed"):
        world.pass_time(10)
        node.heartbeat()
    [probed] = rows(world, "device.probed")
    assert told(probed)[1]["service"] == "probing"
    admin.run("a")
    [dispatch] = node.pump()
    node.end(dispatch)
    node.flush()
    [back] = rows(world, "device.released")
    assert told(back)[0]["service"] == "probing"
    assert not rows(world, "task.completed"), "what becomes of tasks is in the event log"


def test_a_hold_that_ends_by_itself_is_told() -> None:
    world, _, admin = started_world("a")
    admin.do(holds.HOLD_DEVICE, holds.HoldDevice(serial="a", for_s=60.0), holds.DeviceHold)
    world.pass_time(61)
    [ended] = rows(world, "device.released")
    assert (ended.outcome, ended.reason) == (AuditOutcome.AUTOMATIC, "the time of the hold is over")
    assert told(ended)[0]["hold"]["by"] == "user/ann"


def test_low_disk_is_told() -> None:
    world, _, _ = started_world("a")
    world.apply(world.core.disk_room(0, world.now))
    world.apply(world.core.disk_room(2**50, world.now))
    [closed], [opened] = rows(world, "intake.closed"), rows(world, "intake.opened")
    assert told(closed) == ({"takes_new": True}, {"takes_new": False})
    assert told(opened) == ({"takes_new": False}, {"takes_new": True})


def test_what_follows_from_a_command_is_told_by_its_row() -> None:
    world, _, admin = started_world("a")
    admin.do(c.REVOKE_KEY, c.RevokeKey(name="n1"), c.KeyAdded)
    assert not rows(world, "node.offline")
    assert len(rows(world, c.REVOKE_KEY)) == 1


def test_json_stays_small_and_keeps_no_secret() -> None:
    assert shown(None) is None
    assert json.loads(shown({"ciphertext": b"x", "password": "p", "n": 1, "data": b"123"}) or "") == {
        "ciphertext": MASK,
        "password": MASK,
        "n": 1,
        "data": "3 bytes",
    }
    many = shown({f"device/{n}": {"notes": "n" * 500, "tags": list(range(40))} for n in range(500)})
    assert many is not None
    assert len(many) <= JSON_CHARACTERS_MAX
    assert json.loads(shown(list(range(25))) or "")[-1] == "5 more"
    deep: Any = "end"
    for _ in range(9):
        deep = {"in": deep}
    assert "end" not in (shown(deep) or "")
