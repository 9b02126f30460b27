"""Settings of a node: one name, three spellings (TOML key, flag, DOAI_* variable)."""

from __future__ import annotations

import ssl
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from doai.configuration import Secret, check_endpoint
from doai.errors import ConfigError
from doai.limits import DEVICES_PER_NODE_MAX, DISK_RESERVE_MB, FILE_CACHE_MB, SLOTS
from doai.tls import check_admin_url, client_context
from doai.wire.keys import public_key_of


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What `bin/node` is told."""

    name: Annotated[
        str,
        Meta(
            description="name of this node on the mesh: 1-63 of a-z 0-9 . _ -",
            pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
        ),
    ]
    endpoint: Annotated[str, Meta(description="endpoint of the broker")] = "tcp://127.0.0.1:7701"
    broker_public_key: Annotated[
        str, Meta(description="public key of the broker (40 characters), or the path of the file that has it")
    ]
    data_dir: Annotated[
        str,
        Meta(description="folder of the node's key, its outbox (node.db) and its artifacts"),
    ]
    slots: Annotated[int, Meta(description="tasks executed at once", ge=1, le=DEVICES_PER_NODE_MAX)] = SLOTS
    drivers: Annotated[
        list[str], Meta(description="kinds of devices: adb, fake, or a driver of a plug-in", min_length=1)
    ] = msgspec.field(default_factory=lambda: ["adb"])
    driver_settings: Annotated[
        list[str], Meta(description="DRIVER.NAME=VALUE: a setting of a driver of a plug-in")
    ] = []
    plugin_dirs: Annotated[
        list[str], Meta(description="folder with plug-ins; DATA_DIR/plugins unless one is named")
    ] = []
    plugin_memory_mb: Annotated[
        int, Meta(description="MB of memory from which on a plug-in's process is replaced", ge=64)
    ] = 512
    tags: Annotated[list[str], Meta(description="tags of all devices of this node")] = []
    admin_url: Annotated[
        str, Meta(description="address of the admin API, for artifacts; empty = they wait in the spool")
    ] = ""
    admin_ca: Annotated[
        str,
        Meta(description="PEM file of authorities for the admin's certificate; empty = the system's"),
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
        Meta(
            description="the node's secret for the upload of artifacts",
            extra={"aliases": ["NODE_AGENT_SHARED_SECRET"]},
        ),
    ] = Secret("")
    adb_port: Annotated[int, Meta(description="TCP port of the adb server on this host", ge=1, le=65535)] = 5037
    adb_start_server: Annotated[bool, Meta(description="run and supervise the adb server")] = True
    adb_usb: Annotated[bool, Meta(description="let that server look for USB devices")] = True
    adb_connect: Annotated[list[str], Meta(description="HOST:PORT of a network device")] = []
    adb_path: Annotated[str, Meta(description="the adb program; empty = the one that is found")] = ""
    adb_home: Annotated[str, Meta(description="folder where the adb server keeps its key; empty = your home")] = ""
    fake_count: Annotated[int, Meta(description="devices of the fake driver", ge=0, le=100_000)] = 20
    fake_seed: Annotated[int, Meta(description="the same seed makes the same fake devices", ge=0)] = 0
    fake_prefix: Annotated[
        str,
        Meta(
            description="beginning of their serials: each node needs its own",
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$",
        ),
    ] = "FAKE"
    fake_latency_s: Annotated[float, Meta(description="seconds a command of a fake device takes", ge=0, le=60)] = (
        0.0
    )
    host_scripts: Annotated[
        list[str], Meta(description="folder whose scripts host.run may run on this host; none unless named")
    ] = []
    file_cache_mb: Annotated[
        int, Meta(description="disk for stored files (apps and the like) that tasks of this host use, in MB", ge=1)
    ] = FILE_CACHE_MB
    disk_reserve_mb: Annotated[
        int, Meta(description="with less free disk (MB) no task starts; 0 = always", ge=0)
    ] = DISK_RESERVE_MB
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="log lines from here up")
    ] = "info"
    log_form: Annotated[
        Literal["auto", "json", "terminal", "journal"], Meta(description="form of log lines; auto = what stderr is")
    ] = "auto"


def check_config(config: NodeConfig) -> None:
    """Raise ConfigError for what only a look at the values, and at the files they name, shows."""
    check_endpoint("endpoint", config.endpoint)
    public_key_of(config.broker_public_key)
    if not config.admin_url:
        return
    check_admin_url(config.admin_url, carries="this node's secret", plain_http=config.admin_plain_http)
    admin_context(config)
    if not config.secret:
        raise ConfigError(
            "admin_url needs the node's secret: give --secret-file, or DOAI_SECRET (or NODE_AGENT_SHARED_SECRET)"
        )


def admin_context(config: NodeConfig) -> ssl.SSLContext:
    """Return what the admin's certificate is verified with; raises ConfigError."""
    return client_context(ca_file=config.admin_ca, fingerprint=config.admin_fingerprint)
