"""Secrets that the API tells once: shown, or written to a file that only its owner may read (step 1)."""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from doai.cli import exits
from doai.cli.client import ApiError
from doai.errors import UserError


class Out:
    """Where a secret goes: a file, or (no path) whoever looks."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.text = ""

    def take(self, text: str) -> None:
        """Keep what was told."""
        self.text = text


@contextlib.contextmanager
def told_once(path_name: str | None, *, replaces: bool = False) -> Iterator[Out]:
    """Give where to put a secret; the file is there before it is asked for, and gone when nothing came of it.

    A file that is there already is refused; with ``replaces`` it stays as it is until the secret is written.
    """
    if not path_name:
        yield Out(None)
        return
    path = Path(path_name)
    draft = path.with_name(f".{path.name}.new") if replaces else path
    try:
        if replaces:
            draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ApiError(
            f"cannot write {path}: {error.strerror}; nothing was changed", exit_code=exits.IO_ERROR
        ) from None
    out = Out(path.resolve())
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield out
            file.write(out.text + "\n")
        if replaces and out.text:
            draft.replace(path)
    finally:
        if replaces or not out.text:
            draft.unlink(missing_ok=True)


def ask(what: str) -> str:
    """Return a secret that is typed twice, unseen, or piped in. Raises UserError."""
    if not sys.stdin.isatty():
        try:
            # One line break at the end is the editor's or echo's.
            return sys.stdin.buffer.read().decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise UserError(f"the {what} is no text in UTF-8") from None
    typed = getpass.getpass(f"The {what} (not shown): ")
    if getpass.getpass("The same again: ") != typed:
        raise UserError(f"the two were not the same: nothing was changed, the {what} is as it was")
    return typed
