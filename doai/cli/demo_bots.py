"""`bin/demo --bots`: the bots that come with doai, each with something to do beside the main job (step 14)."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

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
HEALTH_EVERY: Final = "5s"
"""As often as it may."""
APP_FILE: Final = "doai-demo@1"
VIDEO: Final = "https://www.youtube.com/watch?v=doai-test-2"


class BotDid(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one bot."""

    name: str
    state: str
    """online, late or offline."""
    did: str
    """One sentence."""
    passed: bool


class Errand(Protocol):
    """What a bot is asked to do."""

    def look(self) -> tuple[str, bool] | None:
        """Return one sentence of what came of it and whether it is good; None = it is not done yet."""
        ...

    def waits_for(self) -> str:
        """Return why it is not done yet."""
        ...


class TaskErrand:
    """A task of a kind; its outputs tell what came of it."""

    def __init__(
        self,
        client: Client,
        bot: str,
        kind: str,
        params: dict[str, Any],
        said: Callable[[Mapping[str, Any]], str],
        good: Callable[[Mapping[str, Any]], bool],
    ) -> None:
        """Give the task."""
        self._client = client
        self._said = said
        self._good = good
        self._task: dict[str, Any] = ask_bot(client, bot, kind, params)

    def look(self) -> tuple[str, bool] | None:
        self._task = self._client.get(f"/tasks/{self._task['taskId']}")
        if self._task["state"] in OPEN_STATES:
            return None
        if self._task["state"] != "passed":
            failure = self._task["failure"] or {}
            return f"{self._task['state']}: {failure.get('message') or self._task['reason']}", False
        outputs = self._task["outputs"]
        return self._said(outputs), self._good(outputs)

    def waits_for(self) -> str:
        return str(self._task["waitingBecause"] or f"its task is {self._task['state']}")


class HealthErrand:
    """The health-bot works by itself: it is told to look often, and what it found of each phone is an event."""

    def __init__(self, client: Client, serials: Sequence[str]) -> None:
        self._client = client
        self._serials = serials
        self._found: dict[str, bool] = {}
        client.request("PUT", "/bots/health-bot/config", json_body={"interval": HEALTH_EVERY})

    def look(self) -> tuple[str, bool] | None:
        for serial in self._serials:
            query = {"subject": f"device/{serial}", "type": "health.check.completed"}
            for event in self._client.items("/events", limit=500, **query):
                self._found[serial] = event["payload"]["healthy"]
        if len(self._found) < len(self._serials):
            return None
        return f"{sum(self._found.values())} of {len(self._found)} phones are healthy", True

    def waits_for(self) -> str:
        return f"it has told of {len(self._found)} of {len(self._serials)} phones"


def _playback(client: Client, serials: Sequence[str]) -> Errand:
    params = {"videos": [{"url": VIDEO}], "targets": _devices(serials), "watchSeconds": 3}
    return TaskErrand(
        client, "playback-bot", PLAYBACK, params, played, lambda outputs: 0 < outputs["plays"] == outputs["passed"]
    )


def played(outputs: Mapping[str, Any]) -> str:
    """Return what a check of videos came to."""
    starts = [model["startP50Ms"] for model in outputs["models"] if model["startP50Ms"] is not None]
    begun = f", started within {max(starts) / 1000:.2f} s" if starts else ""
    return f"{outputs['passed']} of {outputs['plays']} plays passed{begun}, {outputs['stalls']} stalls"


def _install(client: Client, serials: Sequence[str]) -> Errand:
    client.request("PUT", f"/files/{APP_FILE}", content=APP.read_bytes(), headers={"Content-Type": APK})
    params = {"file": APP_FILE, "targets": _devices(serials)}
    return TaskErrand(
        client, "install-bot", INSTALL, params, lambda outputs: str(outputs["summary"]), lambda outputs: True
    )


def _devices(serials: Sequence[str]) -> dict[str, Any]:
    return {"kind": "devices", "serials": list(serials)}


ERRANDS: Final[Mapping[str, Callable[[Client, Sequence[str]], Errand]]] = {
    "health-bot": HealthErrand,
    "install-bot": _install,
    "playback-bot": _playback,
}
"""By the name of the bot, given serials of phones; one that is not here does only what it does by itself."""


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


def begin(client: Client) -> dict[str, Errand]:
    """Give each bot what it is to do, by the bots' names."""
    online = [device["serial"] for device in client.items("/devices", state="online", limit=500)]
    serials = sorted(online)[:PHONES]
    return {name: errand(client, serials) for name, errand in ERRANDS.items() if name in SHIPPED}


def end(client: Client, errands: Mapping[str, Errand]) -> list[BotDid]:
    """Wait for what the bots do; return what became of each, by name."""
    until_s = time.monotonic() + ERRAND_S
    came_of = {name: _wait(errand, until_s) for name, errand in errands.items()}
    states = {bot["name"]: str(bot["state"]) for bot in client.items("/bots")}
    return [did_of(name, states.get(name, "offline"), came_of.get(name)) for name in sorted(SHIPPED)]


def _wait(errand: Errand, until_s: float) -> tuple[str, bool]:
    while (found := errand.look()) is None:
        if time.monotonic() > until_s:
            return f"not done in {ERRAND_S:.0f} s: {errand.waits_for()}", False
        time.sleep(POLL_S)
    return found


def did_of(name: str, state: str, came_of: tuple[str, bool] | None) -> BotDid:
    """Return what is said of a bot; ``came_of`` is None of one that was asked for nothing."""
    did, good = came_of or ("it listens; nobody asked it for anything", True)
    return BotDid(name=name, state=state, did=did, passed=good and state != "offline")
