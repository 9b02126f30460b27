"""`doai upgrade --check`: what stands against running this release where another runs (before all steps).

Called with the release that is to be installed. It asks the API of what runs, looks at the stores of this host, and
changes nothing.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from doai import __version__
from doai.cli import exits, show
from doai.cli.client import ApiError, Client
from doai.cli.doctor import SIGNS
from doai.cli.doctor_site import SERVICE_DATA
from doai.cli.finding import Finding, Verdict, fail, ok, warn
from doai.cli.place import default_data_dir, find_place
from doai.disk_space import free_bytes
from doai.errors import ConfigError, DoaiError, StoreUnavailable
from doai.store.schemas import Schema, newest_schemas, read_schema
from doai.wire_versions import GREETING, SPOKEN, WireVersions

BACKUP_AGE_MAX_S: Final = 24 * 3600.0
"""What came after the backup is lost on the way back; the admin makes one a day."""
ROOM_FACTOR: Final = 2
"""A migration may write a table anew, and all of it goes through the log first."""
_STORES: Final = (
    *("broker.db", "*/broker.db"),  # further down are backups
    *("node.db", "*/node.db", "*/*/node.db"),
    *("state.db", "*/state.db", "*/*/state.db"),
)
_HOW: Final = "docs/how-to/upgrade.md"


def upgrade(options: argparse.Namespace) -> int:
    """`doai upgrade --check`: exit 0 = go, 1 = something stands against it."""
    findings = list(examine(options))
    against = [finding for finding in findings if finding.verdict is Verdict.FAIL]
    if options.json:
        show.print_json({"go": not against, "release": __version__, "findings": [f.as_json() for f in findings]})
    else:
        for finding in findings:
            print(f"{SIGNS[finding.verdict]}  {finding.check}: {finding.message}")
            if finding.advice:
                print(f"      {finding.advice}")
        count = len(against)
        stands = "nothing stands" if not count else "1 finding stands" if count == 1 else f"{count} findings stand"
        print(f"{'go' if not against else 'no-go'}: {stands} against doai {__version__} here")
    return exits.NOT_PASSED if against else exits.PASSED


def examine(options: Any) -> Iterator[Finding]:
    """Yield what is found: this release, what runs, the stores, the way back."""
    schemas = newest_schemas()
    yield ok(
        "release",
        f"This is doai {__version__}: wire version {SPOKEN}, schema {schemas['broker']} of the broker's store, "
        f"{schemas['outbox']} of a node's file.",
    )
    folder = Path(options.data_dir) if options.data_dir else default_data_dir()
    stores = [*_stores([folder, SERVICE_DATA])]
    yield from (found for found in stores if isinstance(found, Finding))
    known = [found for found in stores if isinstance(found, Schema)]
    for schema in known:
        yield _schema(schema.title, str(schema.path), schema.version, schema.newest, schema)
        yield from _room(schema.path, schema.size_bytes, free_bytes(schema.path.parent), bool(schema.pending))
    try:
        place = find_place(options)
    except ConfigError as error:
        yield fail("api", f"{error}.", "What runs was not looked at: name its API (--url, --token-file).")
        return
    with Client(place) as client:
        yield from _running(client, known, schemas["broker"])


def _stores(folders: Sequence[Path]) -> Iterator[Schema | Finding]:
    paths = {path.resolve() for folder in folders for pattern in _STORES for path in _found(folder, pattern)}
    for path in sorted(paths):
        try:
            yield read_schema(path)
        except StoreUnavailable as error:
            yield fail("store", f"{error}.", "A store that can not be read can not be migrated either.")


def _found(folder: Path, pattern: str) -> list[Path]:
    try:
        return [path for path in folder.glob(pattern) if path.is_file()]
    except OSError:
        return []  # of another user; the API tells of the broker's store


def _schema(title: str, where: str, version: int, newest: int, schema: Schema | None = None) -> Finding:
    if version > newest:
        advice = f"Going back needs a backup that is older: {_HOW}."
        return fail("store", f"{where} has schema {version}, this doai knows {newest}: it would not start.", advice)
    if version == newest:
        return ok("store", f"{where} ({title}) has schema {version}, as this doai: nothing is migrated.")
    names = f": {', '.join(step.name.removesuffix('.sql') for step in schema.pending)}" if schema else ""
    said = f"{where} ({title}) would be brought from schema {version} to {newest}{names}."
    taking = [step for step in schema.pending if step.unused_since] if schema else []
    if taking:
        advice = f"It takes away what releases before {taking[-1].unused_since} use: only a backup leads back."
        return warn("store", said, advice)
    return ok("store", said)


def _room(path: Path, size: int, free: int | None, pending: bool) -> Iterator[Finding]:
    if not pending:
        return
    needed = size * ROOM_FACTOR
    said = f"{_mb(free or 0)} MB are free for the migration of {path}, which may take {_mb(needed)} MB"
    if free is None or free < needed:
        yield fail("disk", f"{said}.", "Make room on its disk, or it ends half-way (and begins again).")
    else:
        yield ok("disk", f"{said}.")


def _mb(size: int) -> int:
    return -(-size // (1024 * 1024))


# --- what runs ----------------------------------------------------------------------------------------------


def _running(client: Client, local: Sequence[Schema], newest: int) -> Iterator[Finding]:
    try:
        running = client.get("/versions")
        nodes = list(client.items("/nodes", limit=500))
    except DoaiError as error:
        yield fail("api", f"{error}.", "What runs was not looked at: start it, or correct --url and token.")
        return
    for name in ("broker", "admin"):
        yield _program(name, running[name])
    version, pending = running["schemaVersion"], running["schemaVersion"] < newest
    if not any(schema.path.name == "broker.db" for schema in local):
        yield _schema("the broker's store", "The store of the API's host", version, newest)
        yield from _room(Path("the broker's store"), running["storeBytes"], running["freeBytes"], pending)
    yield from _nodes(nodes)
    yield from _backup(client, pending=pending)
    yield _tasks(nodes)


def _program(name: str, version: str) -> Finding:
    if not version:
        return warn("versions", f"The {name} does not answer the admin.", "Look at it first: `doai doctor`.")
    if _parts(version) > _parts(__version__):
        said = f"The {name} runs doai {version}: doai {__version__} is a step back."
        return fail("versions", said, f"{_HOW} has the way back.")
    return ok("versions", f"The {name} runs doai {version}.")


def _nodes(nodes: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    served: dict[str, int] = {}
    for node in nodes:
        sample = node["sample"] or {}
        theirs = WireVersions(sample.get("wireLowest", GREETING), sample.get("wireHighest", GREETING))
        named = f"Node {node['nodeId']} (doai {node['version']})"
        if SPOKEN.agreed(theirs) is None:
            said = f"{named} speaks wire version {theirs}, this doai {SPOKEN}: the new broker would refuse it."
            yield fail("nodes", said, "Go over a release that speaks both, one after the other.")
        elif node["state"] != "online":
            said = f"{named} is {node['state']}: {node['stateReason']}."
            yield warn("nodes", said, "Its tasks wait; upgrade it when it is back.")
        else:
            served[node["version"]] = served.get(node["version"], 0) + 1
    for version, count in sorted(served.items()):
        yield ok("nodes", f"{show.many(count, 'node')} with doai {version}: served by the new broker as they are.")


def _backup(client: Client, *, pending: bool) -> Iterator[Finding]:
    bad = fail if pending else warn
    try:
        newest = max(client.items("/backups"), key=lambda made: made["createdAtMs"], default=None)
    except ApiError as error:
        yield bad("backup", f"Whether there is a backup is not known: {error}.", "Use a token of role admin.")
        return
    if newest is None:
        yield bad("backup", "There is no backup of the store.", "Make one: `doai backup`. It is the only way back.")
        return
    age_s = time.time() - newest["createdAtMs"] / 1000
    said = f"The newest backup, {newest['name']}, is {age_s / 3600:.1f} h old."
    if age_s > BACKUP_AGE_MAX_S:
        yield bad("backup", said, "Make one now (`doai backup`): what came after it is lost on the way back.")
    else:
        yield ok("backup", said)


def _tasks(nodes: Sequence[dict[str, Any]]) -> Finding:
    running = sum((node["sample"] or {}).get("running", 0) for node in nodes if node["state"] == "online")
    if not running:
        return ok("tasks", "No task runs.")
    verb = "runs" if running == 1 else "run"
    return ok(
        "tasks",
        f"{show.many(running, 'task')} {verb} now: they go on while the broker is away; a node that stops gives "
        "its own back, which burns no attempt.",
    )


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
