"""The writer in a process of its own: same answers, its death is told, it ends with its owner."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doai.changes import ops
from doai.codec import encode
from doai.errors import LocalProtocolError, StoreError, StoreUnavailable
from doai.store.database import BROKER, Database
from doai.store.process_writer import open_process_writer
from doai.store.sqlite_writer import open_writer
from tests.conformance.store_ops import make_envelope


def event(position: int) -> ops.AppendEvent:
    return ops.AppendEvent(position, make_envelope(f"e{position}", "task/t1", "task.queued"), 7)


def test_it_answers_as_the_writer_in_this_process_does(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    writer = open_process_writer(path, new_store_id="S", now_ms=1)
    try:
        writer.commit([event(1), ops.ReserveTokens(5)])
        assert writer.log_bytes > 0
        writer.checkpoint()
        assert writer.log_bytes == 0
        snapshot = writer.load()
        assert (snapshot.last_position, snapshot.token_reserved) == (1, 5)
        with pytest.raises(StoreUnavailable, match=f"in use by process {writer.pid}"):
            open_writer(path, new_store_id="S", now_ms=1)
    finally:
        writer.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("opener", [open_writer, open_process_writer])
def test_an_event_is_kept_as_it_came(tmp_path: Path, opener: Callable[..., Any]) -> None:
    own, told = event(1), encode(["e2", "as only a later version says it"])
    writer = opener(tmp_path / "broker.db", new_store_id="S", now_ms=1)
    try:
        writer.commit([own, msgspec.structs.replace(event(2), body=told)])
    finally:
        writer.close()
    database = Database(tmp_path / "broker.db", BROKER)
    try:
        rows = database.query("SELECT envelope FROM events ORDER BY position")
    finally:
        database.close()
    assert rows == [(encode(own.envelope),), (told,)]


def test_a_refused_commit_is_told_with_its_words(tmp_path: Path) -> None:
    writer = open_process_writer(tmp_path / "broker.db", new_store_id="S", now_ms=1)
    try:
        with pytest.raises(StoreError, match="position 7, the next one is 1"):
            writer.commit([event(7)])
        with pytest.raises(LocalProtocolError, match="exit and reload"):
            writer.commit([event(1)])
    finally:
        writer.close()


def test_a_second_process_is_refused_in_one_sentence(tmp_path: Path) -> None:
    first = open_process_writer(tmp_path / "broker.db", new_store_id="S", now_ms=1)
    try:
        with pytest.raises(StoreUnavailable, match=f"in use by process {first.pid}"):
            open_process_writer(tmp_path / "broker.db", new_store_id="S", now_ms=1)
    finally:
        first.close()


def test_the_death_of_the_process_is_an_unknown_outcome(tmp_path: Path) -> None:
    writer = open_process_writer(tmp_path / "broker.db", new_store_id="S", now_ms=1)
    try:
        writer.commit([event(1)])
        os.kill(writer.pid, signal.SIGTERM)  # meant for the whole group: the broker decides
        writer.commit([event(2)])
        os.kill(writer.pid, signal.SIGKILL)
        with pytest.raises(StoreError, match=f"process {writer.pid} .* start again"):
            writer.commit([event(3)])
    finally:
        writer.close()
    again = open_process_writer(tmp_path / "broker.db", new_store_id="S", now_ms=1)
    try:
        assert again.load().last_position == 2
    finally:
        again.close()


OWNER = """
import sys
from pathlib import Path
from doai.changes.ops import ReserveTokens
from doai.store.process_writer import open_process_writer
writer = open_process_writer(Path(sys.argv[1]), new_store_id="S", now_ms=1)
n = 0
while True:
    n += 1
    writer.commit([ReserveTokens(n)])
    print(n, flush=True)
"""


def test_the_process_ends_with_its_owner_and_the_next_start_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(path)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout as lines:
        acknowledged = [int(lines.readline()) for _ in range(50)]
        owner.kill()
        acknowledged += [int(line) for line in lines]
    owner.wait()
    # The writer of before may still be ending; a start waits for it a moment.
    writer = open_process_writer(path, new_store_id="other", now_ms=2)
    try:
        snapshot = writer.load()
        assert snapshot.store_id == "S"
        assert snapshot.token_reserved >= acknowledged[-1]
    finally:
        writer.close()
