"""Tables and times as a person reads them; what devices wrote is shown as it is."""

import io
import time

import pytest
from rich.console import Console

from doai.cli import show


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (0.84, "0.8 s"),
        (12.4, "12 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
        (3599.7, "1 h 00 min"),
    ],
)
def test_durations(seconds: float | None, shown: str) -> None:
    assert show.duration(seconds) == shown


def test_counts_are_largest_first_and_leave_out_zeros() -> None:
    assert show.counts({"failed": 2, "passed": 18, "queued": 0}) == "18 passed, 2 failed"


def test_markup_in_a_cell_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    show.print_table(("device", "why"), [("[red]x[/red]", None), ("y", ["a", "b"])], empty="none")
    out = capsys.readouterr().out
    assert "[red]x[/red]" in out
    assert "a, b" in out
    show.print_table(("device",), [], empty="No devices.")
    assert "No devices." in capsys.readouterr().out


def test_a_column_that_says_nothing_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    show.print_table(("device", "tags", "state"), [("A", None, "online"), ("B", [], "offline")], empty="none")
    assert capsys.readouterr().out.split() == ["device", "state", "A", "online", "B", "offline"]


def test_sentences_without_room_come_below_the_table() -> None:
    out = Console(file=io.StringIO(), width=40)
    rows = [("A", "failed", "device A is gone: plug it in again"), ("B", "passed", "")]
    show.print_table(("device", "state", "why"), rows, empty="none", out=out)
    lines = [line.rstrip() for line in out.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert lines[:3] == ["device  state", "A       failed", "B       passed"]
    assert " ".join(lines[3:]) == "A: device A is gone: plug it in again"


def test_fields_are_words_local_times_and_durations(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Seoul")
    time.tzset()
    try:
        show.print_fields(
            {
                "runId": "R1",
                "createdAtMs": 0,
                "timeoutS": 720.0,
                "counts": {"passed": 3},
                "params": {},
                "attempts": [{"attempt": 1, "startedAtMs": None}],
            }
        )
        assert show.moment("1970-01-01T00:00:00.250Z") == "1970-01-01 09:00:00.250"
    finally:
        monkeypatch.undo()
        time.tzset()
    out = capsys.readouterr().out
    assert "run id      R1\n" in out
    assert "created at  1970-01-01 09:00:00\n" in out
    assert "timeout     12 min 00 s\n" in out
    assert "counts\n  passed  3\n" in out
    assert "params      -\n" in out
    assert "attempts 1\n  attempt     1\n  started at  -\n" in out


def test_one_and_many() -> None:
    assert [show.many(count, "task") for count in (0, 1, 2)] == ["0 tasks", "1 task", "2 tasks"]
