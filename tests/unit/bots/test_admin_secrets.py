"""Secrets from the admin: asked for once a minute, good while it is away, gone when it refuses them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from doai.bots.admin_secrets import FRESH_S, AdminSecrets
from doai.bots.errors import SecretMissing
from doai.bots.outside import HostOutside

Answer = Callable[[httpx.Request], httpx.Response]


class Admin:
    """Answers as a test says, and keeps what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[httpx.Request] = []
        self.answer: Answer = lambda request: httpx.Response(200, json={"value": "v1"})
        self.now_s = 1000.0
        client = httpx.AsyncClient
        monkeypatch.setattr(
            httpx,
            "AsyncClient",
            lambda **given: client(transport=httpx.MockTransport(self._take), timeout=given["timeout"]),
        )
        self.secrets = AdminSecrets("http://127.0.0.1:7700/", "guard", "own-secret", now_s=lambda: self.now_s)

    def _take(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self.answer(request)


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Admin:
    return Admin(monkeypatch)


async def test_a_value_is_asked_for_with_the_bots_own_secret_and_again_after_a_minute(admin: Admin) -> None:
    assert [await admin.secrets.secret("ops") for _ in range(3)] == ["v1"] * 3
    [request] = admin.asked
    assert str(request.url) == "http://127.0.0.1:7700/api/v1/bots/guard/secrets/ops"
    assert request.headers["X-Bot-Auth"] == "own-secret"
    admin.now_s += FRESH_S
    admin.answer = lambda request: httpx.Response(200, json={"value": "v2"})
    assert await admin.secrets.secret("ops") == "v2"


def no_answer(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


@pytest.mark.parametrize(
    "away", [no_answer, lambda request: httpx.Response(503), lambda request: httpx.Response(200, text="<html>")]
)
async def test_while_the_admin_is_away_the_value_of_before_is_good(admin: Admin, away: Answer) -> None:
    await admin.secrets.secret("ops")
    admin.now_s += FRESH_S
    admin.answer = away
    assert await admin.secrets.secret("ops") == "v1"
    with pytest.raises(SecretMissing, match="the secret other can not be fetched"):
        await admin.secrets.secret("other")


async def test_what_the_admin_refuses_is_forgotten_and_its_reason_told(admin: Admin) -> None:
    await admin.secrets.secret("ops")
    admin.now_s += FRESH_S
    admin.answer = lambda request: httpx.Response(403, json={"detail": "the configuration does not name it"})
    with pytest.raises(SecretMissing, match="does not name it"):
        await admin.secrets.secret("ops")
    admin.answer = no_answer
    with pytest.raises(SecretMissing, match="does not answer"):
        await admin.secrets.secret("ops")


async def test_a_file_of_the_host_is_looked_at_first(admin: Admin, tmp_path: Path) -> None:
    (tmp_path / "ops").write_text("of the host\n")
    outside = HostOutside("", "", secrets_dir=tmp_path, secrets=admin.secrets)
    assert await outside.secret("ops") == "of the host"
    assert await outside.secret("other") == "v1"
    with pytest.raises(SecretMissing, match="can not be called"):
        await outside.secret("../bot.key")
    with pytest.raises(SecretMissing, match="there is no file"):
        await HostOutside("", "", secrets_dir=tmp_path).secret("other")
    with pytest.raises(SecretMissing, match="bots enroll"):
        await HostOutside("", "").secret("other")
