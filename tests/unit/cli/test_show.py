"""Tables and times as a person reads them; what devices wrote is shown as it is."""

import pytest

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
