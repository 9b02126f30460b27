"""Opening a file: private, locked, migrated, refused when foreign or newer; a full disk; the log."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from doai.changes import ops
from doai.errors import LocalProtocolError, StoreError, StoreUnavailable
from doai.store.database import BOT, BROKER, LOG, OUTBOX, Database, Kind
from doai.store.file_lock import FileLock
from doai.store.outbox import open_outbox
from doai.store.sql_files import load_migrations
from doai.store.sqlite_writer import SqliteWriter, open_writer
from tests.conformance.store_ops import make_envelope

SQL = Path(__file__).parents[3] / "doai" / "store" / "sql"


def event(position: int, size: int = 1) -> ops.AppendEvent:
    return ops.AppendEvent(position, make_envelope("e" * size, "task/t1", "task.queued"), 7)


def test_file_log_and_lock_are_private(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "broker.db", new_store_id="S", now_ms=1)
    writer.commit([event(1)])
    names = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    writer.close()
    assert names == dict.fromkeys(["broker.db", "broker.db-wal", "broker.db-shm", "broker.db.lock"], 0o600)


def test_the_store_id_is_given_once(tmp_path: Path) -> None:
    for store_id in ("first", "second"):
        writer = open_writer(tmp_path / "broker.db", new_store_id=store_id, now_ms=1)
        assert writer.load().store_id == "first"
        writer.close()


def test_a_second_holder_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    first = FileLock(tmp_path / "x.db", "the store")
    sentence = f"the store .*x.db is in use by process {os.getpid()}: stop that one first"
    with pytest.raises(StoreUnavailable, match=sentence):
        FileLock(tmp_path / "x.db", "the store", wait_s=0)
    first.release()
    first.release()
    FileLock(tmp_path / "x.db", "the store", wait_s=0).release()


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="choose a folder that exists"):
        open_writer(tmp_path / "no" / "broker.db", new_store_id="S", now_ms=1)


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    open_writer(path, new_store_id="S", now_ms=1).close()
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreUnavailable, match="schema version 99, this doai knows") as error:
        open_writer(path, new_store_id="S", now_ms=1)
    assert error.value.code == "store_newer"


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    outbox = tmp_path / "outbox.db"
    open_outbox(outbox, new_incarnation="I").close()
    text = tmp_path / "text.db"
    text.write_text("this is a letter to my aunt, and it is long enough to be no database" * 9)
    for path in (outbox, text):
        before = path.read_bytes()
        with pytest.raises(StoreUnavailable) as error:
            open_writer(path, new_store_id="S", now_ms=1)
        assert error.value.code == "store_foreign"
        assert path.read_bytes() == before


@pytest.mark.parametrize("kind", [BROKER, OUTBOX, BOT, LOG], ids=lambda kind: kind.folder)
def test_the_schema_to_read_is_the_sum_of_the_migrations(kind: Kind) -> None:
    connection = apsw.Connection(":memory:")
    for migration in load_migrations(kind.folder):
        connection.execute(migration.script)
    tables = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
    schema = "-- Made from the migrations; a test keeps it current.\n\n" + "\n\n".join(
        sql + ";" for (sql,) in tables
    )
    assert (SQL / kind.folder / "schema.sql").read_text() == schema + "\n"
    connection.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "broker.db"
    open_writer(path, new_store_id="S", now_ms=1).close()
    good = load_migrations("broker")
    bad = type(good[0])(len(good) + 1, "bad", "CREATE TABLE more (x); INSERT INTO nowhere VALUES (1)")
    with monkeypatch.context() as patch:
        patch.setattr("doai.store.database.load_migrations", lambda _: [*good, bad])
        with pytest.raises(StoreError, match="nowhere"):
            open_writer(path, new_store_id="S", now_ms=1)
    writer = open_writer(path, new_store_id="S", now_ms=1)
    assert writer.load().store_id == "S"
    writer.close()
    connection = apsw.Connection(str(path))
    assert connection.pragma("user_version") == len(good)
    assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'more'").get
    connection.close()


def test_a_full_disk_is_named_and_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    database = Database(path, BROKER)
    writer = SqliteWriter(database, new_store_id="S", now_ms=1)
    writer.commit([event(1)])
    database.limit_pages(60)
    with pytest.raises(StoreError, match=r"disk of .*broker.db is full.*make space") as error:
        writer.commit([event(2, 300_000)])
    assert error.value.code == "disk_full"
    with pytest.raises(LocalProtocolError, match="exit and reload"):
        writer.commit([event(2)])
    writer.close()
    writer = open_writer(path, new_store_id="S", now_ms=1)
    assert writer.load().last_position == 1
    writer.commit([event(2)])
    writer.close()


def test_a_checkpoint_copies_the_log_and_a_reader_delays_it(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "broker.db", new_store_id="S", now_ms=1)
    writer.commit([event(1)])
    writer.checkpoint()
    assert writer.log_bytes == 0
    reader = apsw.Connection(str(tmp_path / "broker.db"))
    cursor = reader.execute("SELECT * FROM meta, (SELECT 1 UNION SELECT 2)")
    next(cursor)
    writer.commit([event(2)])
    writer.checkpoint()
    assert writer.log_bytes > 0
    reader.close(True)
    writer.checkpoint()
    assert writer.log_bytes == 0
    writer.close()


CRASHER = """
import sys
from pathlib import Path
from doai.store.outbox import open_outbox
from doai.changes.outbox import AppendFact
outbox = open_outbox(Path(sys.argv[1]), new_incarnation="I")
seq = outbox.load().highest_seq
while True:
    outbox.commit([AppendFact(seq + 1, b"x" * 400, False), AppendFact(seq + 2, b"y" * 400, True)])
    seq += 2
    print(seq, flush=True)
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    acknowledged = 0
    for rounds in range(1, 4):
        process = subprocess.Popen([sys.executable, "-c", CRASHER, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        with process.stdout as lines:
            for _ in range(40 * rounds):
                acknowledged = int(lines.readline())
            process.kill()
            for line in lines:
                acknowledged = int(line)
        process.wait()
        outbox = open_outbox(path, new_incarnation="other")
        state = outbox.load()
        assert state.incarnation == "I"
        assert state.highest_seq >= acknowledged
        assert state.highest_seq % 2 == 0, "half a unit"
        assert len(outbox.read_facts(0, 100_000, 100_000_000)) == state.highest_seq
        outbox.close()


def test_a_store_of_the_first_version_is_migrated_and_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    connection = apsw.Connection(str(path))
    connection.execute(load_migrations(BROKER.folder)[0].script)
    connection.execute(f"PRAGMA application_id = {BROKER.application_id}; PRAGMA user_version = 1")
    connection.execute("INSERT INTO meta VALUES (1, 'first', 1, 0, 0)")
    connection.execute("INSERT INTO nodes VALUES ('n1', 'h', '0', 4, '[]', 1, 1, 1, 'online', '', 1)")
    connection.execute(
        "INSERT INTO devices VALUES ('d1', 'n1', 'online', '', 'fake', 'd1', 'm', 'm', 34, '14', 1, 2, '[]', 1, 1)"
    )
    connection.close()
    writer = open_writer(path, new_store_id="other", now_ms=5)
    loaded = writer.load()
    assert loaded.store_id == "first"
    assert [(row.serial, row.quarantine) for row in loaded.devices] == [("d1", None)]
    assert [(row.node_id, row.quarantine) for row in loaded.nodes] == [("n1", None)]
    writer.close()


def test_closing_twice_is_fine(tmp_path: Path) -> None:
    database = Database(tmp_path / "broker.db", BROKER)
    database.close()
    database.close()


def test_text_that_is_no_text_is_a_damaged_file_in_one_sentence(tmp_path: Path) -> None:
    database = Database(tmp_path / "broker.db", BROKER)
    with pytest.raises(StoreError, match="could not be read"):
        database.query("SELECT CAST(x'ff' AS TEXT)")
    database.close()
