"""What is asked for: runs and their targets, workflows, keys, tokens, artifacts; refusals; idempotency."""

from __future__ import annotations

import pytest

from doai import topics
from doai.broker.core.settings import CoreSettings
from doai.changes.ops import PutStream
from doai.codec import encode
from doai.limits import TARGETS_PER_RUN_MAX
from doai.messages import commands as c
from doai.messages.link import Hello, Role
from doai.states import RunState
from tests.unit.broker.harness import RECIPE, FakeAdmin, FakeNode, World, sample, started_world

KEY = "k" * 40
HASH = "0" * 64
PICKY = """
workflow: picky
params:
  video: {type: string, pattern: "^[a-z]+$"}
  seconds: {type: integer, default: 20, minimum: 5}
requires: {sdk: ">=30", tags: [lab]}
bounds: {look: {timeout: {minimum: 10s, maximum: 60s}}}
steps:
  - {id: look, use: screen.capture}
"""


def _targets(kind: c.TargetKind = c.TargetKind.DEVICES, **about: object) -> c.Targets:
    return c.Targets(kind=kind, **about)  # type: ignore[arg-type]


def _create(targets: c.Targets, workflow: str = "look", **about: object) -> c.CreateRun:
    return c.CreateRun(workflow=workflow, targets=targets, **about)  # type: ignore[arg-type]


def test_a_run_is_made_with_all_of_its_tasks_in_one_transaction() -> None:
    world, _, admin = started_world("d1", "d2")
    before = len(world.tables.events)
    run = admin.run("d1", "d2", "d1", priority=3)
    assert len(run.task_ids) == 2
    assert run.workflow == "look@1"
    row = world.tables.runs[run.run_id]
    assert (row.tasks, row.priority, row.actor, row.interface, row.trace_id) == (2, 3, "user/ann", "cli", "b" * 32)
    types = [event.type for event in world.events()[before:]]
    assert types == ["run.created", "task.queued", "task.queued", "task.dispatched", "task.dispatched"]
    assert {event.trace_id for event in world.events()[before:]} == {"b" * 32}
    assert world.events()[before].causation_id == "command-2"
    world.check()


def test_mistakes_are_named_all_at_once() -> None:
    world, _, admin = started_world("d1")
    admin.store(PICKY)
    create = _create(_targets(serials=["d1"]), "picky", params={"video": "A1", "seconds": 1, "speed": 2})
    problem = admin.refused(c.CREATE_RUN, create)
    assert problem.code == "bad_parameters"
    assert len(problem.details) == 3
    assert world.tables.runs == {}
    create = _create(_targets(serials=["d1"]), "picky", params={"video": "a"}, step_timeouts_s={"look": 5.0})
    assert "below the minimum" in admin.refused(c.CREATE_RUN, create).message


