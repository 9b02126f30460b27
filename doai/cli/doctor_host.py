"""What `doai doctor` looks at on this host: Python, SQLite, disk, ports, adb, USB (before all steps)."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from doai import __version__
from doai.cli.finding import Finding, fail, ok, warn
from doai.disk_space import free_bytes
from doai.drivers.adb.config import AdbConfig
from doai.drivers.adb.server import find_adb
from doai.errors import ConfigError
from doai.limits import DISK_RESERVE_MB
from doai.store.versions import sqlite_versions

PYTHON_MIN: Final = (3, 11)
SQLITE_MIN: Final = (3, 37)
"""STRICT tables; 3.37 of 2021."""
DISK_AMPLE: Final = 4
"""So many times the reserve is room for some days; below it somebody should look."""
ANSWER_S: Final = 2.0
"""For one answer of a program on this host."""
ADB_INTERFACE: Final = ("ff", "42", "01")
"""Class, subclass and protocol of the USB interface of a device with USB debugging."""
_ZMTP_GREETING: Final = (0xFF, 0x7F)
"""First and tenth byte of what every ZeroMQ program says first (ZMTP 3.1)."""


def check_programs() -> Iterator[Finding]:
    """Python, doai and SQLite."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < PYTHON_MIN:
        yield fail("python", f"Python {found} is too old.", "Install Python 3.11 or newer, then run bin/setup.")
    else:
        yield ok("python", f"doai {__version__} runs on Python {found}.")
    versions = sqlite_versions()
    said = ", ".join(f"{version} ({who})" for who, version in versions.items())
    if min(tuple(map(int, version.split(".")[:2])) for version in versions.values()) < SQLITE_MIN:
        yield fail("sqlite", f"SQLite {said} is too old.", "Use a Python whose sqlite3 is 3.37 or newer.")
    else:
        yield ok("sqlite", f"SQLite is {said}.")


def check_disk(folder: Path) -> Iterator[Finding]:
    """The disk on which the data is, or will be."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = free_bytes(there)
    free_mb = (free or 0) // (1024 * 1024)
    said = f"{free_mb} MB are free where {folder} is"
    if free_mb < DISK_RESERVE_MB:
        advice = "Make room: below the reserve no run is taken in and no task starts (disk_reserve_mb)."
        yield fail("disk", f"{said}, less than the reserve of {DISK_RESERVE_MB} MB.", advice)
    elif free_mb < DISK_AMPLE * DISK_RESERVE_MB:
        yield warn("disk", f"{said}.", f"Make room soon: at {DISK_RESERVE_MB} MB nothing new is begun.")
    else:
        yield ok("disk", f"{said}.")
    if os.access(there, os.W_OK):
        return
    yield fail("disk", f"This user may not write to {there}.", "Name another folder, or run as the user of doai.")


def check_ports(api_port: int, broker_port: int) -> Iterator[Finding]:
    """The ports of admin and broker: free, or used by them."""
    for program, port, flag in (("admin", api_port, "--port"), ("broker", broker_port, "--broker-port")):
        check = f"{program} port"
        first = _admin_says(port) if program == "admin" else _first_bytes(port, b"")
        if first is None:
            yield ok(check, f"Port {port} is free: no {program} runs there.")
        elif first.startswith(b"HTTP/") if program == "admin" else _is_greeting(first):
            yield ok(check, f"Port {port} answers as the {program} does.")
        else:
            advice = f"Stop what uses it (`ss -ltnp`), or choose another one with {flag}."
            yield fail(check, f"Port {port} is used by something that is not doai.", advice)


def _is_greeting(first: bytes) -> bool:
    return len(first) >= 10 and (first[0], first[9]) == _ZMTP_GREETING


def _admin_says(port: int) -> bytes | None:
    request = b"GET /healthz HTTP/1.0\r\n\r\n"
    # One that serves HTTPS hangs up on HTTP.
    return _first_bytes(port, request) or _first_bytes(port, request, tls=True)


def _first_bytes(port: int, request: bytes, *, tls: bool = False) -> bytes | None:
    """Return what a program on this host says; None = the port is free, empty = it says nothing."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S) as plain, ExitStack() as stack:
            connection = stack.enter_context(_any_certificate().wrap_socket(plain)) if tls else plain
            connection.sendall(request)
            return connection.recv(64)
    except ConnectionRefusedError:
        return None
    except OSError:
        return b""


