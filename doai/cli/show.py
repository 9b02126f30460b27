"""How results look: tables for people, JSON for programs (all steps)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console

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
    "cancelling": "yellow",
    "unauthorized": "yellow",
    "unresponsive": "yellow",
    "expired": "yellow",
}


def console(*, to_stderr: bool = False) -> Console:
    """Return a rich console; wide when the output is no terminal, so that nothing is cut off in a pipe."""
    from rich.console import Console  # here, because `doai --help` must not wait for it

    stream = sys.stderr if to_stderr else sys.stdout
    return Console(file=stream, highlight=False, width=None if stream.isatty() else 200)


def print_json(value: object) -> None:
    """Print one JSON document and nothing else."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print rows under headings, states in colour; ``empty`` is the sentence when there are none."""
    from rich.table import Table
    from rich.text import Text

    found = list(rows)
    out = console()
    if not found:
        out.print(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in found:
        # Text, not markup: what a device or a person wrote is shown as it is.
        table.add_row(*(Text(words := text(cell), style=_COLOURS.get(words, "")) for cell in row))
    out.print(table)


def print_fields(fields: Mapping[str, object]) -> None:
    """Print names and values, one a line."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        print(f"{name:<{width}}  {text(value)}")


def text(value: object) -> str:
    """Return a cell as text: nothing as a dash, lists joined."""
    if value is None or value == "":
        return "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value)) or "-"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def when(utc_ms: int | None) -> str:
    """Return a time as the local date and time, to the second."""
    if utc_ms is None:
        return "-"
    return datetime.fromtimestamp(utc_ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float | None) -> str:
    """Return a duration as a person says it: ``0.8 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


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