@pytest.mark.parametrize(
    ("workflow", "about", "words"),
    [
        ("loko", {}, "did you mean 'look'"),
        ("look@7", {}, "known are look@1"),
        ("look@x", {}, "no workflow look@x"),
        ("../etc", {}, "no workflow"),
        ("look", {"queue": "defualt"}, "did you mean 'default'"),
        ("look", {"priority": 10**9}, "too large"),
        ("look", {"expires_in_s": 0.0}, "expires_in"),
        ("look", {"attempts": 99}, "attempts"),
        ("look", {"targets": _targets(serials=[])}, "no device is named"),
        ("look", {"targets": _targets(c.TargetKind.ALL, serials=["d1"])}, "of kind all take no serials"),
        ("look", {"targets": _targets(c.TargetKind.ALL, count=2)}, "of kind all take no count"),
        ("look", {"targets": _targets(c.TargetKind.ANY, serials=["d1"], bot="b")}, "take no serials and no bot"),
        (
            "look",
            {"targets": _targets(serials=["d1"], selector=c.Selector(tags=["x"]))},
            "of kind devices take no selector",
        ),
        ("look", {"targets": _targets(serials=["d2"])}, "no device 'd2': known: d1"),
        ("look", {"targets": _targets(c.TargetKind.ANY, count=0)}, "at least 1"),
        ("look", {"targets": _targets(c.TargetKind.ANY, count=TARGETS_PER_RUN_MAX + 1)}, "at most"),
        ("look", {"targets": _targets(c.TargetKind.BOT, bot="b")}, "is of a kind"),
        ("look", {"targets": _targets(c.TargetKind.ALL, selector=c.Selector(sdk="new"))}, "API level"),
        ("look", {"targets": _targets(c.TargetKind.ALL, selector=c.Selector(tags=["x"]))}, "none of the 1 known"),
    ],
)
def test_a_run_that_can_not_be_is_refused_with_a_sentence(
    workflow: str, about: dict[str, object], words: str
) -> None:
    world, _, admin = started_world("d1")
    before = len(world.tables.events)
    fields = {"targets": _targets(serials=["d1"]), **about}
    problem = admin.refused(c.CREATE_RUN, c.CreateRun(workflow=workflow, **fields), key="k")  # type: ignore[arg-type]
    assert words in problem.message
    assert len(world.tables.events) == before
    assert world.tables.commands == {}, "a refused command is not remembered"
    world.check()


def test_all_are_those_that_match_and_work_now() -> None:
    world, node, admin = started_world()
    admin.store(PICKY)
    create = _create(_targets(c.TargetKind.ALL), "picky", params={"video": "a"})
    assert "no device was seen yet" in admin.refused(c.CREATE_RUN, create).message
    node.device("d1", sdk=34, tags=["lab"])
    node.device("d2", sdk=28, tags=["lab"])
    node.device("d3", sdk=34)
    node.device("d4", sdk=34, tags=["lab"])
    node.device_gone("d4")
    node.flush()
    run = admin.do(c.CREATE_RUN, create, c.RunCreated)
    assert [world.tables.tasks[i].status.device_serial for i in run.task_ids] == ["d1"]
    node.device_gone("d1")
    node.flush()
    problem = admin.refused(c.CREATE_RUN, create)
    assert len(problem.details) == 5
    assert "sdk 28" in " ".join(problem.details)
    named = _create(_targets(serials=["d2", "d3"]), "picky", params={"video": "a"})
    assert len(admin.refused(c.CREATE_RUN, named).details) == 2


def test_a_broker_without_devices_or_workflows_says_so() -> None:
    world = World()
    admin = FakeAdmin(world)
    assert "there is none" in admin.refused(c.CREATE_RUN, _create(_targets(serials=["d"]))).message
    admin.store()
    assert "there is no device" in admin.refused(c.CREATE_RUN, _create(_targets(serials=["d"]))).message


def test_the_same_key_and_payload_give_the_same_answer_once() -> None:
    world, _, admin = started_world("d1")
    first = admin.run("d1", key="once")
    again = admin.run("d1", key="once")
    assert first == again
    assert len(world.tables.runs) == 1
    problem = admin.refused(c.CREATE_RUN, _create(_targets(serials=["d1"]), priority=5), key="once")
    assert problem.code == "key_reused"
    world.restart()
    admin = FakeAdmin(world)
    assert admin.run("d1", key="once") == first
    world.check()
    world.pass_time(24 * 3600 + 700)
    assert world.tables.commands == {}
    assert FakeAdmin(world).run("d1", key="once") != first


def test_an_answer_tells_where_reads_begin() -> None:
    world, _, admin = started_world("d1")
    reply = admin.ask(c.CREATE_RUN, _create(_targets(serials=["d1"])))
    assert world.tables.events[reply.position - 1].envelope.type == topics.TASK_QUEUED


