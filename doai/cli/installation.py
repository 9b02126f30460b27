"""All of doai on one machine, as processes of their own: what `doai up` and `bin/demo` start (all steps)."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import trio

from doai.cli.child import Child
from doai.cli.client import Client
from doai.cli.place import Place, write_place
from doai.configuration import Secret
from doai.errors import ConfigError
from doai.ports import free_port
from doai.wire.keys import load_or_make_keypair

FIRST_USER: Final = "admin"
TOKEN_FILE: Final = "token"  # noqa: S105 - the name of a file
BOT_DRAIN_S: Final = 1.0
"""Ctrl-C is to be quick: what a bot does not finish in this time is done by its next process."""
WORKFLOWS: Final = Path(__file__).resolve().parents[2] / "workflows"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to start, and where."""

    data_dir: Path
    node: str = "node-1"
    api_port: int = 7700
    """0 = any free port; so for the others."""
    broker_port: int = 7701
    adb_port: int = 5037
    usb: bool = True
    phones: int = 0
    """Simulated phones beside the real ones."""
    slots: int = 20
    scripts: list[Path] = []
    """Folders whose scripts `host.run` may run."""
    host: str = "127.0.0.1"


class Installation:
    """The running programs; `place` is where their API is."""

    def __init__(self, plan: Plan, tell: Callable[[str], None]) -> None:
        self.plan = plan
        self.place = Place("", Secret(""))
        self.endpoint = ""
        """Where the broker is, once it has started."""
        self.is_new = not (plan.data_dir / TOKEN_FILE).exists()
        """Whether this start makes the first token."""
        self.first_password = Secret("")
        """Of the user that this start made, because there was none that may sign in; empty = it made none."""
        self._tell = tell
        self._children: list[Child] = []

    @property
    def artifacts_dir(self) -> Path:
        """Where the admin keeps artifacts."""
        return self.plan.data_dir / "broker" / "artifacts"

    async def start(self) -> None:
        """Start all of it, each once what it needs is ready; raises ChildFailed or ConfigError."""
        plan = self.plan
        self._make_folders()
        broker = await self._start_child(
            "broker", "--data-dir", plan.data_dir / "broker", "--endpoint", f"tcp://{plan.host}:{plan.broker_port}"
        )
        endpoint = self.endpoint = broker.ready["X_DOAI_ENDPOINT"]
        token_file = plan.data_dir / TOKEN_FILE
        admin = await self._start_child(
            *("admin", "--data-dir", plan.data_dir / "broker", "--endpoint", endpoint),
            *("--host", plan.host, "--port", plan.api_port, "--first-token-file", token_file),
        )
        self.place = Place(admin.ready["X_DOAI_URL"], Secret(token_file.read_text(encoding="utf-8").strip()))
        write_place(plan.data_dir, self.place)
        connect = await self._start_phones()
        await trio.to_thread.run_sync(self._register_node)
        await trio.to_thread.run_sync(self._make_first_user)
        await self._start_child("node", "--config", self._node_config(broker, endpoint, connect))

    @property
    def _adb_home(self) -> Path:
        """Where adb keeps its key when no phone of this machine needs to know the user's: homes may be missing."""
        return self.plan.data_dir / self.plan.node / "adb"

    def _make_folders(self) -> None:
        try:
            for name in ("", "broker", "log", self.plan.node, self._adb_home):
                (self.plan.data_dir / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"cannot use the data folder {self.plan.data_dir}: {error.strerror}; name another with --data-dir"
            ) from None

    async def _start_child(self, program: str, *arguments: object) -> Child:
        self._tell(f"starting {program}")
        child = Child(program, f"doai.cli.{program}", [str(word) for word in arguments], self.plan.data_dir / "log")
        self._children.append(child)
        await child.start()
        return child

    async def _start_phones(self) -> list[str]:
        if not self.plan.phones:
            return []
        journal = self.plan.data_dir / "phones"
        phones = await self._start_child("phones", "--count", self.plan.phones, "--journal", journal)
        return [f"127.0.0.1:{port}" for port in phones.ready["X_DOAI_PHONES"].split(",")]

    @property
    def _secret_file(self) -> Path:
        return self.plan.data_dir / self.plan.node / "secret"

    def _register_node(self) -> None:
        """Tell the broker the node's key, unless it knows it and we still have the secret of its uploads."""
        pair = load_or_make_keypair(self.plan.data_dir / self.plan.node / "keys" / "node.key")
        with Client(self.place) as client:
            known = {
                key["publicKey"]: key["name"]
                for key in client.items("/keys", limit=500)
                if not key.get("revokedAtMs")
            }
            if known.get(pair.public) == self.plan.node and self._secret_file.exists():
                return
            body = {"name": self.plan.node, "role": "node", "publicKey": pair.public}
            secret = client.post("/keys", body)["secret"]
        descriptor = os.open(self._secret_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secret + "\n")

    def _make_first_user(self) -> None:
        """Let one person sign in at the dashboard, unless somebody may already."""
        with Client(self.place) as client:
            if any(user.get("removedAtMs") is None for user in client.items("/users", limit=500)):
                return
            made = client.post("/users", {"name": FIRST_USER, "role": "admin"})
        self.first_password = Secret(made["password"])

    def _node_config(self, broker: Child, endpoint: str, connect: list[str]) -> Path:
        plan = self.plan
        settings = {
            "name": plan.node,
            "endpoint": endpoint,
            "broker_public_key": broker.ready["X_DOAI_PUBLIC_KEY"],
            "admin_url": self.place.url,
            "data_dir": str(plan.data_dir / plan.node),
            "slots": plan.slots,
            "adb_port": plan.adb_port or free_port(),
            "adb_usb": plan.usb,
            "adb_connect": connect,
            "host_scripts": [str(folder) for folder in plan.scripts],
            "adb_home": "" if plan.usb else str(self._adb_home),
        }
        path = plan.data_dir / plan.node / "node.toml"
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        lines.append(f"secret = {json.dumps(self._secret_file.read_text(encoding='utf-8').strip())}")
        path.touch(mode=0o600)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def store_shipped_workflows(self) -> list[str]:
        """Store the workflows that come with doai, as any user would; returns their names with versions."""
        names = []
        with Client(self.place) as client:
            for path in sorted(WORKFLOWS.glob("*.yaml")):
                stored = client.request("POST", "/workflows", content=path.read_bytes()).json()
                names.append(f"{stored['name']}@{stored['version']}")
        return names

    async def start_bot(self, name: str, config: Path) -> None:
        """Start a process of a bot; return when the broker has taken it in. Raises ChildFailed."""
        self._tell(f"starting {name}")
        words = ["--config", str(config), "--drain-s", str(BOT_DRAIN_S)]
        child = Child(name, "doai.cli.bot", words, self.plan.data_dir / "log")
        self._children.append(child)
        await child.start()

    async def watch(self) -> None:
        """Return never; raises ChildFailed when one of the programs ends by itself."""
        async with trio.open_nursery() as nursery:
            for child in self._children:
                nursery.start_soon(child.watch)

    async def stop(self) -> None:
        """End all, in the order in which each still finds what it needs to say goodbye."""
        for child in reversed(self._children):
            await child.stop()
        self._children.clear()


@asynccontextmanager
async def open_installation(plan: Plan, tell: Callable[[str], None]) -> AsyncIterator[Installation]:
    """Start everything, and stop everything however the block ends."""
    installation = Installation(plan, tell)
    try:
        await installation.start()
        yield installation
    finally:
        with trio.CancelScope(shield=True):
            await installation.stop()
