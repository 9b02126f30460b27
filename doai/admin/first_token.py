"""The first token: made when the store has none that could open the API, told once (before step 1)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from doai.admin.access import ADMIN, TOKEN_PREFIX, sha256_hex
from doai.admin.routes.keys import make_token
from doai.admin.services import Services
from doai.errors import ConfigError
from doai.messages.commands import AddToken

NAME: Final = "first"
_TOKEN: Final = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]{{43}}")


async def make_first_token(services: Services, file: Path | None, tell: Callable[[str], None]) -> bool:
    """Make a token unless there is a live one of an admin; return whether one was made.

    It is written to the file (mode 0600), or told once. The file is written before the broker hears of the
    token: a crash between the two leaves a token that the next start takes from the file, never a store
    that nobody can open. Raises ConfigError when the file can not be written.
    """
    rows = await services.reader.tokens()
    if any(row.revoked_at_ms is None and row.role == ADMIN for row in rows):
        return False
    taken = {row.name for row in rows if row.revoked_at_ms is None}
    name = next(name for n in range(len(taken) + 1) if (name := f"{NAME}-{n + 1}" if n else NAME) not in taken)
    token = _kept(file) or make_token()
    if file is not None:
        _write(file, token)
    await services.command(
        AddToken(name=name, token_sha256=sha256_hex(token), role=ADMIN),
        f"token/{name}",
        actor=services.mesh.source,
        interface="system",
    )
    if file is None:
        tell(f"first token, shown once: {token}")
    return True


def _kept(file: Path | None) -> str | None:
    """A token that an earlier start wrote and could not register."""
    try:
        text = file.read_text(encoding="utf-8").strip() if file is not None else ""
    except (OSError, UnicodeDecodeError):
        return None  # writing it will say what is wrong
    return text if _TOKEN.fullmatch(text) else None


def _write(file: Path, token: str) -> None:
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            os.fchmod(descriptor, 0o600)
            opened.write(token + "\n")
            opened.flush()
            os.fsync(descriptor)
        draft.replace(file)
    except OSError as error:
        raise ConfigError(
            f"first_token_file {file} can not be written: {error.strerror}; name another file"
        ) from error
