"""CSV: a row a task or a step; no cell is a formula, every text comes back."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from doai.report.results import Failure
from doai.report.table import STEP_COLUMNS, TASK_COLUMNS, table
from tests.unit.report.sample import MIXED, results, task


def read(data: bytes) -> list[dict[str, str]]:
    assert data.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_a_row_a_task() -> None:
    rows = read(table(MIXED))
    assert tuple(rows[0]) == TASK_COLUMNS
    assert [row["outcome"] for row in rows] == ["passed", "failed", "cancelled", "failed", "expired"]
    assert (rows[1]["error_class"], rows[1]["step"], rows[1]["duration_s"]) == ("app", "see", "2.5")
    assert rows[0]["started_at"] == "2025-11-21T08:00:01.000+00:00"
    assert rows[2]["message"] == "enough"
    assert rows[0]["artifacts"].endswith("/shot.png")


def test_a_row_a_try_of_a_step() -> None:
    rows = read(table(MIXED, by_step=True))
    assert tuple(rows[0]) == STEP_COLUMNS
    assert len(rows) == len(MIXED.steps)
    assert [(row["step"], row["try"], row["retried"]) for row in rows[3:5]] == [
        ("see", "1", "true"),
        ("see", "2", "false"),
    ]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30))
def test_any_text_comes_back_and_none_is_a_formula(text: str) -> None:
    failure = Failure(error_class="app", code="x", message=text)
    [row] = read(table(results(task("A1", "failed", failure=failure))))
    if not text:
        return
    shown = row["message"]
    assert not shown.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert shown in (text, f"'{text}")
