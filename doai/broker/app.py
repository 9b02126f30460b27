"""Puts a broker together: data folder, keys, store, core, router (steps 1-5, 12).

DATA_DIR/broker.db           the store, locked while the broker runs
DATA_DIR/keys/broker.key     private key of the broker (.pub beside it is what peers need)
DATA_DIR/keys/admin.key      private key of the admin on this host, let in under the name `admin`
"""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from doai.broker.config import BrokerConfig, queues_of
from doai.broker.core.core import BrokerCore
from doai.broker.core.settings import CoreSettings
from doai.broker.shell import Shell
from doai.changes.ops import Op, Snapshot
from doai.clock import Now
from doai.disk_space import free_bytes
from doai.errors import ConfigError
from doai.ids import RandomIds
from doai.readiness import keep_watchdog, notify
from doai.store.base import Writer
from doai.store.committer import WriterMode
from doai.store.damage import told_damage
from doai.store.log_reader import SqliteLogReader
from doai.store.process_writer import open_process_writer
from doai.store.sqlite_writer import open_writer
from doai.wire.base import Router
from doai.wire.keys import KeyPair, load_or_make_keypair
from doai.wire.log_tap import LogTap, tapped
from doai.wire.router import open_router

ADMIN: Final = "admin"
"""Name of the admin on the broker's own host."""
_log: Final = logging.getLogger("doai.broker")


class LiveKeys:
    """The key ring of the router: what the core last said, replaced as a whole."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = keys

    def name_of(self, public_key: str) -> str | None:
        """Return the name that a public key proves; None lets it not in."""
        return self._keys.get(public_key)

    def replace(self, keys: Mapping[str, str]) -> None:
        """Let in these and nobody else."""
        self._keys = keys


def read_clocks() -> Now:
    """Read trio's monotonic clock and UTC."""
    return Now(trio.current_time(), time.time_ns() // 1_000_000)


async def run_broker(
    config: BrokerConfig, *, task_status: trio.TaskStatus[Router] = trio.TASK_STATUS_IGNORED
) -> None:
    """Run a broker until SIGTERM or SIGINT.

    Raises ConfigError, EndpointError (port in use), StoreUnavailable (another broker has the store), and
    StoreError when a commit failed; alone or in groups.
    """
    settings = CoreSettings(
        queues=queues_of(config),
        disk_reserve_bytes=config.disk_reserve_mb * 1024 * 1024,
        lease_s=config.lease_s,
        quarantine_after=config.quarantine_after,
        quarantine_first_s=config.quarantine_first_s,
        quarantine_max_s=config.quarantine_max_s,
    )
    data_dir = _data_dir(config)
    keypair = load_or_make_keypair(data_dir / "keys" / "broker.key")
    admin = load_or_make_keypair(Path(config.admin_key) if config.admin_key else data_dir / "keys" / "admin.key")
    # Seeded from the system: a system call for each of thousands of ids a second would cost more than the id.
    ids = RandomIds(random.Random(os.urandom(32)).getrandbits)
    now = read_clocks()
    mode = WriterMode(config.store_writer)
    log = SqliteLogReader(data_dir / "broker.db")
    opener: Any = open_process_writer if mode is WriterMode.PROCESS else open_writer
    writer: Writer[Op, Snapshot] = opener(
        data_dir / "broker.db", new_store_id=ids.new_id(now.utc_ms), now_ms=now.utc_ms
    )
    try:

        def load() -> BrokerCore:
            with _all_of_it_stays(), told_damage(data_dir / "broker.db"):
                return BrokerCore(writer.load(), ids, settings, read_clocks())

        core = load()
        registered = core.register_admin(ADMIN, admin.public, now)
        if registered.ops:
            writer.commit(registered.ops)
        with tapped("broker", core.state.life) as tap:
            await _serve(config, core, load, writer, log, keypair, mode, tap, task_status)
    finally:
        log.close()
        writer.close()


@contextmanager
def _all_of_it_stays() -> Iterator[None]:
    """Make what lives as long as the process: nothing of it is garbage, so it is not looked through for any.

    With 100,000 open tasks that took half of the time of a start, and later collections would go on looking.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


async def _serve(
    config: BrokerConfig,
    core: BrokerCore,
    load_again: Callable[[], BrokerCore],
    writer: Writer[Op, Snapshot],
    log: SqliteLogReader,
    keypair: KeyPair,
    mode: WriterMode,
    tap: LogTap,
    task_status: trio.TaskStatus[Router],
) -> None:
    keys = LiveKeys(core.live_keys())
    stop = trio.Event()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with open_router(config.endpoint, keypair, keys) as router, trio.open_nursery() as nursery:
            shell = Shell(
                core=core,
                router=router,
                writer=writer,
                keys=keys,
                now=read_clocks,
                mode=mode,
                load_again=load_again,
                disk_free_bytes=partial(free_bytes, _data_dir(config)),
                log=log,
                tap=tap,
            )
            nursery.start_soon(_stop_on_signal, signals, stop)
            nursery.start_soon(keep_watchdog, shell.prove_turn, trio.sleep)
            async with trio.open_nursery() as serving:
                await serving.start(shell.run, stop)
                _announce(router, keypair)
                task_status.started(router)
            nursery.cancel_scope.cancel()
    _log.info("stopped: everything that was acknowledged is on disk")


def _announce(router: Router, keypair: KeyPair) -> None:
    _log.info(
        "ready: peers connect to %s, the broker's public key is %s",
        router.endpoint,
        keypair.public,
        extra={"endpoint": router.endpoint, "public_key": keypair.public},
    )
    notify(
        READY="1",
        STATUS=f"peers connect to {router.endpoint}",
        X_DOAI_ENDPOINT=router.endpoint,
        X_DOAI_PUBLIC_KEY=keypair.public,
    )


async def _stop_on_signal(signals: Any, stop: trio.Event) -> None:
    async for number in signals:
        notify(STOPPING="1", STATUS="stopping: what is gathered is committed")
        _log.info("%s: stopping", signal.Signals(number).name)
        stop.set()


def _data_dir(config: BrokerConfig) -> Path:
    data_dir = Path(config.data_dir).expanduser()
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"data_dir {data_dir} can not be made: {error.strerror}; name another folder") from error
    return data_dir
