"""What is written until the power goes: legal changes drawn from one random source, for both files."""

from __future__ import annotations

import random

from doai.changes import ops, outbox, rows
from doai.codec import raw
from doai.envelope import Envelope
from doai.ids import Token
from doai.messages.commands import TargetKind
from doai.messages.work import HoldingState
from doai.states import Outcome, RunState, TaskState
from doai.store.memory import MemoryTables
from doai.store.memory_outbox import MemoryOutboxFile

BODY_BYTES = (40, 400, 6000)
"""A large one takes overflow pages, so that one commit writes many pages."""


def broker_unit(tables: MemoryTables, rng: random.Random) -> list[ops.Op]:
    """Return one commit: an event always, so that each commit has a state of its own."""
    unit: list[ops.Op] = []
    position = len(tables.events)
    for _ in range(rng.randint(1, 12)):
        kind = rng.choice(("event", "run", "task", "update", "stream", "sample", "command", "artifact"))
        position += kind in ("event", "run")
        unit += _BROKER[kind](tables, unit, position, rng)
    return [*unit, _event(position + 1, rng)]


def _event(position: int, rng: random.Random) -> ops.Op:
    envelope = Envelope(
        event_id=f"e{position}",
        type="task.queued",
        subject=f"task/t{rng.randint(1, 50)}",
        source="broker/1",
        trace_id="0" * 32,
        occurred_at_ms=position,
        payload=raw({"note": rng.randbytes(rng.choice(BODY_BYTES)).hex()}),
    )
    return ops.AppendEvent(position, envelope, position)


def _run(tables: MemoryTables, unit: list[ops.Op], position: int, rng: random.Random) -> list[ops.Op]:
    run_id = f"r{position}"
    row = rows.RunRow(
        run_id=run_id,
        workflow="w",
        version=1,
        recipe_hash="h",
        params_body=b"{}",
        targets_body=b"{}",
        step_timeouts_body=b"{}",
        queue="default",
        priority=0,
        attempts_max=3,
        tasks=5,
        created_at_ms=position,
        actor="a",
        interface="i",
        trace_id="0" * 32,
    )
    tasks: list[ops.Op] = [
        ops.InsertTask(
            rows.TaskRow(
                task_id=f"{run_id}-{n}",
                run_id=run_id,
                target_kind=TargetKind.DEVICES,
                selector_body=None,
                queue="default",
                priority=0,
                created_at_ms=position,
                expires_at_ms=None,
                timeout_s=600.0,
                status=rows.TaskStatusRow(state=TaskState.QUEUED, order=position, device_serial=f"S{n}"),
            )
        )
        for n in range(rng.randint(0, 5))
    ]
    return [ops.InsertRun(row), *tasks, _event(position, rng)]


def _update(tables: MemoryTables, unit: list[ops.Op], position: int, rng: random.Random) -> list[ops.Op]:
    if not tables.tasks:
        return []
    task = rng.choice(list(tables.tasks.values()))
    token = Token(1, position)
    state = rng.choice((TaskState.QUEUED, TaskState.PASSED, TaskState.FAILED))
    status = rows.TaskStatusRow(
        state=state, order=position, token=token, reason=rng.choice(("", "x" * 900)), attempt=2
    )
    changed: list[ops.Op] = [ops.UpdateTask(task.task_id, status)]
    if rng.random() < 0.1:
        changed.append(ops.UpdateRun(task.run_id, RunState.COMPLETED, Outcome.PASSED, position))
    return changed


def _stream(tables: MemoryTables, unit: list[ops.Op], position: int, rng: random.Random) -> list[ops.Op]:
    name = f"n{rng.randint(1, 3)}"
    key = (name, "1", "i")
    if any(isinstance(op, ops.PutStream | ops.AdvanceStream) and op_name(op) == name for op in unit):
        return []  # its place is known after the commit
    if key not in tables.streams:
        return [ops.PutStream(rows.StreamRow(name=name, instance="1", incarnation="i", epoch=1, last_seq=0))]
    digests = [rng.randbytes(ops.DIGEST_BYTES) for _ in range(rng.randint(1, 60))]
    return [ops.AdvanceStream(name, "1", "i", tables.streams[key].last_seq + 1, digests)]


