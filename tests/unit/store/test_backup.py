"""A backup is whole, made beside the load, and restored as a new life of the store."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import apsw
import pytest

from doai.changes import ops
from doai.changes.rows import ArtifactRow
from doai.errors import StoreError, StoreUnavailable
from doai.store.backup import (
    ARTIFACTS_FILE,
    MANIFEST_FILE,
    STORE_FILE,
    BadBackup,
    Manifest,
    check_backup,
    list_backups,
    make_backup,
    remove_oldest,
)
from doai.store.restore import Restored, restore_store
from doai.store.sqlite_writer import SqliteWriter, open_writer
from tests.conformance.store_ops import make_envelope

PATH = "video/n1/A1/01KAJD8B00R0N0000000000001/20251121T080000.123Z-shot.png"


def event(position: int, size: int = 1) -> ops.AppendEvent:
    return ops.AppendEvent(position, make_envelope("e" * size, "task/t1", "task.queued"), 7)


def artifact() -> ops.InsertArtifact:
    return ops.InsertArtifact(
        ArtifactRow(
            path=PATH,
            sha256="a" * 64,
            size_bytes=3,
            media_type="image/png",
            node_id="n1",
            device_serial="A1",
            run_id="r",
            task_id="t",
            step_id="s",
            stored_at_ms=1,
        )
    )


class Place:
    """A broker's data folder with a store that is open, and a folder for backups."""

    def __init__(self, root: Path) -> None:
        self.data = root / "data"
        (self.data / "keys").mkdir(parents=True)
        (self.data / "keys" / "broker.key").write_text("private")
        self.backups = root / "backups"
        self.writer: SqliteWriter = open_writer(self.data / STORE_FILE, new_store_id="S", now_ms=1)

    def backup(self, now_ms: int = 1_000) -> tuple[Path, Manifest]:
        return make_backup(
            self.data / STORE_FILE, self.data / "keys", self.backups, doai_version="1", now_ms=now_ms
        )

    def restore(
        self, backup: Path, to: Path | None = None, *, now_ms: int = 5_000_000, store_id: str = "N"
    ) -> Restored:
        target = to or self.data
        return restore_store(backup, target, target / "artifacts", new_store_id=store_id, now_ms=now_ms)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_backup_beside_commits_is_one_moment_of_the_store(place: Place) -> None:
    place.writer.commit([event(n, 4_000) for n in range(1, 601)])
    last = 600

    def commit_meanwhile(_: float) -> None:
        nonlocal last
        last += 1
        place.writer.commit([event(last)])

    folder, manifest = make_backup(
        place.data / STORE_FILE,
        place.data / "keys",
        place.backups,
        doai_version="1",
        now_ms=9,
        pause=commit_meanwhile,
    )
    assert last > 602, "there were slices, and commits between them"
    assert manifest.last_position == 600
    assert check_backup(folder) == manifest
    place.writer.close()
    copy = open_writer(folder / STORE_FILE, new_store_id="other", now_ms=1)
    snapshot = copy.load()
    copy.close()
    assert (snapshot.store_id, snapshot.last_position) == ("S", 600)


def test_a_backup_is_private_and_lists_keys_and_artifacts(place: Place) -> None:
    place.writer.commit([artifact(), event(1)])
    folder, manifest = place.backup()
    place.writer.close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    assert modes.pop(ARTIFACTS_FILE) & 0o022 == 0
    assert modes == dict.fromkeys([STORE_FILE, MANIFEST_FILE, "broker.key"], 0o600)
    assert manifest.keys == ["broker.key"]
    lines = [json.loads(line) for line in (folder / ARTIFACTS_FILE).read_text().splitlines()]
    assert lines == [{"path": PATH, "sha256": "a" * 64, "sizeBytes": 3}]
    assert (manifest.artifacts, manifest.store_id, manifest.generation) == (1, "S", 1)


def test_a_damaged_backup_is_told_and_not_restored(place: Place) -> None:
    place.writer.commit([event(1)])
    folder, _ = place.backup()
    place.writer.close()
    before = (place.data / STORE_FILE).read_bytes()
    body = bytearray((folder / STORE_FILE).read_bytes())
    body[5000] ^= 1
    (folder / STORE_FILE).write_bytes(body)
    with pytest.raises(BadBackup, match="is not the file that was backed up"):
        place.restore(folder)
    (folder / STORE_FILE).unlink()
    with pytest.raises(BadBackup, match="can not be read"):
        check_backup(folder)
    (folder / MANIFEST_FILE).write_text("{")
    with pytest.raises(BadBackup, match="can not be understood"):
        check_backup(folder)
    with pytest.raises(BadBackup, match="is no backup"):
        check_backup(place.data)
    assert (place.data / STORE_FILE).read_bytes() == before