def _any_certificate() -> ssl.SSLContext:
    """What is asked is whether it is HTTPS, and no secret is sent: whose it is does not matter."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def check_adb(port: int, adb_path: str = "") -> Iterator[Finding]:
    """The adb program, and the server that runs on its port, if one does."""
    try:
        program = find_adb(AdbConfig(adb_path=adb_path or None))
    except ConfigError as error:
        yield fail("adb", f"{error}.", "Install adbutils (bin/setup does), or name a program: adb_path.")
        return
    try:
        done = subprocess.run([program, "version"], capture_output=True, text=True, timeout=ANSWER_S * 5)
    except (OSError, subprocess.TimeoutExpired) as error:
        yield fail("adb", f"{program} can not be run ({error}).", "Name one that can be run: adb_path.")
        return
    version = re.search(r"version \d+\.\d+\.(\d+)", done.stdout)
    release = re.search(r"^Version (\S+)", done.stdout, re.MULTILINE)
    if version is None:
        yield fail("adb", f"{program} does not tell its version.", "Name another adb program: adb_path.")
        return
    yield ok("adb", f"{program} is {release[1] if release else done.stdout.strip()[:60]}.")
    yield _adb_server(port, int(version[1]))


def _adb_server(port: int, ours: int) -> Finding:
    answer = _first_bytes(port, b"000chost:version")
    if answer is None:
        return ok("adb server", f"No adb server runs on port {port}: a node starts one.")
    match = re.fullmatch(rb"OKAY0004([0-9a-f]{4})", answer)
    if match is None:
        advice = f"Stop what uses it (`ss -ltnp | grep :{port}`), or give the node another adb_port."
        return fail("adb server", f"Port {port} is used by something that is no adb server.", advice)
    theirs = int(match[1], 16)
    if theirs != ours:
        advice = (
            "Stop it (`adb kill-server`) and let the node start its own, or set adb_path to the other's program."
        )
        return fail("adb server", f"The adb server on port {port} has version {theirs}, ours {ours}.", advice)
    return ok("adb server", f"An adb server of our version ({ours}) runs on port {port}.")


def check_usb(root: Path = Path("/")) -> Iterator[Finding]:
    """Phones with USB debugging that the kernel sees, and whether this user may open them."""
    devices = root / "sys/bus/usb/devices"
    if not devices.is_dir():
        yield ok("usb", "This host has no USB that can be seen.")
        return
    phones = sorted({interface.resolve().parent for interface in devices.iterdir() if _is_adb(interface)})
    closed = [phone for phone in phones if not os.access(_device_file(root, phone), os.R_OK | os.W_OK)]
    for phone in closed:
        yield fail(
            "usb",
            f"The phone at USB {phone.name} can not be opened by this user.",
            "Install deploy/udev/70-doai-adb.rules, run `udevadm control --reload`, plug the phone in again, and "
            "run as a member of its group.",
        )
    if not closed:
        yield ok("usb", f"Phones with USB debugging on USB: {len(phones)}; all can be opened by this user.")


def _is_adb(interface: Path) -> bool:
    return (
        tuple(_attribute(interface, f"bInterface{name}") for name in ("Class", "SubClass", "Protocol"))
        == ADB_INTERFACE
    )


def _device_file(root: Path, phone: Path) -> Path:
    bus, number = _attribute(phone, "busnum") or "0", _attribute(phone, "devnum") or "0"
    return root / f"dev/bus/usb/{int(bus):03d}/{int(number):03d}"


def _attribute(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
