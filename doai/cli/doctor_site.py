"""What `doai doctor` looks at of an installation: keys, settings, clock, versions (before all steps)."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from doai import __version__
from doai.admin.settings import Settings
from doai.broker.config import BrokerConfig
from doai.cli.client import Client
from doai.cli.finding import Finding, fail, ok, warn
from doai.configuration import load
from doai.errors import ConfigError, DoaiError
from doai.node.config import NodeConfig
from doai.wire.keys import check_keypair
from doai.wire_versions import REFUSED

CLOCK_WARN_S: Final = 3.0
"""The admin's answer tells whole seconds."""
CLOCK_FAIL_S: Final = 60.0
"""Times in stories and in `expires` no longer mean anything then, and certificates may not hold."""
SERVICE_DATA: Final = Path("/var/lib/doai")
SERVICE_SETTINGS: Final = Path("/etc/doai")
_KEYS: Final = "keys/*.key"


def check_keys(folders: Sequence[Path]) -> Iterator[Finding]:
    """Private keys: readable by their owner alone, and the public key beside each is its own."""
    good = 0
    patterns = (_KEYS, f"*/{_KEYS}")
    for path in sorted({path for folder in folders for pattern in patterns for path in _glob(folder, pattern)}):
        try:
            check_keypair(path)
            good += 1
        except ConfigError as error:
            yield fail("keys", f"{error}.", "A new key has to be accepted by the broker again: `doai keys add`.")
        except OSError as error:
            advice = "Run doctor as the user of doai, or as root."
            yield warn("keys", f"{path} can not be looked at by this user ({error.strerror}).", advice)
    yield ok("keys", f"Private keys in order: {good}." if good else "There are no keys here yet.")


def _glob(folder: Path, pattern: str) -> Iterator[Path]:
    if os.access(folder, os.R_OK | os.X_OK):
        yield from folder.glob(pattern)


def check_settings(folder: Path = SERVICE_SETTINGS) -> Iterator[Finding]:
    """Files of settings: read as a start would, and secrets in them hidden from others."""
    files = sorted(folder.glob("*.toml")) if os.access(folder, os.R_OK | os.X_OK) else []
    for path in files:
        kind = path.stem.partition("-")[0]
        if kind not in _SETTINGS:
            yield warn(
                "settings", f"No program reads {path}.", "Call it broker.toml, admin.toml or node-NAME.toml."
            )
            continue
        settings_type, unit_flags = _SETTINGS[kind]
        flags = [word.format(name=path.stem.partition("-")[2]) for word in unit_flags]
        try:
            load(settings_type, kind, ["--config", str(path), *flags], {})
        except ConfigError as error:
            yield fail("settings", f"{error}.", f"Correct {path}; `bin/{kind} --help` names every setting.")
            continue
        if path.stat().st_mode & stat.S_IROTH and "secret" in path.read_text(encoding="utf-8", errors="replace"):
            yield warn("settings", f"{path} has a secret and can be read by everybody.", f"Run `chmod o-r {path}`.")
            continue
        yield ok("settings", f"{path} can be read and used.")
    if not files:
        yield ok("settings", f"No settings of services are in {folder}.")


_SETTINGS: Final[dict[str, tuple[type[msgspec.Struct], tuple[str, ...]]]] = {
    # What the units of deploy/systemd add.
    "broker": (BrokerConfig, ("--data-dir", "/var/lib/doai/broker")),
    "admin": (Settings, ("--data-dir", "/var/lib/doai/broker")),
    "node": (NodeConfig, ("--name", "{name}", "--data-dir", "/var/lib/doai/node-{name}")),
}


def check_installation(client: Client) -> Iterator[Finding]:
    """A running installation: whether it answers, its clock against ours, the versions of all its programs."""
    try:
        began_s = time.time()
        response = client.request("GET", "/nodes", query={"limit": 500})
        now_s = (began_s + time.time()) / 2
    except DoaiError as error:
        yield fail(
            "api", f"{error}.", "Start it (`doai up`, or systemctl start doai-admin), or correct --url and token."
        )
        return
    yield ok("api", f"The API at {client.place.url} answers.")
    yield _clock(response.headers.get("date", ""), now_s)
    yield from _nodes(response.json()["items"])


def _clock(date: str, now_s: float) -> Finding:
    try:
        # Its whole seconds are cut off: half of one is the mean error.
        offset_s = parsedate_to_datetime(date).timestamp() + 0.5 - now_s
    except ValueError:
        return warn("clock", "The API does not tell its time.", "Look at a proxy between this host and the API.")
    if abs(offset_s) < CLOCK_WARN_S:
        return ok("clock", "The clock of the API's host is ours, to the second.")
    side = "ahead of" if offset_s > 0 else "behind"
    said = f"The clock of the API's host is {abs(offset_s):.0f} s {side} ours."
    advice = "Set both by NTP (`timedatectl set-ntp true`): times in stories and of expiry are compared."
    return (fail if abs(offset_s) >= CLOCK_FAIL_S else warn)("clock", said, advice)


def _nodes(nodes: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    others = [node for node in nodes if node["version"] != __version__]
    for node in others:
        advice = "Bring it to the same version: broker and admin first, then the nodes."
        yield warn("versions", f"Node {node['nodeId']} runs doai {node['version']}, this is {__version__}.", advice)
    if not others:
        yield ok("versions", f"Nodes that run doai {__version__}, as this does: {len(nodes)}.")
    for node in nodes:
        if node["state"] != "online":
            if node["stateReason"].startswith(REFUSED):
                advice = "docs/how-to/upgrade.md has the order: broker and admin first, then the nodes."
                yield fail("nodes", f"Node {node['nodeId']} is {node['stateReason']}.", advice)
                continue
            advice = f"Look at its host: `systemctl status doai-node@{node['nodeId']}`, or start it there."
            yield warn("nodes", f"Node {node['nodeId']} is {node['state']}: {node['stateReason']}.", advice)
