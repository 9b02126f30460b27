"""Settings of the admin: one name, three spellings (before step 1)."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from doai.configuration import check_endpoint
from doai.errors import ConfigError


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What `bin/admin` can be told; `checked` says what can not go together."""

    data_dir: Annotated[Path, Meta(description="folder of the broker's data (broker.db, keys)")]
    endpoint: Annotated[str, Meta(description="where the broker is, tcp://host:port")] = "tcp://127.0.0.1:7701"
    public_endpoint: Annotated[
        str, Meta(description="the broker's address as nodes elsewhere reach it; empty = the endpoint")
    ] = ""
    artifacts_dir: Annotated[Path | None, Meta(description="folder of artifacts; empty = data_dir/artifacts")] = (
        None
    )
    host: Annotated[str, Meta(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="port to listen on; 0 = any free one")] = 7700
    behind_proxy: Annotated[
        bool, Meta(description="a proxy with TLS is in front: listening beyond loopback is allowed")
    ] = False
    first_token_file: Annotated[
        Path | None, Meta(description="where the first token is written; empty = it is printed once")
    ] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="least severe lines that are logged")
    ] = "info"
    log_form: Annotated[
        Literal["auto", "json", "terminal"], Meta(description="form of log lines; auto = terminal if it is one")
    ] = "auto"

    @property
    def store_path(self) -> Path:
        """The broker's file, which is only read here."""
        return self.data_dir / "broker.db"

    @property
    def artifacts_path(self) -> Path:
        return self.artifacts_dir or self.data_dir / "artifacts"


def checked(settings: Settings) -> Settings:
    """Return the settings, or raise ConfigError with what can not be."""
    check_endpoint("endpoint", settings.endpoint)
    if settings.public_endpoint:
        check_endpoint("public_endpoint", settings.public_endpoint)
    if not settings.behind_proxy and not is_loopback(settings.host):
        raise ConfigError(
            f"host {settings.host} is reached from outside and tokens would travel unencrypted: put a proxy with "
            "TLS in front and set behind_proxy = true, or listen on 127.0.0.1"
        )
    return settings


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address; a name other than localhost may be anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