def op_name(op: ops.PutStream | ops.AdvanceStream) -> str:
    return op.row.name if isinstance(op, ops.PutStream) else op.name


def _sample(tables: MemoryTables, unit: list[ops.Op], position: int, rng: random.Random) -> list[ops.Op]:
    row = rows.SampleRow(
        name=f"n{rng.randint(1, 3)}", instance="1", received_at_ms=position, body=rng.randbytes(200)
    )
    return [ops.PutSample(row), ops.ReserveTokens(position + 100)]


def _command(tables: MemoryTables, unit: list[ops.Op], position: int, rng: random.Random) -> list[ops.Op]:
    row = rows.CommandRow(
        idempotency_key=f"k{rng.randint(1, 40)}",
        payload_sha256="0" * 64,
        reply_body=rng.randbytes(rng.choice(BODY_BYTES)),
        created_at_ms=position,
        expires_at_ms=position + 10,
    )
    remembered: list[ops.Op] = [ops.RememberCommand(row)]
    return [ops.ForgetCommands(position - 5), *remembered] if rng.random() < 0.2 else remembered


def _artifact(tables: MemoryTables, unit: list[ops.Op], position: int, rng: random.Random) -> list[ops.Op]:
    row = rows.ArtifactRow(
        path=f"a/{rng.randint(1, 30)}.png",
        sha256=rng.randbytes(32).hex(),
        size_bytes=position,
        media_type="image/png",
        node_id="n1",
        device_serial="S1",
        run_id="r",
        task_id="t",
        step_id="s",
        stored_at_ms=position,
    )
    return [ops.InsertArtifact(row)]


_BROKER = {
    "event": lambda tables, unit, position, rng: [_event(position, rng)],
    "run": _run,
    "task": _update,
    "update": _update,
    "stream": _stream,
    "sample": _sample,
    "command": _command,
    "artifact": _artifact,
}


def outbox_unit(file: MemoryOutboxFile, rng: random.Random) -> list[outbox.OutboxOp]:
    """Return one commit of a node; its epoch moves each time, so that each has a state of its own."""
    seq = file.highest_seq
    unit: list[outbox.OutboxOp] = []
    for _ in range(rng.randint(1, 10)):
        choice = rng.random()
        if choice < 0.6:
            seq += 1
            body = rng.randbytes(rng.choice(BODY_BYTES))
            unit.append(outbox.AppendFact(seq, body, rng.random() < 0.3))
        elif choice < 0.75:
            unit.append(outbox.PutHeld(_held(rng)))
        elif choice < 0.8 and file.held:
            task_id, token = rng.choice(list(file.held))
            begun = rng.choice(("", "open"))
            unit.append(outbox.PutProgress(task_id, token, HoldingState.RUNNING, begun, not begun))
        elif choice < 0.85 and file.held:
            task_id, token = rng.choice(list(file.held))
            unit.append(outbox.DropHeld(task_id, token))
        elif choice < 0.95:
            unit.append(outbox.PutRecipe(f"h{rng.randint(1, 5)}", rng.randbytes(rng.choice(BODY_BYTES))))
        else:
            unit.append(outbox.DropRecipe(f"h{rng.randint(1, 5)}"))
    if rng.random() < 0.3:
        unit.append(outbox.TrimFacts(rng.randint(file.trimmed_seq, seq)))
    if rng.random() < 0.05:
        renewed = f"{file.incarnation[:1]}{rng.getrandbits(48):012x}"
        unit.append(outbox.RenewIncarnation(renewed, rng.randint(0, seq), rng.random() < 0.5))
    unit.append(outbox.PutEpoch(rng.getrandbits(40)))
    return unit


def _held(rng: random.Random) -> outbox.HeldRow:
    return outbox.HeldRow(
        task_id=f"t{rng.randint(1, 8)}",
        token=Token(1, rng.randint(1, 9)),
        order=rng.randint(1, 99),
        dispatch_body=rng.randbytes(rng.choice(BODY_BYTES)),
        state=rng.choice(list(HoldingState)),
        received_at_ms=rng.randint(1, 99),
        step_begun=rng.choice(("", "open")),
    )