def test_only_admins_command_and_only_what_there_is() -> None:
    world, _, admin = started_world("d1")
    robot = FakeAdmin(world, "robot", Role.BOT)
    assert robot.refused(c.STORE_WORKFLOW, c.StoreWorkflow(source="x")).code == "not_allowed"
    assert "did you mean 'run.create'" in admin.refused("run.creat", c.CancelRun(run_id="x")).message
    bad = admin.ask(c.CREATE_RUN, b"\x81\xa8workflow\x05")
    assert bad.problem is not None
    assert bad.problem.code == "bad_payload"
    assert admin.refused(c.CANCEL_RUN, c.CancelRun(run_id="nope")).code == "not_open"
    newer = admin.ask(c.CANCEL_RUN, c.CancelRun(run_id="x"), schema_version=99)
    assert newer.problem is not None
    assert newer.problem.code == "newer_schema"


def test_cancelling_a_run_counts_what_ended_before() -> None:
    world, node, admin = started_world("d1", "d2", "d3")
    run = admin.run("d1", "d2", "d3")
    first, _, _ = node.pump()
    node.end(first)
    node.flush()
    answer = admin.do(c.CANCEL_RUN, c.CancelRun(run_id=run.run_id), c.Cancelled)
    assert answer == c.Cancelled(cancelled=0, cancelling=2, ended_before=1)
    assert world.tables.runs[run.run_id].state is RunState.CANCELLING
    world.check()


def test_workflows_have_versions_that_never_change() -> None:
    world = World()
    admin = FakeAdmin(world)
    first = admin.store()
    assert admin.store().new is False
    changed = admin.store(RECIPE.format(name="look") + "  - {id: more, use: screen.capture}\n")
    assert (first.version, changed.version, changed.new) == (1, 2, True)
    draft = c.StoreWorkflow(source=RECIPE.format(name="look").replace("2s", "3s"), activate=False)
    assert admin.do(c.STORE_WORKFLOW, draft, c.WorkflowStored).version == 3
    FakeNode(world).connect().device("d1")
    world.restart()
    assert world.core.state.recipes.active_version("look") == 2
    assert len(world.events(topics.WORKFLOW_STORED)) == 3
    bad = FakeAdmin(world).refused(c.STORE_WORKFLOW, c.StoreWorkflow(source="workflow: x\nsteps:\n  - use: nope\n"))
    assert bad.code == "bad_workflow"
    assert "line 3" in bad.details[0]


def test_an_artifact_is_told_of_once() -> None:
    world, _, admin = started_world("d1")
    about = {"node_id": "n1", "device_serial": "d1", "run_id": "r", "task_id": "t", "step_id": "s"}
    record = c.RecordArtifact(path="a/b.png", sha256=HASH, size_bytes=5, media_type="image/png", **about)
    for _ in range(2):
        assert admin.do(c.RECORD_ARTIFACT, record, c.ArtifactRecorded).path == "a/b.png"
    assert len(world.events(topics.ARTIFACT_STORED)) == 1
    assert world.tables.artifacts["a/b.png"].size_bytes == 5
    bad = c.RecordArtifact(path="a", sha256="x", size_bytes=5, media_type="image/png", **about)
    assert admin.refused(c.RECORD_ARTIFACT, bad).code == "bad_artifact"


def test_keys_let_in_and_are_revoked() -> None:
    world = World()
    admin = FakeAdmin(world)
    add = c.AddKey(name="n9", role="node", public_key=KEY)
    assert admin.do(c.ADD_KEY, add, c.KeyAdded).name == "n9"
    assert admin.do(c.ADD_KEY, add, c.KeyAdded).name == "n9"
    assert world.core.live_keys()[KEY] == "n9"
    assert world.keys_changed == 1
    secret = c.AddKey(name="n9", role="node", public_key=KEY, secret_sha256=HASH)
    admin.do(c.ADD_KEY, secret, c.KeyAdded)
    assert world.tables.keys["n9"].secret_sha256 == HASH
    node = FakeNode(world, "n9").connect()
    admin.do(c.REVOKE_KEY, c.RevokeKey(name="n9"), c.KeyAdded)
    assert KEY not in world.core.live_keys()
    assert node.link in world.shut
    assert world.tables.nodes["n9"].state == "offline"
    admin.do(c.ADD_KEY, c.AddKey(name="n9", role="node", public_key="j" * 40), c.KeyAdded)
    assert world.core.live_keys()["j" * 40] == "n9"


