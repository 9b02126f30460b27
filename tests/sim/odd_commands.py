"""Commands with arguments that can not be, or that ask for what is so already: refused, or done once (step 2)."""

from __future__ import annotations

import hashlib
from math import nan
from typing import Any, Final

import msgspec

from doai.envelope import Message
from doai.limits import SAMPLE_SERIALS_PRUNED_MAX
from doai.messages import commands as c
from doai.messages import finished as f
from doai.messages import health
from doai.messages import queues as q
from doai.messages.retention import PRUNE_STORE, PruneStore
from tests.sim.recipes import NEEDS_WHAT_IS_NOT_THERE, RECIPES


def _run(workflow: str, targets: c.Targets, **fields: Any) -> tuple[str, Message]:
    return c.CREATE_RUN, c.CreateRun(workflow=workflow, targets=targets, project="sim", **fields)


_ANY = c.Targets(kind=c.TargetKind.ANY)
_NAMED = c.TargetKind.DEVICES
_HASH = hashlib.sha256(b"x").hexdigest()
_SECOND_LOOK = f.CleanQueue(name="default", ended_before_ms=0, runs=-1, tasks=0, digest="")
ODD: Final[tuple[tuple[str, Message], ...]] = (
    _run("no-such", _ANY),
    _run("look@99", _ANY),
    _run("look@x", _ANY),
    _run("Look!", _ANY),
    _run("idle", _ANY),
    _run("look@1", _ANY, queue="nope"),
    _run("look", _ANY, priority=10**7),
    _run("look", _ANY, expires_in_s=-1.0),
    _run("look", _ANY, attempts=99),
    _run("look", _ANY, params={"nope": 1}),
    _run("look", c.Targets(kind=_NAMED)),
    _run("look", c.Targets(kind=_NAMED, serials=[f"X{n}" for n in range(30)])),
    _run("picky", c.Targets(kind=_NAMED, serials=["n0-0", "n0-1", "n0-2"])),
    _run("picky", c.Targets(kind=c.TargetKind.ALL)),
    _run("look", c.Targets(kind=c.TargetKind.ANY, count=0)),
    _run("look", c.Targets(kind=c.TargetKind.ALL, serials=["n0-0"])),
    _run("look", c.Targets(kind=c.TargetKind.ANY, count=30_000)),
    _run("look", c.Targets(kind=c.TargetKind.ANY, selector=c.Selector(sdk="=>x"))),
    _run("look", c.Targets(kind=c.TargetKind.ALL, selector=c.Selector(models=["none"]))),
    _run("look", c.Targets(kind=c.TargetKind.BOT, bot="b")),
    _run("look", _ANY, max_parallel=0),
    _run("look", _ANY, stop_rate=2.0),
    (c.CANCEL_RUN, c.CancelRun(run_id="nope")),
    (c.CANCEL_TASK, c.CancelTask(task_id="nope")),
    (c.STORE_WORKFLOW, c.StoreWorkflow(source="workflow: [")),
    (c.STORE_WORKFLOW, c.StoreWorkflow(source=RECIPES["look"])),
    (
        c.STORE_WORKFLOW,
        c.StoreWorkflow(source=RECIPES["look"].replace("workflow: look", "workflow: idle"), activate=False),
    ),
    _run("idle", _ANY),
    *((c.STORE_WORKFLOW, c.StoreWorkflow(source=text)) for text in NEEDS_WHAT_IS_NOT_THERE.values()),
    *(_run(name, _ANY) for name in NEEDS_WHAT_IS_NOT_THERE),
    (
        c.RECORD_ARTIFACT,
        c.RecordArtifact(
            path="a/b",
            sha256=_HASH,
            size_bytes=1,
            media_type="x/y",
            node_id="n0",
            device_serial="d",
            run_id="r",
            task_id="t",
            step_id="s",
        ),
    ),
    (
        c.RECORD_ARTIFACT,
        c.RecordArtifact(
            path="",
            sha256="x",
            size_bytes=1,
            media_type="x/y",
            node_id="n0",
            device_serial="d",
            run_id="r",
            task_id="t",
            step_id="s",
        ),
    ),
    (c.ADD_KEY, c.AddKey(name="Bad Name", role="node", public_key="x")),
    (c.ADD_KEY, c.AddKey(name="good", role="king", public_key="x")),
    (c.ADD_KEY, c.AddKey(name="good", role="node", public_key="x")),
    (c.ADD_KEY, c.AddKey(name="good", role="node", public_key="g" * 40, secret_sha256="x")),
    (c.ADD_KEY, c.AddKey(name="good", role="node", public_key="g" * 40)),
    (c.ADD_KEY, c.AddKey(name="good", role="node", public_key="g" * 40, secret_sha256=_HASH)),
    (c.ADD_KEY, c.AddKey(name="good", role="node", public_key="g" * 40, secret_sha256=_HASH)),
    (c.ADD_KEY, c.AddKey(name="good", role="node", public_key="h" * 40)),
    (c.ADD_KEY, c.AddKey(name="other", role="node", public_key="g" * 40)),
    (c.ADD_KEY, c.AddKey(name="gadget", role="bot", public_key="d" * 40)),
    (c.REVOKE_KEY, c.RevokeKey(name="gadget")),
    (c.REVOKE_KEY, c.RevokeKey(name="good")),
    (c.REVOKE_KEY, c.RevokeKey(name="admin")),
    (c.ADD_TOKEN, c.AddToken(name="Bad Name", token_sha256=_HASH, role="admin")),
    (c.ADD_TOKEN, c.AddToken(name="t1", token_sha256="x", role="admin")),
    (c.ADD_TOKEN, c.AddToken(name="t1", token_sha256=_HASH, role="king")),
    (c.ADD_TOKEN, c.AddToken(name="t1", token_sha256=_HASH, role="admin")),
    (c.ADD_TOKEN, c.AddToken(name="t1", token_sha256=_HASH, role="viewer")),
    (c.ADD_TOKEN, c.AddToken(name="t2", token_sha256=_HASH, role="viewer")),
    (c.REVOKE_TOKEN, c.RevokeToken(name="t1")),
    (c.REVOKE_TOKEN, c.RevokeToken(name="t2")),
    (c.STORE_FILE, c.StoreFile(name="tools/odd", sha256=_HASH, size_bytes=1, origin="a\nb")),
    (q.PUT_QUEUE, q.PutQueue(name="Bad Name")),
    (q.PUT_QUEUE, q.PutQueue(name="default", degraded_above=0)),
    (q.PUT_QUEUE, q.PutQueue(name="spare-1")),
    (q.PUT_QUEUE, q.PutQueue(name="spare-2")),
    (q.DISCARD_QUEUE, q.DiscardQueue(name="default", confirm="no-such-confirmation")),
    (f.CLEAN_QUEUE, _SECOND_LOOK),
    (PRUNE_STORE, PruneStore(samples=[f"X{n}" for n in range(SAMPLE_SERIALS_PRUNED_MAX + 1)])),
    (health.REPORT_HEALTH, health.ReportHealth(serial="n0-0", conditions=[])),
)
"""Each is right or wrong by itself, or in the place where it comes; whoever asks may also be wrong."""
_HOT = health.Condition(rule=health.HealthRule.BATTERY_HOT, value=50.0, limit=45.0)
OF_A_BOT: Final[tuple[tuple[str, Message], ...]] = (
    _run("no-such", _ANY),
    ("no.such.command", c.CancelRun(run_id="x")),
    (health.REPORT_HEALTH, health.ReportHealth(serial="n0-0", conditions=[_HOT, _HOT])),
    (
        health.REPORT_HEALTH,
        health.ReportHealth(serial="n0-0", conditions=[msgspec.structs.replace(_HOT, value=nan)]),
    ),
    (c.QUARANTINE_DEVICE, c.QuarantineDevice(serial="n0-0", for_s=20.0, unless_other=True)),
    (c.QUARANTINE_DEVICE, c.QuarantineDevice(serial="n0-1", for_s=20.0, unless_other=True)),
    (c.RELEASE_DEVICE, c.ReleaseDevice(serial="n0-0", only_own=True)),
)
"""What a bot may say, and may not."""
