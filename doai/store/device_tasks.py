"""Which tasks ended on each device, written by the thousand (step 13)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import apsw

from doai.changes.rows import TaskStatusRow

FILED_TOGETHER: Final = 2_000
"""Tasks that are filed at once. Each device has pages of its own, which one commit then writes for many tasks.
A list of a device's tasks looks through those that are not filed."""


class DeviceTasks:
    """Keeps `device_tasks` and `ended_lately` within the transaction of the writer.

    A task is in one of them from the commit in which it ended until it is removed.
    """

    def __init__(self, sql: dict[str, str], unfiled: int) -> None:
        """``unfiled``: how many `ended_lately` has."""
        self._sql = sql
        self._unfiled = unfiled

    def written(self, connection: apsw.Connection, tasks: Iterable[tuple[str, TaskStatusRow]]) -> None:
        """Take those of these tasks that ended on a device."""
        ended = [
            (status.device_serial, task_id)
            for task_id, status in tasks
            if status.ended_at_ms is not None and status.device_serial is not None
        ]
        connection.executemany(self._sql["add_ended"], ended)
        self._unfiled += len(ended)
        if self._unfiled >= FILED_TOGETHER:
            self.file(connection)

    def file(self, connection: apsw.Connection) -> None:
        """File all that ended lately."""
        if self._unfiled:
            connection.execute(self._sql["file_ended"])
            connection.execute(self._sql["drop_ended"])
            self._unfiled = 0

    def remove(self, connection: apsw.Connection, device_serial: str, task_id: str) -> None:
        """Forget a task that is filed."""
        connection.execute(self._sql["unfile_task"], (device_serial, task_id))
