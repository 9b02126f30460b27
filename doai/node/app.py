"""The node as a program: opens its file, key, spool and drivers, runs the shell, and stops well (steps 6-11).

SIGTERM or SIGINT: running steps are cancelled, their `always` runs, everything is given back to the broker
without burning an attempt, BYE, exit 0. A second one exits at once; the next start sorts out what was left.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Final

import trio

from doai import __version__
from doai.disk_space import free_bytes
from doai.drivers.adb.config import AdbConfig
from doai.drivers.adb.driver import AdbDriver
from doai.drivers.adb.server import find_adb
from doai.drivers.base import Driver
from doai.drivers.fake.driver import FakeDriver
from doai.errors import ConfigError
from doai.ids import RandomIds
from doai.messages.samples import SAMPLES_DEVICES
from doai.node.boot_clock import BootClock
from doai.node.config import NodeConfig, admin_context, check_config, plugin_folders
from doai.node.core.core import NodeCore
from doai.node.core.effects import NodeSettings, StopNode
from doai.node.fetch import Fetcher
from doai.node.file_cache import FileCache
from doai.node.logcats import LogcatFeed
from doai.node.plugins import Plugins
from doai.node.screens import ScreenFeed
from doai.node.secrets import AdminSecrets
from doai.node.shell import Shell
from doai.node.spool import Spool, SpoolEntry
from doai.node.steps.host import HostScripts
from doai.node.steps.table import STEPS
from doai.node.upload import Uploader
from doai.node.watching import Watching
from doai.plugins.discovery import Found, find_plugins
from doai.plugins.drivers import load_driver, split_settings
from doai.readiness import keep_watchdog, notify
from doai.reasons import reason as because
from doai.store.outbox import open_outbox
from doai.wire.base import Dealer
from doai.wire.dealer import open_dealer
from doai.wire.keys import load_or_make_keypair, public_key_of
from doai.wire.log_tap import LogTap, tapped

EXIT_AT_ONCE: Final = 130
_log: Final = logging.getLogger(__name__)


async def run_node(config: NodeConfig) -> StopNode:
    """Run a node until it is told to stop.

    Raises ConfigError, StoreUnavailable (its file is in use or damaged), StoreError (a commit failed), and
    EndpointError, alone or in groups.
    """
    with tapped("node", os.urandom(8).hex()) as tap:
        return await _run_node(config, tap)


async def _run_node(config: NodeConfig, tap: LogTap) -> StopNode:
    data_dir = Path(config.data_dir)
    check_config(config)
    server_key = public_key_of(config.broker_public_key)
    keys = load_or_make_keypair(data_dir / "keys" / "node.key")
    _log.info("this node has public key %s", keys.public, extra={"node_id": config.name})

    def dealer() -> AbstractAsyncContextManager[Dealer]:
        return open_dealer(config.endpoint, keys, server_key)

    # Seeded from the system: a system call for each of thousands of ids a second would cost more than the id.
    ids = RandomIds(random.Random(os.urandom(32)).getrandbits)
    clock = BootClock()
    now = clock.now()
    outbox = open_outbox(data_dir / "node.db", new_incarnation=ids.new_id(now.utc_ms))
    try:
        drivers = make_drivers(config, await _plugins_of_drivers(config))
        settings = NodeSettings(
            node_id=config.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            started_at_ms=now.utc_ms,
            slots=config.slots,
            tags=config.tags,
            disk_reserve_bytes=config.disk_reserve_mb * 1024 * 1024,
            capabilities=capabilities_of(drivers),
        )
        spool = _open_spool(data_dir, config.name)
        scripts = HostScripts(
            [Path(folder) for folder in config.host_scripts],
            config.adb_port,
            data_dir / "scripts",
            find_adb(_adb(config)) if "adb" in config.drivers and config.adb_start_server else None,
        )
        files = _file_cache(config, data_dir)
        steps = {**STEPS, "host.run": scripts.run}
        plugins = Plugins(
            plugin_folders(config),
            data_dir / "plugins-run",
            {name: function for name, function in steps.items() if name != "host.run"},
            memory_bytes=config.plugin_memory_mb * 1024 * 1024,
        )
        shell = Shell(
            node_id=config.name,
            core=NodeCore(outbox.load(), settings, ids, now),
            outbox=outbox,
            spool=spool,
            drivers=drivers,
            open_dealer=dealer,
            steps=steps,
            clock=clock,
            disk_free_bytes=partial(free_bytes, data_dir),
            files=files,
            secrets=_secret_source(config),
            tap=tap,
            plugins=plugins,
        )
        return await _run(shell, _uploader(config, spool, shell), files, _watchers(config, shell))
    finally:
        outbox.close()


async def _run(
    shell: Shell, uploader: Uploader | None, files: FileCache | None, watchers: Sequence[Watching]
) -> StopNode:
    stop = StopNode("a second signal", EXIT_AT_ONCE)

    async def run_shell(task_status: trio.TaskStatus[None]) -> None:
        nonlocal stop
        stop = await shell.run(task_status)
        nursery.cancel_scope.cancel()

    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            if uploader is not None:
                nursery.start_soon(uploader.run)
            if files is not None:
                await nursery.start(files.run)
            await nursery.start(run_shell)
            for watcher in watchers:
                nursery.start_soon(watcher.run)
            nursery.start_soon(_obey, signals, shell, nursery.cancel_scope)
            nursery.start_soon(_announce, shell)
            nursery.start_soon(keep_watchdog, shell.prove_turn, trio.sleep)
    return stop


async def _announce(shell: Shell) -> None:
    await shell.wait_serving()
    _log.info("ready: devices of this host are watched")
    notify(READY="1", STATUS="devices are watched")


async def _obey(signals: AsyncIterator[int], shell: Shell, scope: trio.CancelScope) -> None:
    first = True
    async for number in signals:
        name = signal.Signals(number).name
        if not first:
            _log.warning("%s again: the node exits at once", name)
            scope.cancel()
            return
        first = False
        notify(STOPPING="1", STATUS="giving tasks back; running ones end with their `always`")
        _log.info("%s: the node gives its tasks back and stops; the same again exits at once", name)
        shell.drain(because("node_stopped", signal=name))


def make_drivers(config: NodeConfig, plugins: Found) -> list[Driver]:
    """Return the drivers that the settings name; raises ConfigError."""
    made: list[Driver] = []
    settings = split_settings(config.driver_settings)
    for name in dict.fromkeys(config.drivers):
        if name == "adb":
            made.append(AdbDriver(_adb(config)))
        elif name != "fake":
            made.append(load_driver(plugins, name, settings.get(name, {})))
        else:
            made.append(
                FakeDriver(
                    serials=_fake_serials(config.fake_prefix, config.fake_count),
                    seed=config.fake_seed,
                    latency_s=config.fake_latency_s,
                    journal_max=0,
                )
            )
    return made


async def _plugins_of_drivers(config: NodeConfig) -> Found:
    """Return the plug-ins when a driver of one is named: to find them all their files are read."""
    if not set(config.drivers) - {"adb", "fake"}:
        return Found((), ())
    return await trio.to_thread.run_sync(find_plugins, plugin_folders(config))


def capabilities_of(drivers: Sequence[Driver]) -> list[str]:
    """Return what a node with these drivers advertises: steps that one of them can do, and the drivers."""
    cannot = frozenset.intersection(*(getattr(driver, "cannot", frozenset()) for driver in drivers))
    return [
        *(f"step:{name}" for name in STEPS if name not in cannot),
        *(f"driver:{driver.name}" for driver in drivers),
        SAMPLES_DEVICES,
    ]


def _adb(config: NodeConfig) -> AdbConfig:
    return AdbConfig(
        server_port=config.adb_port,
        start_server=config.adb_start_server,
        usb=config.adb_usb,
        adb_path=config.adb_path or None,
        home=config.adb_home or None,
        connect=config.adb_connect,
    )


def _fake_serials(prefix: str, count: int) -> Sequence[str]:
    return [f"{prefix}{number:04d}" for number in range(1, count + 1)]


def _open_spool(data_dir: Path, node_id: str) -> Spool:
    try:
        return Spool(data_dir, node_id)
    except OSError as error:
        raise ConfigError(f"the spool in {data_dir} can not be used: {error.strerror}; check its owner") from error


def _file_cache(config: NodeConfig, data_dir: Path) -> FileCache | None:
    if not config.admin_url:
        return None
    fetcher = Fetcher(config.admin_url, config.secret.reveal(), config.name, tls=admin_context(config))
    folder = data_dir / "files"
    try:
        return FileCache(
            folder,
            fetcher,
            limit_bytes=config.file_cache_mb * 1024 * 1024,
            free_bytes=partial(free_bytes, folder),
            reserve_bytes=config.disk_reserve_mb * 1024 * 1024,
        )
    except OSError as error:
        raise ConfigError(f"the file cache {folder} can not be used: {error.strerror}; check its owner") from error


def _secret_source(config: NodeConfig) -> AdminSecrets | None:
    if not config.admin_url:
        return None
    return AdminSecrets(config.admin_url, config.name, config.secret.reveal(), admin_context(config))


def _watchers(config: NodeConfig, shell: Shell) -> list[Watching]:
    """Return what shows devices to whoever looks at them on the admin."""
    if not config.admin_url:
        return []
    return [
        Watching(
            config.admin_url,
            config.name,
            config.secret.reveal(),
            feed,
            tls=admin_context(config),
            random01=random.random,
        )
        for feed in (ScreenFeed(shell.driver_of), LogcatFeed(shell.driver_of))
    ]


def _uploader(config: NodeConfig, spool: Spool, shell: Shell) -> Uploader | None:
    if not config.admin_url:
        _log.warning("no admin_url is set: artifacts wait in the spool of this node")
        return None

    async def refused(entry: SpoolEntry) -> None:
        reason = entry.refusal.reason if entry.refusal else "no reason"
        shell.alert(
            "artifact_refused", f"The admin refused artifact {entry.path} of task {entry.task_id}: {reason}."
        )

    return Uploader(
        spool, config.admin_url, config.secret.reveal(), config.name, on_refused=refused, tls=admin_context(config)
    )
