"""One content of one plug-in on a node: its process, and what it offers (step 8)."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import trio

from doai.messages.plugins import PluginOffer, PluginState, StepSchema
from doai.node.plugin_host import PluginHost
from doai.plugins.discovery import Plugin
from doai.workflow.step_schema import step_type_of

CRASHES_MAX: Final = 5
CRASH_WINDOW_S: Final = 600.0
"""After so many crashes within this a plug-in is given up until its folder changes, or the node starts anew."""
REASON_CHARACTERS_MAX: Final = 500
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Version:
    """One content of one plug-in."""

    __slots__ = (
        "crashes",
        "folder",
        "host",
        "is_current",
        "is_kept",
        "news",
        "note",
        "noted_s",
        "plugin",
        "problem",
        "schemas",
    )

    def __init__(self, plugin: Plugin, folder: Path) -> None:
        self.plugin = plugin
        self.folder = folder
        self.host: PluginHost | None = None
        self.schemas: dict[str, StepSchema] = {}
        self.problem = ""
        """Why it can not be used."""
        self.note = ""
        """What is wrong though it is used."""
        self.noted_s = 0.0
        self.crashes: deque[float] = deque()
        self.is_kept = False
        """Something sees to it that it has a process."""
        self.is_current = False
        self.news = trio.Event()

    @property
    def provider(self) -> str:
        return provider_of(self.plugin)

    def put(self, host: PluginHost | None) -> None:
        """It has another process, or none."""
        self.host = host
        self.tell()

    def crashed(self, reason: str, now_s: float) -> bool:
        """Count a crash; returns whether it is tried again, else `problem` says why not."""
        self.crashes.append(now_s)
        while now_s - self.crashes[0] > CRASH_WINDOW_S:
            self.crashes.popleft()
        if len(self.crashes) < CRASHES_MAX:
            return True
        within = f"{CRASHES_MAX} times within {CRASH_WINDOW_S / 60:g} minutes"
        self.problem = f"its process ended {within}, at last because {reason}"
        return False

    def tell(self) -> None:
        """Wake whoever waits for news of it."""
        self.news.set()
        self.news = trio.Event()


def provider_of(plugin: Plugin) -> str:
    """Return what tells one content of one plug-in from every other."""
    return f"{plugin.manifest.name}@{plugin.digest}"


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0


def offer_of(version: Version, newer: str) -> PluginOffer:
    manifest = version.plugin.manifest
    reason = version.problem or " ".join(part for part in (version.note, newer) if part)
    return PluginOffer(
        name=manifest.name,
        version=manifest.version,
        digest=version.plugin.digest,
        state=PluginState.BROKEN if version.problem else PluginState.READY,
        reason=shorten(reason),
        steps=list(version.schemas.values()),
        drivers=[entry.name for entry in manifest.drivers],
        bots=[entry.name for entry in manifest.bots],
    )


def shorten(reason: str) -> str:
    return reason if len(reason) <= REASON_CHARACTERS_MAX else reason[: REASON_CHARACTERS_MAX - 3] + "..."


def check_schemas(schemas: Mapping[str, StepSchema], provider: str) -> None:
    for schema in schemas.values():
        step_type_of(schema, provider)
