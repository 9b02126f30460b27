"""The xiaowei driver: client, follower and devices put together (step 9)."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import trio

from doai.drivers.base import DeviceChange, DriverNotice, Proof
from doai.drivers.failures import tagged
from doai.drivers.feed import Feed
from doai.drivers.xiaowei.client import Client
from doai.drivers.xiaowei.commands import Commands
from doai.drivers.xiaowei.config import XiaoweiConfig
from doai.drivers.xiaowei.device import PREFIX, XiaoweiDevice
from doai.drivers.xiaowei.following import Follower
from doai.drivers.xiaowei.phones import Phones
from doai.errors import ConfigError


class XiaoweiStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A moment of the driver's life."""

    open_sockets: int
    """To the vendor's program."""
    late_answers: int
    """To requests that nobody waited for any more; thrown away."""
    stray_answers: int
    """That nobody asked for, or that answered something else; thrown away."""
    connects: int
    """How often the connection for the list was made."""


class XiaoweiDriver:
    """All phones of one vendor's program; keeps the promises of doai.drivers.base.Driver.

    Raises ConfigError for an address that is no WebSocket's, and for a folder that can not be used.
    """

    name = "xiaowei"
    cannot = frozenset({"host.run"})
    """Scripts speak to an adb server; the program's own is not known."""

    def __init__(self, config: XiaoweiConfig) -> None:
        _check(config)
        self.config = config
        self._folder = Path(config.folder)
        self._feed = Feed()
        self._client = Client(config.url, config.connections)
        self._commands = Commands(self._client)
        self._phones = Phones(self._feed, config.url, trio.current_time)
        self._follower = Follower(config, self._client, self._commands, self._phones, self._report)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Follow the program's list while entered; the program may come later."""
        with _exchange_folder(self.config.folder) as self._folder:
            try:
                async with trio.open_nursery() as nursery:
                    await nursery.start(self._client.run)
                    nursery.start_soon(self._follower.follow, nursery)
                    yield
                    nursery.cancel_scope.cancel()
            finally:
                self._phones.lose("the driver was stopped")  # nobody watches them: they are new to the next run

    def changes(self) -> AsyncIterator[DeviceChange | Proof | DriverNotice]:
        """Return what happens to devices from now on, beginning with those that are there."""
        return self._feed.read()

    def device(self, serial: str, *, tag: str = "") -> XiaoweiDevice:
        """Return the device; raises StepError that says why it can not be used now."""
        tagged(tag, "")
        self._phones.find(serial)
        folder, settle_s = self._folder, self.config.settle_s
        return XiaoweiDevice(serial, tag, self._commands, self._phones, folder=folder, settle_s=settle_s)

    def statistics(self) -> XiaoweiStatistics:
        """Return figures for tests and status pages."""
        return XiaoweiStatistics(
            open_sockets=self._client.open_sockets,
            late_answers=self._client.counts.late,
            stray_answers=self._client.counts.stray,
            connects=self._follower.connects,
        )

    def _report(self, code: str, message: str) -> None:
        self._feed.publish(DriverNotice(code=code, message=message))


def _check(config: XiaoweiConfig) -> None:
    try:
        parts = urlsplit(config.url)
        # The program listens on loopback without encryption: there is no wss.
        good = parts.scheme == "ws" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ConfigError(f"xiaowei.url can not be {config.url[:200]!r}: write ws://127.0.0.1:22222")
    if '"' in config.folder:
        raise ConfigError(f"xiaowei.folder can not be {config.folder[:200]!r}: use a path without double quotes")
    try:
        if config.folder:
            Path(config.folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"xiaowei.folder {config.folder} can not be used ({error.strerror}): name a folder that can be written"
        ) from error


@contextmanager
def _exchange_folder(named: str) -> Iterator[Path]:
    """Have the folder, without what a process left there that was killed in the middle of a transfer."""
    if not named:
        with tempfile.TemporaryDirectory(prefix="doai-xiaowei-", ignore_cleanup_errors=True) as made:
            yield Path(made)
        return
    for left in Path(named).glob(f"{PREFIX}*"):
        left.unlink(missing_ok=True)
    yield Path(named)
