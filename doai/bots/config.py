"""Settings of a bot's process: one name, three spellings (TOML key, flag, DOAI_* variable)."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from doai.configuration import Secret, check_endpoint
from doai.errors import ConfigError
from doai.limits import BOT_DRAIN_S
from doai.tls import client_context, is_http_url, sends_in_clear
from doai.wire.keys import is_public_key, load_public_key


class BotConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What `bin/bot` is told."""

    program: Annotated[
        str,
        Meta(description="the bot: a file (thermal.py), a module (my_bots.thermal), or a name"),
    ] = ""
    supervise: Annotated[
        str, Meta(description="folder of settings, NAME.toml each: start and stop those bots instead of being one")
    ] = ""
    name: Annotated[
        str,
        Meta(
            description="name on the mesh, where it is another than the program says: 1-63 of a-z 0-9 . _ -",
            pattern=r"^([a-z0-9][a-z0-9._-]{0,62})?$",
        ),
    ] = ""
    endpoint: Annotated[str, Meta(description="endpoint of the broker")] = "tcp://127.0.0.1:7701"
    broker_public_key: Annotated[
        str, Meta(description="public key of the broker (40 characters), or the path of the file that has it")
    ]
    bot_dir: Annotated[str, Meta(description="folder of the bot's key and its state; each process needs its own")]
    admin_url: Annotated[
        str,
        Meta(description="address of the admin API, for queries and results of runs; empty = none"),
    ] = ""
    api_token: Annotated[Secret, Meta(description="API token of the bot, of the role viewer or more")] = Secret("")
    admin_ca: Annotated[
        str, Meta(description="PEM file of authorities for the admin's certificate; empty = the system's")
    ] = ""
    admin_fingerprint: Annotated[
        str, Meta(description="SHA-256 of the admin's certificate: exactly that one is accepted")
    ] = ""
    admin_plain_http: Annotated[
        bool,
        Meta(description="allow an admin_url with http:// beyond this machine: something else encrypts the way"),
    ] = False
    secrets_dir: Annotated[
        str,
        Meta(
            description="folder with a file for each secret; empty = that of systemd (LoadCredential=)",
            extra={"aliases": ["CREDENTIALS_DIRECTORY"]},
        ),
    ] = ""
    drain_s: Annotated[
        float, Meta(description="seconds that handlers have to end when the bot is stopped", ge=0, le=3600)
    ] = BOT_DRAIN_S
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="log lines from here up")
    ] = "info"
    log_form: Annotated[
        Literal["auto", "json", "terminal", "journal"], Meta(description="form of log lines; auto = what stderr is")
    ] = "auto"


def check_config(config: BotConfig) -> None:
    """Raise ConfigError for what only a look at the values, and at the files they name, shows."""
    check_endpoint("endpoint", config.endpoint)
    broker_key(config)
    if config.supervise and (config.program or not config.name):
        raise ConfigError("a supervisor has a name of its own and no program: give name, leave program out")
    if not config.admin_url:
        return
    if not is_http_url(config.admin_url):
        raise ConfigError(
            f"admin_url can not be {config.admin_url[:200]!r}: write https://HOST:PORT, e.g. https://10.0.0.5:7700"
        )
    if sends_in_clear(config.admin_url) and not config.admin_plain_http:
        raise ConfigError(
            f"admin_url {config.admin_url} would carry this bot's token unencrypted: use https:// (the admin's "
            "--tls-cert, or a proxy), or set admin_plain_http = true where a tunnel encrypts the way"
        )
    admin_context(config)


def admin_context(config: BotConfig) -> ssl.SSLContext:
    """Return what the admin's certificate is verified with; raises ConfigError."""
    return client_context(ca_file=config.admin_ca, fingerprint=config.admin_fingerprint)


def broker_key(config: BotConfig) -> str:
    """Return the broker's public key (40 characters of Z85); raises ConfigError when its file has none."""
    text = config.broker_public_key
    return text if is_public_key(text) else load_public_key(Path(text).expanduser())
