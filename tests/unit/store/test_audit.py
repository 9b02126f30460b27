"""The audit on disk: rows are added, read by any filter, and never changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from doai.changes.audit import AuditOutcome, AuditRow
from doai.changes.ops import AppendAudit
from doai.store.audit_reader import AuditFilter
from doai.store.reader import StoreReader
from doai.store.sqlite_writer import open_writer


def row(at_ms: int, *, actor: str = "user/ann", action: str = "key.add", subject: str = "key/a") -> AuditRow:
    refused = action == "key.revoke"
    return AuditRow(
        at_ms=at_ms,
        actor=actor,
        role="admin",
        token="ann",
        address="10.0.0.7",
        interface="cli",
        process="admin/x",
        action=action,
        subject=subject,
        outcome=AuditOutcome.REFUSED if refused else AuditOutcome.DONE,
        after='{"n":1}',
    )


ROWS = [
    row(10),
    row(20, actor="user/bob", action="device.quarantine", subject="device/d"),
    row(30, action="key.revoke"),
    row(25, action="device.release", subject="device/d"),
    row(40, actor="user/bob"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "broker.db"
    writer = open_writer(path, new_store_id="S", now_ms=1)
    for each in ROWS:
        writer.commit([AppendAudit(each)])
    writer.close()
    return path


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (AuditFilter(), [5, 4, 3, 2, 1]),
        (AuditFilter(actor="user/bob"), [5, 2]),
        (AuditFilter(action="key.revoke"), [3]),
        (AuditFilter(action="key."), [5, 3, 1]),
        (AuditFilter(subject="device/d"), [4, 2]),
        (AuditFilter(subject="device/d", actor="user/ann", action="device."), [4]),
        (AuditFilter(outcome=AuditOutcome.REFUSED), [3]),
        (AuditFilter(since_ms=25), [5, 4, 3]),
        (AuditFilter(since_ms=99), []),
    ],
)
def test_rows_are_found_newest_first(path: Path, wanted: AuditFilter, numbers: list[int]) -> None:
    async def ask() -> None:
        reader = StoreReader(path)
        try:
            found = await reader.audit.rows(wanted, before_n=None, limit=10)
            assert [view.n for view in found] == numbers
            assert all(view.row == ROWS[view.n - 1] for view in found)
            rest = await reader.audit.rows(wanted, before_n=4, limit=1)
            assert [view.n for view in rest] == [n for n in numbers if n < 4][:1]
        finally:
            await reader.close()

    asyncio.run(ask())


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET actor = 'nobody' WHERE n = 1",
        "DELETE FROM audit WHERE n = 1",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE n = 1",
        "UPDATE audit_floor SET n = -1",
    ],
)
def test_a_row_is_never_changed(path: Path, change: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA recursive_triggers = ON")
    with pytest.raises(apsw.ConstraintError, match="audit"):
        connection.execute(change)
    assert connection.execute("SELECT count(*) FROM audit").get == len(ROWS)
    connection.close()


def test_only_what_is_below_the_floor_can_go_and_no_number_comes_again(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE audit_floor SET n = 5, at_ms = 50")
    connection.execute("DELETE FROM audit WHERE n <= 5")
    connection.close()
    writer = open_writer(path, new_store_id="S", now_ms=1)
    writer.commit([AppendAudit(row(60))])
    writer.close()
    connection = apsw.Connection(str(path))
    assert connection.execute("SELECT n FROM audit").get == 6
    connection.close()
