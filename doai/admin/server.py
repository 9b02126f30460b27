"""Runs the admin: port, broker, application, and an end within seconds (all steps)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any, Final

import uvicorn

from doai import __version__, topics
from doai.admin.access import Tokens
from doai.admin.app import make_app
from doai.admin.artifact_folder import ArtifactFolder
from doai.admin.backups import Backups
from doai.admin.connections import Connection
from doai.admin.feed import Feed
from doai.admin.file_folder import FileFolder
from doai.admin.first_token import make_first_token
from doai.admin.janitor import Janitor
from doai.admin.log_keeper import LogKeeper
from doai.admin.logcats import Logcats
from doai.admin.login_limit import LoginLimit
from doai.admin.mesh import NAME, BrokerUnavailable, Mesh
from doai.admin.outlook import Outlooks
from doai.admin.passwords import Passwords
from doai.admin.receiving import Intake
from doai.admin.rerecording import Rerecording, record_key
from doai.admin.screens import Screens
from doai.admin.services import Services
from doai.admin.sessions import Sessions
from doai.admin.settings import Settings
from doai.admin.vault import Vault
from doai.envelope import Message
from doai.errors import ConfigError, DoaiError, StoreUnavailable
from doai.messages.commands import RecordArtifact
from doai.messages.link import HostSample
from doai.readiness import keep_watchdog, notify
from doai.store.reader import StoreReader
from doai.store.retention_reader import RetentionReader
from doai.wire.keys import KeyPair, load_or_make_keypair, load_public_key, public_key_file
from doai.wire.log_tap import LogTap, tapped

GRACE_S: Final = 3
"""Requests that are being answered get this long at a stop; streams are ended at once."""
RETRY_S: Final = 1.0
"""Between two tries to make the first token while the broker is not ready."""

_log: Final = logging.getLogger("doai.admin")


class PortError(DoaiError):
    """The port can not be listened on."""

    code = "port_unavailable"


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket; raises PortError with what to do."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortError(f"host {host} can not be listened on: {error.strerror}; name another one") from error
    try:
        # An admin that was just stopped must not keep its successor from the port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise PortError(
            f"port {port} of {host} can not be listened on ({error.strerror}): stop what uses it, or choose "
            "another one with --port (0 = any free one)"
        ) from error
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """Return the address of a bound socket as this host reaches it."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - told apart, not bound
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn without its signals: it would raise them again at the end, and end us by a signal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: Settings, listener: socket.socket, tell: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises ConfigError (folder, keys, token file) and FencedError (the broker refuses this admin).
    ``tell`` prints what a person must see: the first token.
    """
    instance = secrets.token_hex(6)
    with tapped("admin", instance) as tap:
        await _serve(_services(settings, instance, tap), settings, listener, tell)


async def _serve(
    services: Services, settings: Settings, listener: socket.socket, tell: Callable[[str], None]
) -> None:
    services.artifacts.open()
    services.files.open()
    server = _Server(_uvicorn_config(make_app(services), settings))
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    parts: list[Coroutine[Any, Any, object]] = [
        services.mesh.run(),
        services.feed.run(),
        _announce(services, settings, url_of(listener, settings.scheme), tell),
        stop.wait(),
        _back_up(services),
        _tidy(services),
        _record_again(services, settings),
        services.logs.run(),
    ]
    serving = asyncio.create_task(server.serve([listener]), name="http")
    working = [asyncio.create_task(part) for part in parts]
    announcing = working[2]
    beating = asyncio.create_task(keep_watchdog(partial(_prove_turn, services), asyncio.sleep), name="watchdog")
    try:
        waiting = {serving, *working}
        while True:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if done != {announcing} or announcing.exception() is not None:
                break
    finally:
        notify(STOPPING="1")
        await services.feed.close()
        await services.screens.looking.close()
        await services.logcats.looking.close()
        server.should_exit = True
        for task in (*working, beating):
            task.cancel()
        results = await asyncio.gather(serving, *working, beating, return_exceptions=True)
        await services.janitor.close()
        await services.reader.close()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    for result in results:
        if isinstance(result, Exception):
            raise result
    _log.info("stopped")


async def _announce(services: Services, settings: Settings, url: str, tell: Callable[[str], None]) -> None:
    """Say that we serve, once the broker has welcomed us and somebody can open the API."""
    notify(STATUS="waiting for the broker")
    while True:
        await services.mesh.wait_live()
        try:
            made = await make_first_token(services, settings.first_token_file, tell)
            break
        except (BrokerUnavailable, StoreUnavailable) as error:
            _log.warning("the first token waits: %s", error)
            await asyncio.sleep(RETRY_S)
    await _sweep_files(services)
    if made and settings.first_token_file is not None:
        _log.info("the first token is in %s", settings.first_token_file)
    fingerprint = settings.fingerprint
    certificate = f", its certificate has the SHA-256 {fingerprint}" if fingerprint else ""
    _log.info("ready: %s%s", url, certificate, extra={"url": url})
    notify(READY="1", X_DOAI_URL=url, X_DOAI_FINGERPRINT=fingerprint)


async def _back_up(services: Services) -> None:
    await services.mesh.wait_live()  # before the first start of a broker there is no store
    await services.backups.run()


async def _tidy(services: Services) -> None:
    async def command(payload: Message) -> object:
        return await services.command(payload, "retention", actor=services.mesh.source, interface="system")

    await services.mesh.wait_live()
    await services.janitor.run(command)


async def _record_again(services: Services, settings: Settings) -> None:
    async def record(payload: RecordArtifact) -> object:
        subject = topics.task_subject(payload.task_id)
        key = record_key(payload)
        return await services.command(
            payload, subject, actor=services.mesh.source, interface="system", idempotency_key=key
        )

    await services.mesh.wait_live()
    await Rerecording(services.reader, settings.artifacts_path, record).run()


async def _prove_turn(services: Services) -> None:
    """Return when the reader has answered; that it can not be reached is an answer, silence is none."""
    with contextlib.suppress(StoreUnavailable):
        await services.reader.last_position()


async def _sweep_files(services: Services) -> None:
    """Remove the bytes that an admin which died left without a name."""
    try:
        await services.files.sweep({row.sha256 for row in await services.reader.files()})
    except (StoreUnavailable, OSError) as error:
        _log.warning("files without a name stay until the next start: %s", error)


def _services(settings: Settings, instance: str, tap: LogTap) -> Services:
    reader = StoreReader(settings.store_path)
    keys = settings.data_dir / "keys"
    broker_key_path = public_key_file(keys / "broker.key")
    started_at_ms = time.time_ns() // 1_000_000
    reserve_bytes = settings.disk_reserve_mb * 1024 * 1024

    def load_keys() -> tuple[KeyPair, str]:
        if not broker_key_path.exists():
            raise ConfigError(f"there is no {broker_key_path} yet: start the broker on this data folder first")
        return load_or_make_keypair(keys / "admin.key"), load_public_key(broker_key_path)

    def sample() -> HostSample:
        return HostSample(
            host=socket.gethostname(), pid=os.getpid(), version=__version__, started_at_ms=started_at_ms
        )

    backups = Backups(
        settings.store_path,
        keys,
        settings.backups_path,
        every_h=settings.backup_every_h,
        keep=settings.backups_keep,
        schedule=settings.backup_schedule,
    )
    janitor = Janitor(
        RetentionReader(settings.store_path),
        settings.artifacts_path,
        settings.policy,
        every_h=settings.retention_every_h,
        wait_free=backups.wait_free,
    )
    logs = LogKeeper(
        settings.log_path,
        tap,
        f"{NAME}/{instance}",
        days=settings.keep_log_days,
        lines_max=settings.keep_log_lines,
    )
    on_log = logs.relayed if logs.keeps else None
    return Services(
        reader=reader,
        mesh=Mesh(settings.endpoint, load_keys, instance=instance, sample=sample, on_log=on_log),
        tokens=Tokens(reader),
        sessions=Sessions(reader),
        passwords=Passwords(),
        logins=LoginLimit(),
        artifacts=ArtifactFolder(Intake(settings.artifacts_path, reserve_bytes=reserve_bytes)),
        files=FileFolder(
            Intake(settings.files_path, reserve_bytes=reserve_bytes),
            size_max_bytes=settings.file_max_mb * 1024 * 1024,
        ),
        feed=Feed(reader),
        backups=backups,
        janitor=janitor,
        logs=logs,
        outlooks=Outlooks(reader),
        screens=Screens(),
        logcats=Logcats(),
        vault=Vault(keys / "secrets.key"),
        public_url=settings.public_url.rstrip("/"),
        fingerprint=settings.fingerprint,
        broker_endpoint=settings.public_endpoint or settings.endpoint,
        broker_key_path=broker_key_path,
    )


def _uvicorn_config(app: Any, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        http=Connection,
        loop="asyncio",
        server_header=False,
        # Only a proxy that was said to be there may say who the client is.
        proxy_headers=settings.behind_proxy,
        forwarded_allow_ips="*" if settings.behind_proxy else None,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=30,
    )


def print_line(line: str) -> None:
    """Print what a person must see, and nothing of it into the log."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
