"""The application as the framework builds it: nothing deprecated, nothing open that should not be."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from doai.admin.access import Tokens
from doai.admin.app import log_requests, make_app
from doai.admin.artifact_folder import ArtifactFolder
from doai.admin.backups import Backups
from doai.admin.feed import Feed
from doai.admin.file_folder import FileFolder
from doai.admin.janitor import Janitor
from doai.admin.log_keeper import LogKeeper
from doai.admin.logcats import Logcats
from doai.admin.login_limit import LoginLimit
from doai.admin.mesh import Mesh
from doai.admin.outlook import Outlooks
from doai.admin.passwords import Passwords
from doai.admin.receiving import Intake
from doai.admin.screens import Screens
from doai.admin.services import Services
from doai.admin.sessions import Sessions
from doai.admin.settings import Settings
from doai.admin.vault import Vault
from doai.messages.link import HostSample
from doai.store.reader import StoreReader
from doai.store.retention_reader import RetentionReader
from doai.wire.log_tap import LogTap


async def nothing_to_wait_for() -> None:
    """No backup is ever made here."""


def services(folder: Path) -> Services:
    def no_keys() -> Any:
        raise AssertionError("nothing connects here")

    reader = StoreReader(folder / "broker.db")
    sample = HostSample(host="h", pid=1, version="1", started_at_ms=0)
    return Services(
        reader=reader,
        mesh=Mesh("tcp://127.0.0.1:1", no_keys, instance="i", sample=lambda: sample),
        tokens=Tokens(reader),
        sessions=Sessions(reader),
        passwords=Passwords(),
        logins=LoginLimit(),
        artifacts=ArtifactFolder(Intake(folder / "artifacts")),
        files=FileFolder(Intake(folder / "files"), size_max_bytes=1000),
        feed=Feed(reader),
        backups=Backups(folder / "broker.db", folder / "keys", folder / "backups", every_h=0, keep=1),
        outlooks=Outlooks(reader),
        screens=Screens(),
        logcats=Logcats(),
        janitor=Janitor(
            RetentionReader(folder / "broker.db"),
            folder / "artifacts",
            Settings(data_dir=folder).policy,
            every_h=0,
            wait_free=nothing_to_wait_for,
        ),
        logs=LogKeeper(folder / "log.db", LogTap("admin", "i"), "admin/i", days=1, lines_max=1000),
        vault=Vault(folder / "secrets.key"),
        public_url="",
        fingerprint="",
        broker_endpoint="tcp://127.0.0.1:1",
        broker_key_path=folder / "broker.key.pub",
    )


def ask(folder: Path, method: str, path: str, *headers: tuple[str, str]) -> tuple[int, dict[str, Any]]:
    """Send one request to the application itself; return status and JSON."""

    async def scenario() -> tuple[int, dict[str, Any]]:
        app: Any = make_app(services(folder))
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        given = [(name.lower().encode(), value.encode()) for name, value in headers]
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http"}
        scope |= {"method": method, "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b""}
        await app({**scope, "headers": given, "server": ("x", 80), "client": ("y", 1), "state": {}}, receive, send)
        body = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], json.loads(body)

    return asyncio.run(scenario())


def test_it_is_built_without_a_warning_and_describes_itself(tmp_path: Path) -> None:
    status, schema = ask(tmp_path, "GET", "/schema")
    assert status == 200
    assert schema["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    open_ones = {
        path
        for path, operations in schema["paths"].items()
        for o in operations.values()
        if o.get("security") == [{}]
    }
    assert open_ones == {"/healthz", "/readyz", "/api/v1/join"}


def test_a_missing_store_is_a_503_with_what_to_do(tmp_path: Path) -> None:
    status, problem = ask(tmp_path, "GET", "/api/v1/runs", ("Authorization", "Bearer x"))
    assert (status, problem["code"]) == (503, "store_missing")
    assert "start the broker" in problem["detail"]


def test_it_is_not_ready_without_store_and_broker_and_says_both(tmp_path: Path) -> None:
    status, problem = ask(tmp_path, "GET", "/readyz")
    assert (status, len(problem["details"])) == (503, 2)
    assert ask(tmp_path, "GET", "/healthz")[0] == 200


@pytest.mark.parametrize(
    ("path", "status", "caller", "level"),
    [
        ("/healthz", 200, None, "DEBUG"),
        ("/readyz", 503, None, "DEBUG"),
        ("/static/icon.svg", 304, None, "DEBUG"),
        ("/static/gone.js", 404, None, "INFO"),
        ("/api/v1/screens", 200, None, "DEBUG"),
        ("/api/v1/screens", 401, None, "INFO"),
        ("/api/v1/runs", 200, "ann", "DEBUG"),
        ("/api/v1/runs", 401, None, "INFO"),
        ("/api/v1/artifacts/a.png", 200, None, "INFO"),
    ],
)
def test_what_is_asked_again_and_again_is_told_only_to_who_wants_all(
    caplog: pytest.LogCaptureFixture, path: str, status: int, caller: str | None, level: str
) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        scope["auth"] = caller
        await send({"type": "http.response.start", "status": status, "headers": []})

    async def nothing(*_: Any) -> Any:
        return None

    caplog.set_level("DEBUG", "doai.admin.access")
    scope: Any = {"type": "http", "method": "GET", "path": path, "client": ("y", 1)}
    logged: Any = log_requests(answer)
    asyncio.run(logged(scope, nothing, nothing))
    [line] = caplog.records
    assert (line.getMessage(), line.levelname) == (f"GET {path} {status}", level)


def test_a_fault_of_ours_is_logged_and_shows_nothing_of_the_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(Tokens, "find", fail)
    status, problem = ask(tmp_path, "GET", "/api/v1/runs", ("Authorization", "Bearer x"))
    assert (status, problem["code"], problem["fault"]) == (500, "internal_error", "ours")
    assert "secret detail" not in json.dumps(problem)
    assert "secret detail" in caplog.text
