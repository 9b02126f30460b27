"""Plays as the stored tasks tell them, read beside the store's writer (step 14)."""

from __future__ import annotations

from typing import Final

import msgspec

from doai.changes.plays import PLAY_WORKFLOW, Measured, Played, PlayFilter, PlayRow
from doai.errors import Failure
from doai.ids import make_id
from doai.states import TaskState
from doai.store.columns import Columns
from doai.store.read_connections import ReadConnections
from doai.store.views import Page

_decode_measured: Final = msgspec.json.Decoder(Measured).decode
_decode_played: Final = msgspec.json.Decoder(Played).decode
_decode_failure: Final = msgspec.json.Decoder(Failure).decode
_LAST: Final = "~"
"""Sorts after every id."""


class PlayReader:
    """Answers questions about plays; a part of the StoreReader."""

    def __init__(self, connections: ReadConnections, sql: dict[str, str]) -> None:
        self._connections = connections
        self._sql = sql

    async def plays(
        self, wanted: PlayFilter, *, since_ms: int = 0, cursor: str | None = None, limit: int = 50
    ) -> Page[PlayRow]:
        """Return plays that have ended, of runs made since a time, the newest first."""
        run_id, _, task_id = (cursor or f"{_LAST}/{_LAST}").partition("/")
        bindings = msgspec.structs.asdict(wanted) | {
            "workflow": PLAY_WORKFLOW,
            "since_id": make_id(since_ms, 0),
            "before_run": run_id,
            "before_task": task_id,
            "limit": limit + 1,
        }
        [answer] = await self._connections.ask((self._sql["plays"], bindings))
        rows = [play_row(c) for c in answer]
        if len(rows) <= limit:
            return Page(rows, None)
        last = rows[limit - 1]
        return Page(rows[:limit], f"{last.run_id}/{last.task_id}")


def play_row(c: Columns) -> PlayRow:
    """Return a play from the columns of the question ``plays``."""
    task_id, run_id, serial, state, ended_at_ms, reason, failure, outputs_body, params_body, model, screenshot = c
    measured = _measured(outputs_body) if outputs_body else Measured()
    passed = state == TaskState.PASSED.value
    said = _decode_failure(failure).message if failure else reason
    return PlayRow(
        task_id=task_id,
        run_id=run_id,
        device_serial=serial or "",
        model=model or "",
        state=TaskState(state),
        ended_at_ms=ended_at_ms,
        wish=_played(params_body),
        measured=measured,
        failure="" if passed else measured.problem or said,
        screenshot=screenshot or "",
    )


def _measured(body: bytes) -> Measured:
    try:
        return _decode_measured(body)
    except msgspec.ValidationError:
        return Measured()  # Somebody stored another recipe under this name.


def _played(body: bytes) -> Played:
    try:
        return _decode_played(body)
    except msgspec.ValidationError:
        return Played()
