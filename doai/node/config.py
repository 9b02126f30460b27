"""Settings of a node: one name, three spellings (TOML key, flag, DOAI_* variable)."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from doai.configuration import Secret, check_endpoint
from doai.errors import ConfigError
from doai.limits import DEVICES_PER_NODE_MAX, DISK_RESERVE_MB, FILE_CACHE_MB, SLOTS
from doai.plugins.discovery import find_plugins
from doai.plugins.drivers import BUILT_IN, check_driver_names, split_settings
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
    _check_drivers(config)
    _check_folders("host_scripts", map(Path, config.host_scripts))
    _check_folders("plugin_dirs", plugin_folders(config) if config.plugin_dirs else ())
    if not config.admin_url:
        return
    check_admin_url(config.admin_url, carries="this node's secret", plain_http=config.admin_plain_http)
    admin_context(config)
    if not config.secret:
        raise ConfigError(
            "admin_url needs the node's secret: give --secret-file, or DOAI_SECRET (or NODE_AGENT_SHARED_SECRET)"
        )


def plugin_folders(config: NodeConfig) -> list[Path]:
    """Return the folders with plug-ins that the settings name."""
    return [Path(name).expanduser() for name in config.plugin_dirs] or [Path(config.data_dir) / "plugins"]


def _check_drivers(config: NodeConfig) -> None:
    split_settings(config.driver_settings)
    if set(config.drivers) - set(BUILT_IN):
        # To know the names of plug-ins' drivers all their files are read, so only when one is named.
        check_driver_names(find_plugins(plugin_folders(config)), config.drivers)
    if config.adb_path and not os.access(config.adb_path, os.X_OK):
        raise ConfigError(f"adb_path = {config.adb_path} is no program that can be run: correct the path")
    for place in config.adb_connect:
        host, _, port = place.rpartition(":")
        if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
            raise ConfigError(
                f"adb_connect can not have {place[:200]!r}: write HOST:PORT of a device, such as 192.168.0.7:5555"
            )


def _check_folders(setting: str, folders: Iterable[Path]) -> None:
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"{setting} can not have {folder}: there is no such folder; make or correct it")


def admin_context(config: NodeConfig) -> ssl.SSLContext:
    """Return what the admin's certificate is verified with; raises ConfigError."""
    return client_context(ca_file=config.admin_ca, fingerprint=config.admin_fingerprint)
