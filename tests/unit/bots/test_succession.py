"""Whose folder a bot's process has: that of one that ended, unless the folder is a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

from doai.bots.succession import FILE, take_place


def test_the_process_before_is_known_and_that_of_a_copied_folder_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "bot"
    folder.mkdir()
    assert take_place(folder, "1-aa") == ""
    assert take_place(folder, "2-bb") == "1-aa"
    copied = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert take_place(copied, "3-cc") == ""
    assert take_place(copied, "4-dd") == "3-cc"
    folder = folder.rename(tmp_path / "moved")
    assert take_place(folder, "5-ee") == "2-bb"
    (folder / FILE).write_bytes(b"\xff not what was written" * 100)
    assert take_place(folder, "6-ff") == ""
    assert take_place(folder, "7-gg") == "6-ff"


def test_a_folder_that_can_not_be_written_is_no_failure(tmp_path: Path) -> None:
    assert take_place(tmp_path / "nowhere", "1-aa") == ""
