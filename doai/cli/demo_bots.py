"""`bin/demo --bots`: the bots that come with doai, each with something to do beside the main job (step 14)."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from doai.bots.install.wish import KIND as INSTALL
from doai.bots.loading import SHIPPED
from doai.bots.playback.check import KIND as PLAYBACK
from doai.cli.bot_tasks import ask_bot
from doai.cli.bots import SETTINGS, let_in
from doai.cli.client import Client
from doai.cli.installation import Installation
from doai.cli.stored_files import APK
from doai.cli.waiting import OPEN_STATES, POLL_S

ERRAND_S: Final = 240.0
"""For what a bot was asked to do beside the main job, after that has ended."""
PHONES: Final = 3
"""On so many phones each does it."""
APP: Final = Path(__file__).with_name("demo.apk")
"""A signed app of two kilobytes without code: com.example.doai.demo."""
APP_FILE: Final = "doai-demo@1"
VIDEOS: Final = ("https://www.youtube.com/watch?v=doai-test-1", "https://www.youtube.com/watch?v=doai-test-2")


class BotDid(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one bot."""

    name: str
    state: str
    """online, late or offline."""
    did: str
    """One sentence."""
    passed: bool


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """A task for a bot."""

    kind: str
    params: Callable[[Client, Sequence[str]], dict[str, Any]]
    """Prepares what the task needs; given serials of phones."""
    said: Callable[[Mapping[str, Any]], str]
    """Tells what came of it, from its outputs."""
    good: Callable[[Mapping[str, Any]], bool]


def _play(client: Client, serials: Sequence[str]) -> dict[str, Any]:
    return {"videos": [{"url": url} for url in VIDEOS], "targets": _devices(serials), "watchSeconds": 2}


def _played(outputs: Mapping[str, Any]) -> str:
    starts = [model["startP50Ms"] for model in outputs["models"] if model["startP50Ms"] is not None]
    begun = f", started within {max(starts) / 1000:.2f} s" if starts else ""
    return f"{outputs['passed']} of {outputs['plays']} plays passed{begun}, {outputs['stalls']} stalls"


def _install(client: Client, serials: Sequence[str]) -> dict[str, Any]:
    client.request("PUT", f"/files/{APP_FILE}", content=APP.read_bytes(), headers={"Content-Type": APK})
    return {"file": APP_FILE, "targets": _devices(serials)}


def _devices(serials: Sequence[str]) -> dict[str, Any]:
    return {"kind": "devices", "serials": list(serials)}


ERRANDS: Final[Mapping[str, Errand]] = {
    "playback-bot": Errand(
        kind=PLAYBACK,
        params=_play,
        said=_played,
        good=lambda outputs: 0 < outputs["plays"] == outputs["passed"],
    ),
    "install-bot": Errand(
        kind=INSTALL,
        params=_install,
        said=lambda outputs: str(outputs["summary"]),
        good=lambda outputs: True,
    ),
}
"""By the name of the bot; one that is not here has nothing to do but what it does by itself."""


async def start_bots(installation: Installation) -> None:
    """Let every shipped bot in and start it. Raises ChildFailed and ApiError."""
    settings = await trio.to_thread.run_sync(partial(_settings, installation), abandon_on_cancel=True)
    async with trio.open_nursery() as nursery:
        for name, path in settings.items():
            nursery.start_soon(installation.start_bot, name, path)


def _settings(installation: Installation) -> dict[str, Path]:
    paths = {}
    with Client(installation.place) as client:
        for name in SHIPPED:
            folder = installation.plan.data_dir / "bots" / name
            paths[name] = path = folder / SETTINGS
            if path.exists():
                # Of an earlier demo in this folder: the ports are others now.
                kept = tomllib.loads(path.read_text(encoding="utf-8"))
                kept |= {"endpoint": installation.endpoint, "admin_url": installation.place.url}
                lines = [f"{field} = {json.dumps(value)}\n" for field, value in kept.items()]
                path.write_text("".join(lines), encoding="utf-8")
            else:
                let_in(client, name, folder, name)
    return paths


def begin(client: Client) -> dict[str, str]:
    """Give each bot its task; return the task ids by the bots' names."""
    online = [device["serial"] for device in client.items("/devices", state="online", limit=500)]
    serials = sorted(online)[:PHONES]
    return {
        name: ask_bot(client, name, errand.kind, errand.params(client, serials))["taskId"]
        for name, errand in ERRANDS.items()
        if name in SHIPPED
    }


def end(client: Client, task_ids: Mapping[str, str]) -> list[BotDid]:
    """Wait for what the bots do; return what became of each, by name."""
    until_s = time.monotonic() + ERRAND_S
    tasks = {name: _wait(client, task_id, until_s) for name, task_id in task_ids.items()}
    known = {bot["name"]: bot for bot in client.items("/bots")}
    return [_did(name, known.get(name), tasks.get(name)) for name in sorted(SHIPPED)]


def _wait(client: Client, task_id: str, until_s: float) -> dict[str, Any]:
    while True:
        task: dict[str, Any] = client.get(f"/tasks/{task_id}")
        if task["state"] not in OPEN_STATES or time.monotonic() > until_s:
            return task
        time.sleep(POLL_S)


def _did(name: str, bot: Mapping[str, Any] | None, task: Mapping[str, Any] | None) -> BotDid:
    state = "offline" if bot is None else str(bot["state"])
    if task is None:
        return BotDid(
            name=name, state=state, did="it listens; nobody asked it for anything", passed=state == "online"
        )
    if task["state"] != "passed":
        failure = task["failure"] or {}
        why = failure.get("message") or task["waitingBecause"] or task["reason"] or f"not done in {ERRAND_S:.0f} s"
        return BotDid(name=name, state=state, did=f"{task['state']}: {why}", passed=False)
    errand, outputs = ERRANDS[name], task["outputs"]
    return BotDid(
        name=name, state=state, did=errand.said(outputs), passed=state == "online" and errand.good(outputs)
    )
