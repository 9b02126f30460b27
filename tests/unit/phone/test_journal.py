"""The journal and the step tag."""

from pathlib import Path

import pytest

from doai.phone.journal import Journal, JournalFile, StepTag, read_journal, split_step


@pytest.mark.parametrize(
    ("command", "tag", "rest"),
    [
        ("DOAI_STEP=t1/7/open/2; ls", StepTag("t1", "7", "open", "2"), "ls"),
        ("DOAI_STEP=t1/7/login/type/1;ls", StepTag("t1", "7", "login/type", "1"), "ls"),
        ("DOAI_STEP='t1/7/open/2'; ls", StepTag("t1", "7", "open", "2"), "ls"),
        ("DOAI_STEP=t1/7; ls", None, "DOAI_STEP=t1/7; ls"),
        ("ls", None, "ls"),
    ],
)
def test_split_step(command: str, tag: StepTag | None, rest: str) -> None:
    assert split_step(command) == (tag, rest)


def test_file_is_appended_and_a_cut_line_is_left_out(tmp_path: Path) -> None:
    for _ in range(2):
        file = JournalFile(tmp_path)
        Journal("SIM0001", file).add(
            monotonic_s=1.0, wall_ms=2, connection=1, service="shell:", command="DOAI_STEP=a/1/b/1; ls", note="ls"
        )
        file.close()
    with file.path.open("ab") as cut:
        cut.write(b'{"serial":"SI')
    found = read_journal(file.path)
    assert [entry.step for entry in found] == [StepTag("a", "1", "b", "1")] * 2
    assert found[0].executed
