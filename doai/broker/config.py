"""Settings of the broker: one name, three spellings (TOML key, flag, DOAI_* variable)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from doai.broker.core.settings import QUEUE
from doai.configuration import check_endpoint
from doai.errors import ConfigError
from doai.ids import is_name
from doai.limits import (
    DISK_RESERVE_MB,
    LEASE_S,
    OFFLINE_AFTER_S,
    QUARANTINE_FIRST_S,
    QUARANTINE_IN_A_ROW,
    QUARANTINE_MAX_S,
    QUARANTINE_RECENT,
)

ENDPOINT: Final = "tcp://127.0.0.1:7701"


class BrokerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What `bin/broker` is told."""

    data_dir: Annotated[
        str,
        Meta(description="folder of the store (broker.db) and of the keys; made when it is missing", min_length=1),
    ]
    endpoint: Annotated[str, Meta(description="where peers connect, tcp://ADDRESS:PORT; port 0 = any free one")] = (
        ENDPOINT
    )
    store_writer: Annotated[
        Literal["adaptive", "inline", "thread", "process"],
        Meta(description="where commits run: adaptive, inline, thread, process"),
    ] = "adaptive"
    admin_key: Annotated[
        str,
        Meta(description="private key file of the admin, made when missing; empty = keys/admin.key in data_dir"),
    ] = ""
    queues: Annotated[
        list[str],
        Meta(
            description="queues to make where they are missing, NAME=PRIORITY; larger goes first, `default` has 0; "
            "`doai queues` changes them"
        ),
    ] = []
    quarantine_after: Annotated[
        int,
        Meta(
            description="failures in a row, not the recipe's, after which a device or node gets no tasks for a "
            "while; 0 = only a person does it",
            ge=0,
            le=QUARANTINE_RECENT,
        ),
    ] = QUARANTINE_IN_A_ROW
    quarantine_first_s: Annotated[
        float, Meta(description="seconds the first quarantine lasts; it doubles with each probe that fails", ge=1)
    ] = QUARANTINE_FIRST_S
    quarantine_max_s: Annotated[float, Meta(description="seconds a quarantine lasts at most", ge=1)] = (
        QUARANTINE_MAX_S
    )
    lease_s: Annotated[
        float,
        Meta(
            description="seconds after which an attempt that its node no longer vouches for is held as unproven",
            ge=OFFLINE_AFTER_S,
            le=3600,
        ),
    ] = LEASE_S
    disk_reserve_mb: Annotated[
        int, Meta(description="with less free disk (MB) no run or workflow is taken in; 0 = never refused", ge=0)
    ] = DISK_RESERVE_MB
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="log lines from here up")
    ] = "info"
    log_form: Annotated[
        Literal["auto", "json", "terminal", "journal"], Meta(description="form of log lines; auto = what stderr is")
    ] = "auto"


def check_config(config: BrokerConfig) -> None:
    """Raise ConfigError for what only a look at the values shows."""
    check_endpoint("endpoint", config.endpoint, listens=True)
    queues_of(config)
    if config.quarantine_first_s > config.quarantine_max_s:
        raise ConfigError(
            f"quarantine_first_s ({config.quarantine_first_s:g}) is above quarantine_max_s "
            f"({config.quarantine_max_s:g}): the first term can not be the longest"
        )


def queues_of(config: BrokerConfig) -> dict[str, int]:
    """Return the queues with their priorities; raises ConfigError."""
    queues = {QUEUE: 0}
    for text in config.queues:
        name, sign, priority = text.partition("=")
        if not is_name(name) or not sign or not priority.lstrip("-").isdecimal() or len(priority) > 9:
            raise ConfigError(f"queues: {text[:80]!r} is no queue; write NAME=PRIORITY such as urgent=10")
        queues[name] = int(priority)
    return queues
