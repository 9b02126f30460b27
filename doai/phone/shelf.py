"""A shelf of simulated phones in one process, each on its own port (way of a task: 9).

async with open_shelf(count=20, seed=1, journal_dir=folder) as shelf:
    phone = shelf.phones[0]
    phone.port, phone.serial             # adb connect 127.0.0.1:PORT
    phone.order(Fault.RESET_MID_OUTPUT, match="screencap")
    phone.journal.entries()
"""

import errno
import math
import random
import socket
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import trio

from doai.phone import profiles
from doai.phone.control import serve_control
from doai.phone.device import Device
from doai.phone.journal import Journal, JournalFile
from doai.phone.phone import BACKLOG, Phone, bound_socket

PHONES_MAX = 2000
"""Phones of one shelf; more want more file descriptors and CPU than one process should take."""
REBOOT_S = 1.0
"""How long a rebooting phone is away. Real ones take 20-60 s; adb's server forgets a phone after 60 s."""
UP_FOR_S_MAX = 14 * 24 * 3600
"""Phones have been up for at most two weeks when the shelf opens."""


class ShelfError(Exception):
    """The shelf can not be opened; the text says what to change."""


class Shelf:
    """Phones that run. `control_port` is None unless one was asked for."""

    def __init__(self, phones: list[Phone], control_port: int | None, journal_path: Path | None) -> None:
        self.phones = phones
        self.control_port = control_port
        self.journal_path = journal_path
        self._by_serial = {phone.serial: phone for phone in phones}

    def phone(self, serial: str) -> Phone:
        """The phone with this serial. Raises KeyError."""
        return self._by_serial[serial]


@asynccontextmanager
async def open_shelf(
    *,
    count: int,
    seed: int = 0,
    host: str = "127.0.0.1",
    base_port: int = 0,
    control_port: int | None = None,
    journal_dir: Path | None = None,
    serial_from: int = 1,
    reboot_s: float = REBOOT_S,
) -> AsyncIterator[Shelf]:
    """Opens a shelf; on leaving, every connection is cut and every port given back.

    `base_port` N takes N, N+1, ...; 0 lets the system choose. `control_port` 0 does the same, None opens
    none. Serials are SIM0001 and on, from `serial_from`. The same seed gives the same phones. Raises ShelfError.
    """
    if not 1 <= count <= PHONES_MAX:
        raise ShelfError(f"cannot open a shelf of {count} phones: ask for 1 to {PHONES_MAX}")
    if not (math.isfinite(reboot_s) and reboot_s >= 0) or serial_from < 0:
        raise ShelfError(
            f"phones that reboot for {reboot_s:g} s from number {serial_from} can not be: give 0 or more"
        )
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(_listen(host, base_port + index if base_port else 0)) for index in range(count)
        ]
        control = stack.enter_context(_listen(host, control_port)) if control_port is not None else None
        file = _open_journal(journal_dir) if journal_dir is not None else None
        if file is not None:
            stack.callback(file.close)
        async with trio.open_nursery() as nursery:
            phones = [
                _make_phone(sock, nursery, file, seed, serial_from + index, reboot_s)
                for index, sock in enumerate(sockets)
            ]
            number = control.getsockname()[1] if control is not None else None
            shelf = Shelf(phones, number, file.path if file is not None else None)
            for phone in phones:
                nursery.start_soon(phone.serve)
            if control is not None:
                listener = trio.SocketListener(trio.socket.from_stdlib_socket(control))
                nursery.start_soon(serve_control, shelf.phones, listener)
            try:
                yield shelf
            finally:
                nursery.cancel_scope.cancel()
                for phone in phones:
                    phone.close()


def _open_journal(folder: Path) -> JournalFile:
    try:
        return JournalFile(folder)
    except OSError as error:
        raise ShelfError(f"cannot keep a journal in {folder}: {error.strerror}: choose another folder") from None


def _listen(host: str, port: int) -> socket.socket:
    try:
        bound = bound_socket(host, port)
        bound.listen(BACKLOG)
    except OverflowError:
        raise ShelfError(f"there is no port {port}: choose a first one from 1 to 65535 so that all fit") from None
    except OSError as error:
        do = "raise `ulimit -n`" if error.errno == errno.EMFILE else "choose another"
        raise ShelfError(f"cannot listen on {host} port {port or '(any)'}: {error.strerror}: {do}") from None
    bound.setblocking(False)
    return bound


def _make_phone(
    listener: socket.socket,
    nursery: trio.Nursery,
    file: JournalFile | None,
    seed: int,
    number: int,
    reboot_s: float,
) -> Phone:
    serial = f"SIM{number:04d}"
    profile, tags = profiles.choose(seed, number)
    chance = random.Random(f"{seed}/{serial}/life")
    now_s = trio.current_time()
    device = Device(
        serial=serial,
        profile=profile,
        tags=tags,
        now_s=now_s,
        wall_offset_s=time.time() - now_s,
        battery_percent=chance.uniform(45, 100),
        up_for_s=chance.uniform(60, UP_FOR_S_MAX),
    )
    return Phone(device, Journal(serial, file), listener, trio.current_time, nursery, reboot_s)
