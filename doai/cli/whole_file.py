"""A file that is written whole or not at all (step 14)."""

from __future__ import annotations

from pathlib import Path

from doai.cli import exits
from doai.cli.client import ApiError


def write_whole(target: Path, content: bytes, *, otherwise: str = "name another file") -> None:
    """Write a file and the folders above it; raises ApiError (74) with the sentence on what to do ``otherwise``.

    A name never stands for half a file, also when the disk is full.
    """
    draft = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_bytes(content)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        sentence = f"cannot write {target}: {error.strerror}; {otherwise}"
        raise ApiError(sentence, exit_code=exits.IO_ERROR) from None