def test_a_damaged_store_is_found_when_it_is_backed_up(place: Place) -> None:
    place.writer.commit([event(n, 4_000) for n in range(1, 50)])
    place.writer.close()
    body = bytearray((place.data / STORE_FILE).read_bytes())
    body[-9_000:-5_000] = b"\xff" * 4_000
    (place.data / STORE_FILE).write_bytes(body)
    with pytest.raises(BadBackup, match=r"damaged|can not be opened"):
        place.backup()
    assert list(place.backups.iterdir()) == []


def test_a_backup_that_can_not_be_written_leaves_nothing(place: Place) -> None:
    place.backups.write_text("a file in the way")
    with pytest.raises(StoreError, match="could not be made"):
        place.backup()
    place.writer.close()


def test_a_newer_backup_is_refused(place: Place) -> None:
    folder, _ = place.backup()
    place.writer.close()
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest | {"schemaVersion": 999}))
    with pytest.raises(BadBackup, match="schema version 999"):
        check_backup(folder)


def test_the_newest_backups_stay(place: Place) -> None:
    made = [place.backup(now_ms)[0] for now_ms in (1_000, 2_000, 3_000)]
    place.writer.close()
    (place.backups / ".half.part").mkdir()
    assert remove_oldest(place.backups, 2) == made[:1]
    assert [folder for folder, _ in list_backups(place.backups)] == made[1:]
    assert sorted(place.backups.iterdir()) == made[1:]


def test_a_restored_store_is_a_new_life_with_higher_tokens(place: Place) -> None:
    place.writer.commit([event(1)])
    folder, _ = place.backup()
    place.writer.commit([event(2)])
    place.writer.close()
    done = place.restore(folder)
    assert (done.store_id, done.generation, done.keys_added, done.keys_kept) == ("N", 2, [], [])
    writer = open_writer(place.data / STORE_FILE, new_store_id="x", now_ms=1)
    snapshot = writer.load()
    writer.close()
    assert (snapshot.store_id, snapshot.generation, snapshot.last_position) == ("N", 2, 1)
    kept = open_writer(Path(done.replaced), new_store_id="x", now_ms=1)
    assert kept.load().last_position == 2
    kept.close()
    # The same backup again: what the restored store gave out must not come a second time.
    assert place.restore(folder, now_ms=6_000_000).generation == 3


def test_without_the_store_that_is_replaced_the_generation_is_above_every_count(
    place: Place, tmp_path: Path
) -> None:
    folder, _ = place.backup()
    place.writer.close()
    elsewhere = tmp_path / "new machine"
    done = place.restore(folder, elsewhere, now_ms=1_795_000_000_000)
    assert (done.replaced, done.generation, done.keys_added) == ("", 1_795_000_001, ["broker.key"])
    assert (elsewhere / "keys" / "broker.key").read_text() == "private"
    (elsewhere / STORE_FILE).write_bytes(b"damaged" * 1000)
    assert place.restore(folder, elsewhere, now_ms=1_795_000_009_000).generation == 1_795_000_010


def test_a_store_in_use_is_not_replaced(place: Place) -> None:
    folder, _ = place.backup()
    with pytest.raises(StoreUnavailable, match="is in use by process"):
        place.restore(folder)
    place.writer.close()


def test_other_keys_stay_and_missing_artifacts_are_named(place: Place) -> None:
    place.writer.commit([artifact()])
    folder, _ = place.backup()
    place.writer.close()
    (place.data / "keys" / "broker.key").write_text("another")
    done = place.restore(folder)
    assert (done.keys_added, done.keys_kept, done.artifacts_missing) == ([], ["broker.key"], [PATH])
    file = place.data / "artifacts" / PATH
    file.parent.mkdir(parents=True)
    file.write_bytes(b"png")
    assert place.restore(folder, now_ms=7_000_000).artifacts_missing == []


def test_a_restored_store_is_checked_by_sqlite(place: Place) -> None:
    place.writer.commit([event(n) for n in range(1, 20)])
    folder, _ = place.backup()
    place.writer.close()
    place.restore(folder)
    connection = apsw.Connection(str(place.data / STORE_FILE))
    assert connection.execute("PRAGMA integrity_check").get == "ok"
    connection.close()
