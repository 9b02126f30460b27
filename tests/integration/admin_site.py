"""A broker and an admin as processes of their own, on free ports of loopback; what the tests of the API share."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from doai.ports import free_port
from doai.wire.keys import make_keypair

READY_S = 90.0
RUN_ID = "01KAJD8B00R0N0000000000001"
TASK_ID = "01KAJD8B00TASK000000000001"
TIME = "20251121T080000.123Z"


class Program:
    """One daemon; ready when it says so over NOTIFY_SOCKET."""

    def __init__(self, name: str, arguments: list[str], folder: Path) -> None:
        self.log_path = folder / f"{name}.log"
        address = folder / f"{name}.sock"
        address.unlink(missing_ok=True)
        environ = {key: value for key, value in os.environ.items() if not key.startswith("DOAI_")}
        environ["NOTIFY_SOCKET"] = str(address)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._listener.bind(str(address))
        self._listener.settimeout(READY_S)
        self.told: dict[str, str] = {}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"doai.cli.{name}", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
            )

    def wait_for(self, name: str) -> str:
        """Return a variable of its messages as soon as it was sent."""
        while name not in self.told:
            lines = self._listener.recv(65_536).decode().splitlines()
            self.told |= {key: value for key, _, value in (line.partition("=") for line in lines)}
        return self.told[name]

    def stop(self) -> int:
        """Ask it to end, as a service manager does; return its exit code."""
        self.process.terminate()
        return self.wait()

    def wait(self) -> int:
        try:
            return self.process.wait(READY_S)
        finally:
            self.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._listener.close()

    @property
    def log(self) -> str:
        return self.log_path.read_text()


class Site:
    """A broker, an admin, and a client with the first token."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.broker = self.start_broker(f"tcp://127.0.0.1:{free_port()}")  # some tests start it again
        self.endpoint = self.broker.wait_for("X_DOAI_ENDPOINT")
        self.admin = self.start_admin()
        self.url = self.admin.wait_for("X_DOAI_URL")
        self.token = (folder / "token").read_text().strip()
        self.api = self.client(self.token)
        self.secret = ""

    def start_broker(self, endpoint: str) -> Program:
        return Program("broker", ["--data-dir", str(self.data_dir), "--endpoint", endpoint], self.folder)

    def start_admin(self, *more: str) -> Program:
        arguments = ["--data-dir", str(self.data_dir), "--endpoint", self.endpoint, "--port", "0"]
        return Program("admin", [*arguments, "--first-token-file", str(self.folder / "token"), *more], self.folder)

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url + "/api/v1", headers=headers, timeout=90, trust_env=False)

    def add_node(self, name: str = "node-1") -> str:
        """Register a node; return the secret of its uploads."""
        body = {"name": name, "role": "node", "publicKey": make_keypair().public}
        answer = self.api.post("/keys", json=body)
        assert answer.status_code == 201, answer.text
        secret: str = answer.json()["secret"]
        return secret

    def put(
        self, path: str, data: bytes, *, node: str = "node-1", secret: str | None = None, **headers: str
    ) -> httpx.Response:
        """Upload as a node does."""
        parts = path.split("/")
        given = {
            "X-Node-Id": node,
            "X-Node-Auth": self.secret if secret is None else secret,
            "X-Content-Sha256": hashlib.sha256(data).hexdigest(),
            "X-Run-Id": parts[3] if len(parts) > 3 else RUN_ID,
            "X-Task-Id": TASK_ID,
            "X-Step-Id": "login/shot",
            "X-Device-Serial": parts[2] if len(parts) > 2 else "A1",
            "Content-Type": "image/png",
        }
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.put(
            f"{self.url}/api/v1/artifacts/{path}", content=data, headers=given, trust_env=False, timeout=90
        )

    def close(self) -> None:
        self.api.close()
        self.admin.close()
        self.broker.close()


def artifact(label: str, *, node: str = "node-1", serial: str = "A1", extension: str = "png") -> str:
    """Return a path that a node could have made."""
    return f"video/{node}/{serial}/{RUN_ID}/{TIME}-{label}.{extension}"


def problem(response: httpx.Response, status: int, code: str) -> Mapping[str, Any]:
    """Check that an answer is a whole problem+json; return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"] == f"urn:doai:problem:{code}"
    assert body["title"]
    assert body["detail"]
    assert body["fault"] in ("user", "peer", "ours", "device")
    assert "Traceback" not in response.text
    assert "/doai/" not in response.text
    return body
