"""What is kept of a release for those after it: its frames with a manifest, and its stores as SQL text.

frames-WIRE-RELEASE.json   what passed, in order: frames by peer, direction, kind, place and size in the .bin; acts
frames-WIRE-RELEASE.bin    headers and bodies, one after the other
STORE-SCHEMA-RELEASE.sql   a file of the broker or a node after that, as SQL text
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import msgspec

from doai.store.database import Kind as StoreKind
from tests.compat.site import Heard

FOLDER = Path(__file__).parent
_HEADER_BYTES = 32


class Act(msgspec.Struct, frozen=True):
    """Something that was done to the node between two frames."""

    what: str


class Recording(msgspec.Struct, frozen=True):
    """One way of tasks, as it passed the broker's router."""

    wire_version: int
    release: str
    steps: list[Heard | Act]

    @property
    def stem(self) -> str:
        return f"frames-{self.wire_version}-{self.release}"


def write_frames(recording: Recording, folder: Path = FOLDER) -> None:
    """Write frames and manifest."""
    data = bytearray()
    steps: list[dict[str, object]] = []
    for step in recording.steps:
        if isinstance(step, Act):
            steps.append({"act": step.what})
            continue
        way = {"peer": step.peer, "toBroker": step.to_broker, "kind": step.kind}
        steps.append({**way, "at": len(data), "bodyBytes": len(step.body)})
        data += step.header + step.body
    head = {"wireVersion": recording.wire_version, "release": recording.release}
    lines = ",\n    ".join(json.dumps(step) for step in steps)
    manifest = json.dumps(head)[:-1] + f',\n  "steps": [\n    {lines}\n  ]\n}}\n'
    (folder / f"{recording.stem}.json").write_text(manifest)
    (folder / f"{recording.stem}.bin").write_bytes(bytes(data))


def read_frames(manifest_path: Path) -> Recording:
    """Read a recording by its manifest."""
    manifest = json.loads(manifest_path.read_text())
    data = manifest_path.with_suffix(".bin").read_bytes()
    steps: list[Heard | Act] = []
    for step in manifest["steps"]:
        if "act" in step:
            steps.append(Act(step["act"]))
            continue
        at, size = step["at"], step["bodyBytes"]
        body_at = at + _HEADER_BYTES
        heard = Heard(step["peer"], step["toBroker"], data[at:body_at], data[body_at : body_at + size])
        assert heard.kind == step["kind"], f"{manifest_path} does not belong to its .bin"
        steps.append(heard)
    return Recording(manifest["wireVersion"], manifest["release"], steps)


def recordings() -> list[Path]:
    """The manifests of all recordings."""
    return sorted(FOLDER.glob("frames-*.json"))


def dump_store(path: Path) -> str:
    """Return a store that nobody has open as SQL text, its version and mark included."""
    connection = sqlite3.connect(path)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (mark,) = connection.execute("PRAGMA application_id").fetchone()
        lines = [*connection.iterdump(), f"PRAGMA user_version = {version};", f"PRAGMA application_id = {mark};"]
    finally:
        connection.close()
    return "\n".join(lines) + "\n"


def make_store(script: str, path: Path) -> None:
    """Make a store of SQL text."""
    connection = sqlite3.connect(path)
    try:
        connection.executescript(script)
    finally:
        connection.close()
    path.chmod(0o600)


def stores(kind: StoreKind) -> list[Path]:
    """The recorded stores of a kind."""
    return sorted(FOLDER.glob(f"{kind.folder}-*.sql"))
