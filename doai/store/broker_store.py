"""Opens the broker's store with the writer that the configuration names (step 3)."""

from __future__ import annotations

from pathlib import Path

from doai.changes.ops import Op, Snapshot
from doai.store.base import Writer
from doai.store.committer import WriterMode
from doai.store.process_writer import open_process_writer
from doai.store.sqlite_writer import open_writer


def open_broker_store(path: Path, mode: WriterMode, *, new_store_id: str, now_ms: int) -> Writer[Op, Snapshot]:
    """Open or create the store; meaning and errors are those of `open_writer`. Blocks, so call it before the loop.

    Give the same ``mode`` to the `Committer` that uses it.
    """
    opener = open_process_writer if mode is WriterMode.PROCESS else open_writer
    return opener(path, new_store_id=new_store_id, now_ms=now_ms)
