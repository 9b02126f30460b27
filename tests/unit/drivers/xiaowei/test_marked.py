"""A command's marks: what was written comes back exactly, and nothing else is taken for it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.drivers.base import CommandOutput
from doai.drivers.xiaowei.marked import CutOffError, MarkedError, NotOursError, file_of, marked_line, read_marked
from doai.phone.device import Device
from doai.phone.profiles import choose
from doai.phone.shell import run_at_once

MARK = "00112233445566ff"
OTHER = "ffffffffffffffff"

marks = st.text("0123456789abcdef", min_size=16, max_size=16)


def written(output: CommandOutput, mark: str = MARK) -> str:
    """The text of an answer, as a phone makes it."""
    stdout, stderr = base64.encodebytes(output.stdout).decode(), base64.encodebytes(output.stderr).decode()
    return f"xw-{mark}-exit {output.exit_code}\n{stdout}xw-{mark}-out\n{stderr}xw-{mark}-err\n"


outputs = st.builds(CommandOutput, st.binary(), st.binary(), st.integers(0, 255))


@given(outputs, marks)
def test_what_was_written_comes_back(output: CommandOutput, mark: str) -> None:
    assert read_marked(written(output, mark), mark) == output
    assert read_marked(written(output, mark).replace("\n", "\r\n"), mark) == output


@given(outputs, st.data())
def test_a_beginning_is_no_answer(output: CommandOutput, data: st.DataObject) -> None:
    text = written(output)
    end = data.draw(st.integers(0, len(text) - len("rr\n")))
    with pytest.raises(MarkedError):
        read_marked(text[:end], MARK)


@given(outputs)
def test_anothers_answer_is_told_from_ours(output: CommandOutput) -> None:
    with pytest.raises(NotOursError):
        read_marked(written(output, OTHER), MARK)


@given(st.text())
def test_any_text_is_an_answer_or_an_error(text: str) -> None:
    with pytest.raises(MarkedError):
        read_marked(text, MARK)


def test_damage_is_no_answer() -> None:
    text = written(CommandOutput(b"some words", b"", 0))
    with pytest.raises(MarkedError, match="damaged"):
        read_marked(text.replace("\nc", "\nc*", 1), MARK)


def test_full_storage_has_a_name() -> None:
    text = f"sh: can't create {file_of(MARK, 'out')}: No space left on device\nxw-{MARK}-exit 1\n"
    with pytest.raises(CutOffError) as caught:
        read_marked(text, MARK)
    assert caught.value.no_space


@pytest.mark.parametrize(
    "command",
    ["echo 'it''s'; echo \"two words\" >&2; exit 7", "echo a\necho b", "no-such-program", "exit 255", ":"],
)
def test_the_line_does_on_a_phone_what_the_command_does(command: str) -> None:
    profile, tags = choose(1, 1)
    phone = Device(serial="S1", profile=profile, tags=tags, now_s=0.0, wall_offset_s=0.0)
    plain = run_at_once(phone, command, 1.0)
    line = run_at_once(phone, marked_line(command, MARK, tag="t/1.1/s/1"), 1.0)
    found = read_marked((line.stdout + line.stderr).decode(), MARK)
    assert (found.stdout, found.stderr, found.exit_code) == (plain.stdout, plain.stderr, plain.exit_code)
    assert not [entry.name for entry in phone.files.entries("/data/local/tmp")]
