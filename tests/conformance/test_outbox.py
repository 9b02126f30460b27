"""One suite for a node's file on disk and its twin in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from doai import limits
from doai.changes.outbox import (
    AppendFact,
    DropHeld,
    HeldRow,
    OutboxOp,
    PutHeld,
    PutProgress,
    RenewIncarnation,
    TrimFacts,
)
from doai.errors import StoreError
from doai.ids import Token
from doai.messages.work import HoldingState
from doai.store.memory_outbox import MemoryOutbox, MemoryOutboxFile
from doai.store.outbox import OutboxFile, open_outbox
from tests.conformance.store_ops import OUTBOX_UNITS


def numbered(unit: list[OutboxOp], state_seq: int) -> list[OutboxOp]:
    result: list[OutboxOp] = []
    for op in unit:
        if isinstance(op, AppendFact):
            state_seq += 1
            op = AppendFact(state_seq, op.envelope, op.is_result)
        result.append(op)
    return result


def refused(outbox: OutboxFile, unit: list[OutboxOp]) -> bool:
    try:
        outbox.commit(unit)
    except StoreError:
        return True
    return False


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(units=OUTBOX_UNITS)
def test_both_files_keep_the_same(units: list[list[OutboxOp]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outbox.db"
        file = MemoryOutboxFile("I")
        disk, memory = open_outbox(path, new_incarnation="I"), MemoryOutbox(file)
        for drawn in units:
            unit = numbered(drawn, file.highest_seq)
            outcome = refused(disk, unit)
            assert refused(memory, unit) is outcome
            if outcome:
                disk.close()
                memory.close()
                disk, memory = open_outbox(path, new_incarnation="other"), MemoryOutbox(file)
            assert disk.load() == memory.load()
            for after, records, size in ((0, 100, 10_000), (2, 2, 10_000), (0, 100, 7)):
                facts = disk.read_facts(after, records, size)
                assert facts == memory.read_facts(after, records, size)
        disk.close()


def both(tmp_path: Path) -> list[OutboxFile]:
    return [open_outbox(tmp_path / "outbox.db", new_incarnation="I"), MemoryOutbox(MemoryOutboxFile("I"))]


def test_kept_results_are_told_again_to_a_broker_that_lost_its_past(tmp_path: Path) -> None:
    for outbox in both(tmp_path):
        outbox.commit([AppendFact(n, b"%d" % n, n % 2 == 0) for n in range(1, 7)])
        outbox.commit([TrimFacts(4)])
        assert outbox.load().records == 2
        outbox.commit([RenewIncarnation("J", 0, with_results=True)])
        assert outbox.read_facts(0, 10, 1000) == [(1, b"2"), (2, b"4"), (3, b"5"), (4, b"6")]
        state = outbox.load()
        assert (state.incarnation, state.epoch, state.highest_seq, state.trimmed_seq) == ("J", 0, 4, 0)
        outbox.close()


def test_kept_results_survive_a_renewal_that_does_not_tell_them(tmp_path: Path) -> None:
    for outbox in both(tmp_path):
        outbox.commit([AppendFact(n, b"%d" % n, n < 3) for n in range(1, 6)])
        outbox.commit([TrimFacts(2)])
        outbox.commit([RenewIncarnation("J", 4, with_results=False)])
        assert outbox.read_facts(0, 10, 1000) == [(1, b"5")]
        outbox.commit([RenewIncarnation("K", 0, with_results=True)])
        assert outbox.read_facts(0, 10, 1000) == [(1, b"1"), (2, b"2"), (3, b"5")]
        outbox.close()


def test_only_the_last_results_are_kept(tmp_path: Path) -> None:
    count = limits.RESULTS_KEPT + 700
    for outbox in both(tmp_path):
        for first in range(1, count, 500):
            last = min(first + 499, count)
            outbox.commit([AppendFact(n, b"%d" % n, True) for n in range(first, last + 1)])
            outbox.commit([TrimFacts(last)])
        outbox.commit([RenewIncarnation("J", 0, with_results=True)])
        facts = outbox.read_facts(0, count, 10_000_000)
        assert len(facts) == limits.RESULTS_KEPT
        assert facts[-1] == (limits.RESULTS_KEPT, b"%d" % count)
        outbox.close()


def held_task(n: int) -> HeldRow:
    return HeldRow(
        task_id=f"T{n:03d}",
        token=Token(1, n),
        order=n,
        dispatch_body=bytes(600),
        state=HoldingState.WAITING,
        received_at_ms=1,
    )


def begun(n: int, step: str) -> PutProgress:
    return PutProgress(f"T{n:03d}", Token(1, n), HoldingState.RUNNING, step, not step)


def test_how_far_a_task_is_goes_with_it(tmp_path: Path) -> None:
    for outbox in both(tmp_path):
        outbox.commit([PutHeld(held_task(1)), PutHeld(held_task(2)), begun(2, "")])
        outbox.commit([begun(1, "tap"), begun(3, "of nobody")])
        told = [(row.state, row.step_begun, row.repeatable) for row in outbox.load().held]
        assert told == [(HoldingState.RUNNING, "tap", False), (HoldingState.RUNNING, "", True)]
        outbox.commit([DropHeld("T001", Token(1, 1))])
        outbox.commit([PutHeld(held_task(1)), begun(2, "tap"), begun(2, "")])
        assert [(row.state, row.step_begun) for row in outbox.load().held] == [
            (HoldingState.WAITING, ""),
            (HoldingState.RUNNING, ""),
        ]
        outbox.close()


def test_how_far_tasks_are_is_written_without_their_bodies(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path / "outbox.db", new_incarnation="I")
    outbox.commit([PutHeld(held_task(n)) for n in range(100)])
    before = outbox.log_bytes
    outbox.commit([begun(n, "tap") for n in range(0, 100, 5)])
    assert outbox.log_bytes - before <= 4 * 4096, "one page of twenty rows, and what leads to it"
    outbox.close()
