"""Settings of a bot's process: one name, three spellings (TOML key, flag, DOAI_* variable)."""

from __future__ import annotations

import ssl
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from doai.configuration import Secret, check_endpoint
from doai.errors import ConfigError
from doai.limits import BOT_DRAIN_S
from doai.tls import check_admin_url, client_context
from doai.wire.keys import public_key_of


class BotConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What `bin/bot` is told."""

    program: Annotated[
        str,
        Meta(description="the bot: a file (thermal.py), a module (my_bots.thermal), or a name"),
    ] = ""
    plugin_dirs: Annotated[
        list[str], Meta(description="folder with plug-ins, whose bots can be named as the program")
    ] = []
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
    secret: Annotated[
        Secret,
        Meta(description="the bot's own secret: with it the admin hands out those that its configuration names"),
    ] = Secret("")
    secrets_dir: Annotated[
        str,
        Meta(
            description="folder with a file a secret, looked at first; empty = that of systemd (LoadCredential=)",
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
    public_key_of(config.broker_public_key)
    if config.supervise and (config.program or not config.name):
        raise ConfigError("a supervisor has a name of its own and no program: give name, leave program out")
    if not config.admin_url:
        return
    check_admin_url(config.admin_url, carries="this bot's token", plain_http=config.admin_plain_http)
    admin_context(config)


def admin_context(config: BotConfig) -> ssl.SSLContext:
    """Return what the admin's certificate is verified with; raises ConfigError."""
    return client_context(ca_file=config.admin_ca, fingerprint=config.admin_fingerprint)
