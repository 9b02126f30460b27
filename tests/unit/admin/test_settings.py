"""What the admin can be told, and what can not go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from doai.admin.settings import Settings, checked
from doai.configuration import load
from doai.errors import ConfigError
from doai.tls import is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_needs_nothing(host: str, tmp_path: Path) -> None:
    assert is_loopback(host)
    assert checked(Settings(data_dir=tmp_path, host=host)).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.5", "::", "phones.example"])
def test_beyond_loopback_a_proxy_must_be_in_front(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="behind_proxy"):
        checked(Settings(data_dir=tmp_path, host=host))
    assert checked(Settings(data_dir=tmp_path, host=host, behind_proxy=True))


def test_an_endpoint_is_a_tcp_address(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tcp://HOST:PORT"):
        checked(Settings(data_dir=tmp_path, endpoint="10.0.0.5:7701"))


def test_the_three_spellings_and_the_places_that_follow(tmp_path: Path) -> None:
    environ = {"DOAI_DATA_DIR": str(tmp_path), "DOAI_PORT": "0"}
    settings, _ = load(Settings, "admin", ["--artifacts-dir", str(tmp_path / "files")], environ)
    assert settings.store_path == tmp_path / "broker.db"
    assert settings.artifacts_path == tmp_path / "files"
    assert settings.port == 0
    settings, _ = load(Settings, "admin", [], environ)
    assert settings.artifacts_path == tmp_path / "artifacts"
