"""A command line whose answer proves itself: marks around what it wrote, and its exit code; pure (step 9).

The vendor hands on what a command wrote as text: no exit code, stdout and stderr as one, and nothing that tells
whose answer it is. So the command runs in a shell of its own with its output in files of the phone, which are then
written as base64 between marks. The last mark proves that the output is whole, the number in each that it is ours.
"""

from __future__ import annotations

import base64
import binascii
import re
import shlex
from typing import Final

from doai.drivers.base import CommandOutput
from doai.drivers.failures import tagged

FOLDER: Final = "/data/local/tmp"
"""Where the shell user may write."""
LEFTOVERS: Final = f"{FOLDER}/.xw-*"
"""Files of commands that were cut off."""

_MARK: Final = re.compile(r"xw-[0-9a-f]{16}-(?:exit|out|err)\b")
_SPACE: Final = re.compile(r"\s+")


class MarkedError(Exception):
    """The text is not the whole answer to this command."""


class NotOursError(MarkedError):
    """It is the answer to another command."""


class CutOffError(MarkedError):
    """It begins as our answer and its end is missing; ``no_space``: because the phone's storage is full."""

    def __init__(self, reason: str, *, received_bytes: int, no_space: bool) -> None:
        super().__init__(reason)
        self.received_bytes = received_bytes
        self.no_space = no_space


def file_of(mark: str, kind: str) -> str:
    """Return the path of a file of the command with this mark (16 hex digits)."""
    return f"{FOLDER}/.xw-{mark}.{kind}"


def marked_line(command: str, mark: str, *, tag: str = "", stdin_path: str = "", clean: bool = False) -> str:
    """Return the line that runs a command; ``stdin_path`` is its input.

    ``clean``: files of commands that were cut off are removed first; no other command of ours may run then.
    """
    out, err = file_of(mark, "out"), file_of(mark, "err")
    return tagged(
        tag,
        f"{f'rm -f {LEFTOVERS}; ' if clean else ''}"
        f"sh -c {shlex.quote(command)} <{stdin_path or '/dev/null'} >{out} 2>{err}; echo xw-{mark}-exit $?; "
        f"base64 {out} && echo xw-{mark}-out; base64 {err} && echo xw-{mark}-err; rm -f {out} {err}",
    )


def has_mark(text: str) -> bool:
    """Return whether a text holds a mark of any command."""
    return _MARK.search(text) is not None


def read_marked(text: str, mark: str) -> CommandOutput:
    """Return what the command with this mark wrote, of the text that came; raises MarkedError."""
    ours = f"xw-{mark}-"
    if ours not in text:
        if has_mark(text):
            raise NotOursError("it holds the mark of another command")
        raise MarkedError(f"no mark but {text[:200]!r}")
    found = re.search(rf"{ours}exit (\d{{1,3}})\s(.*?)\b{ours}out\s(.*?)\b{ours}err\b", text, re.DOTALL)
    if found is None:
        raise CutOffError("its end is missing", received_bytes=len(text), no_space="no space left" in text.lower())
    try:
        stdout, stderr = (base64.b64decode(_SPACE.sub("", part), validate=True) for part in found.group(2, 3))
    except (binascii.Error, ValueError) as error:
        raise MarkedError(f"its output is damaged ({error})") from None
    return CommandOutput(stdout, stderr, int(found[1]) & 255)