@pytest.mark.parametrize(
    ("add", "words"),
    [
        (c.AddKey(name="N 9", role="node", public_key=KEY), "name"),
        (c.AddKey(name="user", role="bot", public_key=KEY), "people act as user/NAME"),
        (c.AddKey(name="n9", role="king", public_key=KEY), "role"),
        (c.AddKey(name="n9", role="node", public_key="short"), "40 characters"),
        (c.AddKey(name="n9", role="node", public_key=KEY, secret_sha256="x"), "SHA-256"),
        (c.AddKey(name="n1", role="node", public_key=KEY), "another key"),
        (c.AddKey(name="n9", role="node", public_key="n1" + "x" * 38), "that of n1"),
    ],
)
def test_bad_keys_are_refused(add: c.AddKey, words: str) -> None:
    assert words in FakeAdmin(World()).refused(c.ADD_KEY, add).message


def test_the_last_admin_stays() -> None:
    world = World()
    admin = FakeAdmin(world)
    assert admin.refused(c.REVOKE_KEY, c.RevokeKey(name="admin")).code == "last_key"
    assert "did you mean 'admin'" in admin.refused(c.REVOKE_KEY, c.RevokeKey(name="admni")).message
    admin.do(c.ADD_TOKEN, c.AddToken(name="one", token_sha256=HASH), c.TokenAdded)
    admin.do(c.ADD_TOKEN, c.AddToken(name="one", token_sha256=HASH), c.TokenAdded)
    assert admin.refused(c.REVOKE_TOKEN, c.RevokeToken(name="one")).code == "last_token"
    admin.do(c.ADD_TOKEN, c.AddToken(name="two", token_sha256="1" * 64), c.TokenAdded)
    admin.do(c.REVOKE_TOKEN, c.RevokeToken(name="one"), c.TokenAdded)
    assert world.tables.tokens["one"].revoked_at_ms == world.utc_ms
    for bad in (
        c.AddToken(name="two", token_sha256=HASH),
        c.AddToken(name="x y", token_sha256=HASH),
        c.AddToken(name="x", token_sha256="1"),
        c.AddToken(name="x", token_sha256=HASH, role="king"),
    ):
        assert admin.refused(c.ADD_TOKEN, bad).message
    assert admin.refused(c.REVOKE_TOKEN, c.RevokeToken(name="one")).code == "not_found"


def test_the_brokers_own_admin_key_is_registered_once() -> None:
    world = World()
    changes = world.core.register_admin("admin", KEY, world.now)
    world.apply(changes)
    assert world.core.live_keys()[KEY] == "admin"
    assert world.core.register_admin("admin", KEY, world.now).ops == []


def test_queues_have_priorities() -> None:
    _, node, admin = started_world("d1", settings=CoreSettings(queues={"default": 0, "urgent": 10}))
    held = [admin.run("d1").task_ids[0] for _ in range(2)]
    slow = admin.run("d1").task_ids[0]
    important = admin.run("d1", priority=5).task_ids[0]
    urgent = admin.run("d1", queue="urgent").task_ids[0]
    order = []
    node.pump()
    while node.held:
        dispatch = next(iter(node.held.values()))
        order.append(dispatch.task_id)
        node.end(dispatch)
        node.flush()
    assert order == [*held, urgent, important, slow]


def test_greetings_of_admins_write_nothing() -> None:
    world = World()
    hello = Hello(name="admin", instance="y", role=Role.ADMIN, sample=sample(), epoch=3)
    changes = world.core.frame(4, "admin", b"\x01\x01" + bytes(30), encode(hello), world.now)
    assert not [op for op in changes.ops if isinstance(op, PutStream)]
