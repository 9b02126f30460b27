"""Names that an installation knows, for the completion of a shell: kept for a moment, never an error (step 14)."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from doai.cli.client import Client
from doai.cli.completion import Candidate
from doai.cli.place import Place, find_place
from doai.errors import DoaiError

FRESH_S: Final = 20.0
"""Names are not asked for again within this time; who presses Tab, presses it several times."""
ANSWER_S: Final = 1.0
"""For an answer of the API; who waits longer for a completion types the name."""
_SOURCES: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "workflows": ("/workflows", "name", ()),
    "devices": ("/devices", "serial", ("description.label", "model", "state")),
    "nodes": ("/nodes", "nodeId", ("state",)),
    "runs": ("/runs", "runId", ("workflow", "outcome", "state")),
    "files": ("/files", "name", ()),
    "secrets": ("/secrets", "name", ()),
    "backups": ("/backups", "name", ()),
    "channels": ("/notifications", "name", ("kind",)),
    "users": ("/users", "name", ("role",)),
    "tokens": ("/tokens", "name", ("role",)),
    "campaigns": ("/campaigns", "name", ("when", "state")),
}
"""By kind: a list of the API, the name of an item, and what it tells of it (the first two that are not empty)."""


def names_of(kind: str, given: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> list[Candidate]:
    """Return the names of a kind at the installation that flags and variables mean; none when it is away."""
    options = argparse.Namespace(
        **{name: given.get(name) for name in ("url", "token_file", "ca_file", "fingerprint", "data_dir")}
    )
    try:
        place = find_place(options, environ)
    except DoaiError:
        return []
    path = _kept_file(place, kind, environ)
    known, is_fresh = _read(path)
    if not is_fresh:
        # What was known is shown while the API is away, and kept so that not every Tab waits for it.
        known = _ask(place, kind) or known
        _keep(path, known)
    return known


def _kept_file(place: Place, kind: str, environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "/root"), ".cache"))
    return Path(base, "doai", f"names-{kind}-{hashlib.sha256(place.url.encode()).hexdigest()[:16]}.json")


def _read(path: Path) -> tuple[list[Candidate], bool]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        names = [Candidate(str(word), str(meaning)) for word, meaning in kept["names"]]
        return names, 0 <= time.time() - float(kept["at_s"]) < FRESH_S
    except (OSError, ValueError, KeyError, TypeError):
        return [], False


def _keep(path: Path, names: list[Candidate]) -> None:
    draft = path.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):  # a home that can not be written only makes the next Tab slower
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.write_text(json.dumps({"at_s": time.time(), "names": names}), encoding="utf-8")
        draft.chmod(0o600)
        draft.replace(path)


def _ask(place: Place, kind: str) -> list[Candidate]:
    path, name, about = _SOURCES[kind]
    try:
        with Client(place) as client:
            items = client.request("GET", path, query={"limit": 200}, timeout_s=ANSWER_S).json()["items"]
        return [Candidate(str(item[name]), _meaning(item, about)) for item in items]
    except (DoaiError, OSError, ValueError, KeyError, TypeError):
        return []


def _meaning(item: dict[str, Any], about: tuple[str, ...]) -> str:
    told = []
    for place in about:
        value: Any = item
        for part in place.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value:
            told.append(str(value))
    return ", ".join(told[:2])
