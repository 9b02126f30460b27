"""Shows a run while it goes on: a bar and a row a phone on a terminal, a line a change elsewhere (step 14)."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from doai.cli import show
from doai.cli.waiting import OPEN_STATES, Progress, Result

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_ROWS_SPARED: Final = 6
"""Lines of the terminal kept free for the bar, the heading and what was there before."""


class RunDisplay:
    """Progress on stderr, so that stdout stays for the result; silent when ``quiet``."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.live import Live

        self._console = show.console(to_stderr=True)
        self._quiet = quiet
        self._states: dict[str, str] = {}
        self._live = Live(console=self._console, refresh_per_second=8, transient=True, auto_refresh=False)
        self._is_live = not quiet and self._console.is_terminal

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_live:
            self._live.__exit__(kind, error, trace)

    def show(self, seen: Progress) -> None:
        """Show how the run stands."""
        if self._is_live:
            self._live.update(picture(seen, self._console.height), refresh=True)
        elif not self._quiet:
            self._print_changes(seen)

    def _print_changes(self, seen: Progress) -> None:
        for task in seen.tasks:
            if task["state"] != self._states.get(task["taskId"]) and task["state"] not in OPEN_STATES:
                self._console.print(f"{seen.ended}/{len(seen.tasks)} {device(task)} {task['state']}", markup=False)
            self._states[task["taskId"]] = task["state"]


def picture(seen: Progress, height: int) -> Table:
    """Return a bar and a row a phone, as many as a terminal of so many lines has room for."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    whole = Table.grid(padding=(0, 1))
    total = len(seen.tasks)
    bar = Table.grid(padding=(0, 1))
    states = show.counts(seen.run.get("counts", {}))
    left = show.left(seen.run.get("leftS"))
    told = f"{states}; {left} left" if left else states
    bar.add_row(ProgressBar(total=max(total, 1), completed=seen.ended, width=40), f"{seen.ended}/{total}", told)
    whole.add_row(bar)
    rows = Table(box=None, pad_edge=False)
    for heading in ("device", "state", "since"):
        rows.add_column(heading)
    # Running ones first: with more phones than lines, those are what a person looks for.
    room = max(height - _ROWS_SPARED, 3)
    ordered = sorted(seen.tasks, key=lambda task: (_rank(task["state"]), device(task)))
    for task in ordered[:room]:
        since = task.get("endedAtMs") or task.get("startedAtMs") or task.get("dispatchedAtMs")
        rows.add_row(device(task), Text(task["state"], style=show.colour(task["state"])), show.recently(since))
    whole.add_row(rows)
    if len(ordered) > room:
        whole.add_row(f"... and {len(ordered) - room} more")
    return whole


def _rank(state: str) -> int:
    return {"running": 0, "dispatched": 1}.get(state, 2 if state in OPEN_STATES else 3)


def device(task: dict[str, Any]) -> str:
    """Return what a task runs on, also while no device is bound."""
    return task.get("deviceSerial") or "(any that matches)"


def print_result(result: Result, *, out: Console | None = None) -> None:
    """Print the table at the end of a run: device, outcome, duration, where its screenshot is."""
    rows = []
    for task in sorted(result.tasks, key=device):
        took = show.between(task.get("startedAtMs"), task.get("endedAtMs"))
        files = [artifact["path"] for artifact in result.artifacts.get(task["taskId"], [])]
        failure = task.get("failure") or {}
        why = failure.get("message") if task["state"] != "passed" else ""
        rows.append((device(task), task["state"], show.duration(took), files[0] if files else "", why))
    headings = ("device", "outcome", "duration", "screenshot", "why")
    show.print_table(headings, rows, empty="The run has no tasks.", out=out)
    for path in result.missing:
        show.console(to_stderr=True).print(f"not stored in time: {path}", markup=False, style="yellow")
