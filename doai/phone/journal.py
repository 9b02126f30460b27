"""The journal of every command a phone was given, so that tests can prove what ran (way of a task: 9)."""

import os
import re
from collections import deque
from pathlib import Path

import msgspec

ENTRIES_MAX = 10_000
"""Entries a phone keeps in memory: ten thousand tasks on a hundred phones, a hundred commands each."""
FILE_NAME = "journal.jsonl"
"""The shelf's file in the journal folder; one line an entry, all phones in one file."""

_STEP = re.compile(r"^DOAI_STEP=(?P<quote>['\"]?)(?P<tag>[^;'\"\s]+)(?P=quote)\s*;\s*")


class StepTag(msgspec.Struct, frozen=True, rename={"try_number": "try"}):
    """Which step a command belongs to, as its driver tagged it."""

    task_id: str
    token: str
    step_id: str
    try_number: str


class JournalEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One service that was opened on a phone.

    `command` is the service's argument without the step tag; `note` names what it does (programs, sync
    requests); `executed` is false when a fault kept it from running; `fault` names the fault that struck.
    """

    serial: str
    number: int
    monotonic_s: float
    wall_ms: int
    connection: int
    service: str
    command: str
    note: str
    step: StepTag | None = None
    executed: bool = True
    fault: str | None = None


def split_step(command: str) -> tuple[StepTag | None, str]:
    """Splits the leading `DOAI_STEP=<task_id>/<token>/<step_id>/<try>;` off a command line.

    The step id may itself hold slashes (a step of a called workflow). No tag, or a malformed one: (None, command).
    """
    found = _STEP.match(command)
    if found is None:
        return None, command
    parts = found["tag"].split("/")
    if len(parts) < 4:
        return None, command
    tag = StepTag(parts[0], parts[1], "/".join(parts[2:-1]), parts[-1])
    return tag, command[found.end() :]


class JournalFile:
    """The shelf's journal on disk: appended, one write a line, so that a killed process loses no line."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE_NAME
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def append(self, entry: JournalEntry) -> None:
        """Writes one line; it is with the kernel when this returns."""
        os.write(self._fd, msgspec.json.encode(entry) + b"\n")

    def close(self) -> None:
        """Closes the file."""
        os.close(self._fd)


class Journal:
    """One phone's entries: the last ENTRIES_MAX in memory, all of them in the shelf's file if there is one."""

    def __init__(self, serial: str, file: JournalFile | None) -> None:
        self.serial = serial
        self._file = file
        self._entries: deque[JournalEntry] = deque(maxlen=ENTRIES_MAX)
        self._count = 0

    def add(
        self,
        *,
        monotonic_s: float,
        wall_ms: int,
        connection: int,
        service: str,
        command: str,
        note: str,
        executed: bool = True,
        fault: str | None = None,
    ) -> JournalEntry:
        """Writes an entry; the step tag is split off the command here."""
        step, rest = split_step(command)
        self._count += 1
        entry = JournalEntry(
            self.serial, self._count, monotonic_s, wall_ms, connection, service, rest, note, step, executed, fault
        )
        self._entries.append(entry)
        if self._file is not None:
            self._file.append(entry)
        return entry

    def entries(self) -> list[JournalEntry]:
        """What is in memory, oldest first."""
        return list(self._entries)


def read_journal(path: Path) -> list[JournalEntry]:
    """All entries of a journal file; a last line cut by a crash of the machine is left out."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [msgspec.json.decode(line, type=JournalEntry) for line in lines]
