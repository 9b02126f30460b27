"""The reserve of a disk: closes below it, opens a little above."""

from __future__ import annotations

from pathlib import Path

import pytest

from doai.disk_reserve import DiskReserve
from doai.disk_space import free_bytes

MB = 1024 * 1024


def test_intake_closes_below_the_reserve_and_opens_a_tenth_above() -> None:
    disk = DiskReserve(100 * MB)
    assert disk.closed_because == ""
    assert not disk.note(100 * MB)
    assert disk.note(100 * MB - 1)
    assert "99 MB left and 100 MB are kept" in disk.closed_because
    assert not disk.note(50 * MB)
    assert "50 MB left" in disk.closed_because
    assert not disk.note(109 * MB)
    assert disk.note(111 * MB)
    assert disk.closed_because == ""


def test_no_reserve_never_closes() -> None:
    disk = DiskReserve(0)
    assert not disk.note(0)
    assert disk.closed_because == ""


def test_a_folder_that_can_not_be_looked_at_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert (free_bytes(tmp_path) or 0) > 0
    assert free_bytes(tmp_path / "gone") is None
    assert "can not be looked at" in caplog.text
