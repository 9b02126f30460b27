"""The first token: made when nobody could open the API, and never lost between file and broker."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from doai.admin.access import sha256_hex
from doai.admin.first_token import make_first_token
from doai.admin.mesh import BrokerUnavailable
from doai.changes.rows import TokenRow
from doai.errors import ConfigError
from doai.messages.commands import AddToken


class Services:
    """What making a token asks for: the tokens there are, and a broker that takes or does not take another."""

    def __init__(self, *rows: TokenRow, broker_away: bool = False) -> None:
        self.rows = list(rows)
        self.added: list[AddToken] = []
        self.broker_away = broker_away
        self.reader = self
        self.mesh = SimpleNamespace(source="admin/i")

    async def tokens(self) -> list[TokenRow]:
        return self.rows

    async def command(self, payload: AddToken, subject: str, **_: Any) -> None:
        if self.broker_away:
            raise BrokerUnavailable("away")
        assert subject == f"token/{payload.name}"
        self.added.append(payload)


def row(name: str, role: str = "admin", revoked_at_ms: int | None = None) -> TokenRow:
    return TokenRow(
        name=name,
        token_sha256=name,
        role=role,
        created_at_ms=0,
        created_by="x",
        revoked_at_ms=revoked_at_ms,
    )


def make(services: Any, file: Path | None) -> tuple[bool, list[str]]:
    told: list[str] = []
    return asyncio.run(make_first_token(services, file, told.append)), told


def test_it_is_written_for_its_owner_only(tmp_path: Path) -> None:
    services = Services()
    made, told = make(services, tmp_path / "token")
    token = (tmp_path / "token").read_text().strip()
    assert (made, told) == (True, [])
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    assert services.added == [AddToken(name="first", token_sha256=sha256_hex(token), role="admin")]
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_without_a_file_it_is_told_once() -> None:
    services = Services()
    _, [line] = make(services, None)
    assert sha256_hex(line.rpartition(" ")[2]) == services.added[0].token_sha256


def test_a_live_admin_token_is_enough(tmp_path: Path) -> None:
    services = Services(row("someone"))
    assert make(services, tmp_path / "token") == (False, [])
    assert not (tmp_path / "token").exists()


def test_others_are_not_and_its_name_is_free(tmp_path: Path) -> None:
    services = Services(row("first", role="viewer"), row("first-2", role="operator"), row("gone", revoked_at_ms=1))
    make(services, tmp_path / "token")
    assert services.added[0].name == "first-3"


def test_a_broker_that_did_not_hear_of_it_hears_of_the_same_one(tmp_path: Path) -> None:
    with pytest.raises(BrokerUnavailable):
        make(Services(broker_away=True), tmp_path / "token")
    token = (tmp_path / "token").read_text().strip()
    services = Services()
    make(services, tmp_path / "token")
    assert services.added[0].token_sha256 == sha256_hex(token)


def test_a_file_that_can_not_be_written_makes_no_token(tmp_path: Path) -> None:
    services = Services()
    with pytest.raises(ConfigError, match="first_token_file"):
        make(services, tmp_path / "nowhere" / "token")
    assert services.added == []
