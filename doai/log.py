"""Log lines: JSON for machines, a short form on a terminal, both with the ids of what they are about (all steps).

Under systemd each JSON line begins with its severity, ``<6>``, as in sd-daemon(3): `journalctl -p warning` works.

Everything logs through the standard library's ``logging``; the ids travel in ``extra={"run_id": ...}``. Known
ids come first and in this order, so that lines can be grepped by eye.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import msgspec

IDS: Final = ("run_id", "node_id", "device_serial", "task_id", "trace_id")
"""Ids every line carries where they apply."""

_SEVERITIES: Final = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))
"""syslog(3): error, warning, informational, debug."""

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a record carries besides the standard fields, known ids first, empty ones left out."""
    found = {key: value for key, value in vars(record).items() if key not in _STANDARD and value not in (None, "")}
    ordered = {key: found.pop(key) for key in IDS if key in found}
    return ordered | dict(sorted(found.items()))


def as_text(said: str) -> str:
    r"""Return what UTF-8 takes: bytes of a file's name that are no text are half surrogate pairs, ``\udce9``."""
    return said.encode(errors="backslashreplace").decode()


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, program, logger, message, ids, exception."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program
        self._encode = msgspec.json.Encoder(enc_hook=str, decimal_format="number").encode

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "program": self._program,
            "logger": record.name,
            "message": record.getMessage(),
            **extras(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return self._encode(line).decode()
        except UnicodeEncodeError:
            plain = {key: as_text(str(value)) for key, value in line.items() if not isinstance(value, int | float)}
            return self._encode(line | plain).decode()


class JournalFormatter(JsonFormatter):
    """The same after the severity, which systemd takes off the line; one that takes it not leaves it to be read."""

    def format(self, record: logging.LogRecord) -> str:
        level = next(number for least, number in _SEVERITIES if record.levelno >= least)
        return f"<{level}>{super().format(record)}"


class TerminalFormatter(logging.Formatter):
    """``12:00:03 [run_id=... node_id=...] Task started``; the level only when it is a warning or worse."""

    def format(self, record: logging.LogRecord) -> str:
        ids = " ".join(f"{key}={value}" for key, value in extras(record).items())
        time = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        level = f"{record.levelname} " if record.levelno >= logging.WARNING else ""
        text = f"{time} {level}[{ids}] {record.getMessage()}" if ids else f"{time} {level}{record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def set_up(program: str, *, level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """Send the program's log lines to a stream (stderr).

    ``form``: ``json``, ``terminal``, ``journal``, or ``auto`` = what the stream is. Called once, by a program's
    entry point; libraries' loggers speak from WARNING up.
    """
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(_formatter(program, form, target))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("doai").setLevel(level.upper())


def _formatter(program: str, form: str, stream: TextIO) -> logging.Formatter:
    if form == "terminal" or (form == "auto" and stream.isatty()):
        return TerminalFormatter()
    if form == "journal" or (form == "auto" and is_journal(stream, os.environ.get("JOURNAL_STREAM", ""))):
        return JournalFormatter(program)
    return JsonFormatter(program)


def is_journal(stream: TextIO, journal_stream: str) -> bool:
    """Whether a stream goes to the journal: JOURNAL_STREAM of systemd.exec(5) is its device and inode."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return journal_stream == f"{status.st_dev}:{status.st_ino}"
