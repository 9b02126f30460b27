"""How results look: tables for people, JSON for programs (all steps)."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from doai import moments

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_COLOURS: Final = {
    "passed": "green",
    "online": "green",
    "running": "cyan",
    "dispatched": "cyan",
    "failed": "red",
    "offline": "red",
    "unknown": "magenta",
    "unproven": "magenta",
    "late": "yellow",
    "paused": "yellow",
    "draining": "yellow",
    "degraded": "yellow",
    "cancelling": "yellow",
    "unauthorized": "yellow",
    "unresponsive": "yellow",
    "expired": "yellow",
}


PIPE_WIDTH: Final = 10_000
"""Columns where there is no terminal: more than any line has."""


def console(*, to_stderr: bool = False) -> Console:
    """Return a rich console; without end when the output is no terminal, so that a pipe gets whole lines."""
    from rich.console import Console  # here, because `doai --help` must not wait for it

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise  # it is called where the error is caught, and `main` knows what it means

    stream = sys.stderr if to_stderr else sys.stdout
    return Plain(file=stream, highlight=False, width=None if stream.isatty() else PIPE_WIDTH)


def print_json(value: object) -> None:
    """Print one JSON document and nothing else."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str, out: Console | None = None
) -> None:
    """Print rows under headings, states in colour; ``empty`` is the sentence when there are none.

    A column in which nothing is said is left out, but for the first. A last column *why* that has no room beside
    the others is printed below, one line a row.
    """
    found = [[text(cell) for cell in row] for row in rows]
    out = out or console()
    if not found:
        out.print(empty, markup=False)
        return
    kept = [n for n in range(len(columns)) if n == 0 or any(row[n] != text(None) for row in found)]
    columns, found = [columns[n] for n in kept], [[row[n] for n in kept] for row in found]
    widths = [max(len(column), *(len(row[n]) for row in found)) for n, column in enumerate(columns)]
    below = columns[-1] == WHY and sum(widths) + 2 * len(widths) > out.width
    shown = len(columns) - below
    out.print(_table(columns[:shown], [row[:shown] for row in found]))
    for row in found if below else []:
        if row[-1] != text(None):
            out.print(f"{row[0]}: {row[-1]}", markup=False)


WHY: Final = "why"
"""Heading of a column of sentences."""


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for n, column in enumerate(columns):
        # What the first column names is copied into the next command: in one piece.
        table.add_column(column, overflow="fold", no_wrap=n == 0)
    for row in rows:
        # Text, not markup: what a device or a person wrote is shown as it is.
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    return table


def print_fields(fields: Mapping[str, object], indent: str = "") -> None:
    """Print names and values as a person reads them, one a line; what is in a value, indented below its name."""
    names = {name: _words(name) for name in fields}
    width = max(map(len, names.values()), default=0)
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            print(f"{indent}{names[name]}")
            print_fields(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, item in enumerate(value, 1):
                print(f"{indent}{names[name]} {number}")
                print_fields(item, indent + "  ")
        else:
            print(f"{indent}{names[name]:<{width}}  {_field(name, value)}")


_UNIT: Final = re.compile(r"(Ms|S)$")
_WORD_END: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def _words(name: str) -> str:
    return _WORD_END.sub(" ", _UNIT.sub("", name)).lower() or name


def _field(name: str, value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if name.lower().endswith("atms"):
            return when(int(value))
        if name.endswith("S"):
            return duration(float(value))
    return text(value)


def moment(utc: str) -> str:
    """Return a time of an event (ISO 8601, UTC) as local date and time, to the millisecond."""
    return datetime.fromisoformat(utc).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def many(count: int, noun: str) -> str:
    """Return ``1 task``, ``3 tasks``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def text(value: object) -> str:
    """Return a cell as text: nothing as a dash, lists joined."""
    if value is None or value == "":
        return "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value)) or "-"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False) if value else "-"
    return str(value)


def when(utc_ms: int | None) -> str:
    """Return a time as the local date and time, to the second."""
    if utc_ms is None:
        return "-"
    return datetime.fromtimestamp(utc_ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def recently(utc_ms: int | None) -> str:
    """Return a time of today as the local time, any other as `when` does: for tables, where room is short."""
    shown = when(utc_ms)
    return shown.removeprefix(datetime.now().astimezone().strftime("%Y-%m-%d "))


def duration(seconds: float | None) -> str:
    """Return a duration as a person says it: ``0.8 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    return "-" if seconds is None else moments.duration(seconds * 1000)


def left(seconds: float | None) -> str | None:
    """Return a guess of a time to come, no finer than it is: ``about 12 min``; None for none."""
    if seconds is None:
        return None
    if seconds < 90:
        return f"about {max(10, round(seconds / 10) * 10)} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def between(begin_ms: int | None, end_ms: int | None) -> float | None:
    """Return the seconds between two times, None while one is open."""
    return None if begin_ms is None or end_ms is None else (end_ms - begin_ms) / 1000


def counts(by_state: Mapping[str, Any]) -> str:
    """Return counts by state as ``18 passed, 2 failed``, largest first."""
    found = sorted(((n, state) for state, n in by_state.items() if n), reverse=True)
    return ", ".join(f"{n} {state}" for n, state in found)


def colour(state: str) -> str:
    """Return the colour in which a state is shown; empty = the terminal's own."""
    return _COLOURS.get(state, "")


def print_nowhere() -> None:
    """Throw away what is printed from now on: whoever read it has seen enough (`| head`)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_error(program: str, error: Exception) -> None:
    """Print an error's sentence on stderr, and below it what it lists but what the sentence has already."""
    print(f"{program}: {error}", file=sys.stderr)
    details: list[str] = getattr(error, "details", [])
    for detail in details if not all(detail in str(error) for detail in details) else []:
        print(f"  {detail}", file=sys.stderr)
