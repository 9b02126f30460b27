"""What the doctor says of a host and of an installation, each thing well and ill."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from doai import __version__
from doai.cli import doctor_host as host
from doai.cli import doctor_site as site
from doai.cli import exits
from doai.cli.finding import Finding, Verdict
from doai.cli.main import main
from doai.limits import DISK_RESERVE_MB
from doai.ports import free_port
from doai.wire.keys import load_or_make_keypair, make_keypair, public_key_file
from doai.wire_versions import REFUSED
from tests.certificates import make_certificate

OK, WARN, FAIL = Verdict.OK, Verdict.WARN, Verdict.FAIL


@contextmanager
def program(says: bytes, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A program on a port that says one thing to everybody."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, suppress(ssl.SSLError), ExitStack() as stack:
                    if tls is not None:
                        connection = stack.enter_context(tls.wrap_socket(connection, server_side=True))
                    connection.sendall(says)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(1024):
                        pass

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def verdicts(found: Iterator[Finding]) -> list[Verdict]:
    findings = list(found)
    for finding in findings:
        assert finding.message.endswith("."), finding
        assert bool(finding.advice) == (finding.verdict is not OK), finding
    return [finding.verdict for finding in findings]


def test_programs_are_as_needed() -> None:
    assert verdicts(host.check_programs()) == [OK, OK]


def test_an_old_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "sqlite_versions", lambda: {"writer": "3.54.0", "reader": "3.31.1"})
    assert verdicts(host.check_programs()) == [OK, FAIL]


@pytest.mark.parametrize(("free_mb", "verdict"), [(10, FAIL), (DISK_RESERVE_MB, WARN), (10**6, OK)])
def test_the_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_mb: int, verdict: Verdict) -> None:
    monkeypatch.setattr(host, "free_bytes", lambda folder: free_mb * 1024 * 1024)
    assert verdicts(host.check_disk(tmp_path / "not" / "yet")) == [verdict]


@pytest.mark.parametrize(
    ("says", "as_admin", "as_broker"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", OK, FAIL),
        (b"\xff" + bytes(8) + b"\x7f\x03", FAIL, OK),
        (b"220 mail here\r\n", FAIL, FAIL),
        (b"", FAIL, FAIL),
    ],
)
def test_a_port_is_ours_or_somebody_elses(says: bytes, as_admin: Verdict, as_broker: Verdict) -> None:
    with program(says) as port:
        assert verdicts(host.check_ports(port, free_port())) == [as_admin, OK]
        assert verdicts(host.check_ports(free_port(), port)) == [OK, as_broker]


def test_an_admin_that_serves_https_is_one(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(tmp_path))
    with program(b"HTTP/1.1 200 OK\r\n\r\n", context) as port:
        assert verdicts(host.check_ports(port, free_port())) == [OK, OK]


@pytest.mark.parametrize(("says", "verdict"), [(b"OKAY00040029", OK), (b"OKAY00040028", FAIL), (b"hello", FAIL)])
def test_an_adb_server_of_another_version(says: bytes, verdict: Verdict) -> None:
    with program(says) as port:
        assert verdicts(host.check_adb(port)) == [OK, verdict]


def test_no_adb_program(tmp_path: Path) -> None:
    assert verdicts(host.check_adb(free_port(), str(tmp_path / "adb"))) == [FAIL]
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\n")
    silent.chmod(0o755)
    assert verdicts(host.check_adb(free_port(), str(silent))) == [FAIL]


def plug_in(root: Path, *, debugging: bool = True) -> Path:
    """A phone in a tree as the kernel shows it; returns the file that must be opened."""
    phone = root / "sys/devices/usb1/1-4"
    interface = phone / "1-4:1.0"
    interface.mkdir(parents=True)
    values = {
        "bInterfaceClass": "ff",
        "bInterfaceSubClass": "42",
        "bInterfaceProtocol": "01" if debugging else "02",
    }
    for name, value in values.items():
        (interface / name).write_text(value + "\n")
    (phone / "busnum").write_text("1\n")
    (phone / "devnum").write_text("7\n")
    bus = root / "sys/bus/usb/devices"
    bus.mkdir(parents=True)
    (bus / "1-4").symlink_to(phone)
    (bus / "1-4:1.0").symlink_to(interface)
    file = root / "dev/bus/usb/001/007"
    file.parent.mkdir(parents=True)
    return file


def test_phones_on_usb(tmp_path: Path) -> None:
    assert verdicts(host.check_usb(tmp_path)) == [OK]
    file = plug_in(tmp_path)
    [closed] = host.check_usb(tmp_path)
    assert (closed.verdict, "1-4" in closed.message, "udev" in closed.advice) == (FAIL, True, True)
    file.touch()
    [opened] = host.check_usb(tmp_path)
    assert (opened.verdict, "USB: 1;" in opened.message) == (OK, True)


def test_a_device_without_debugging_is_no_phone_of_ours(tmp_path: Path) -> None:
    plug_in(tmp_path, debugging=False)
    assert verdicts(host.check_usb(tmp_path)) == [OK]


def test_keys(tmp_path: Path) -> None:
    assert verdicts(site.check_keys([tmp_path, tmp_path / "nothing"])) == [OK]
    path = tmp_path / "n1/keys/node.key"
    load_or_make_keypair(path)
    assert verdicts(site.check_keys([tmp_path])) == [OK]
    public_key_file(path).write_text(make_keypair().public)
    assert verdicts(site.check_keys([tmp_path])) == [FAIL, OK]
    path.chmod(0o644)
    assert verdicts(site.check_keys([tmp_path])) == [FAIL, OK]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644, "a doctor changes nothing"


def test_settings(tmp_path: Path) -> None:
    assert verdicts(site.check_settings(tmp_path)) == [OK]
    (tmp_path / "broker.toml").write_text('endpoint = "tcp://127.0.0.1:7701"\n')
    (tmp_path / "node-n1.toml").write_text(f'broker_public_key = "{make_keypair().public}"\nsecret = "x"\n')
    (tmp_path / "node-n1.toml").chmod(0o644)
    (tmp_path / "node-n2.toml").write_text("slot = 3\n")
    (tmp_path / "other.toml").write_text("")
    assert verdicts(site.check_settings(tmp_path)) == [OK, WARN, FAIL, WARN]


def api(offset_s: float, *nodes: dict[str, Any]) -> Any:
    def request(method: str, path: str, **rest: object) -> Any:
        date = formatdate(time.time() + offset_s - 0.5, usegmt=True)
        return SimpleNamespace(headers={"date": date}, json=lambda: {"items": list(nodes)})

    return SimpleNamespace(request=request, place=SimpleNamespace(url="http://here"))


def node(**about: str) -> dict[str, Any]:
    return {"nodeId": "n1", "version": __version__, "state": "online", "stateReason": "connected", **about}


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda: api(0, node()), [OK, OK, OK]),
        (lambda: api(20, node()), [OK, WARN, OK]),
        (lambda: api(-600), [OK, FAIL, OK]),
        (lambda: api(0, node(version="0.0.1")), [OK, OK, WARN]),
        (lambda: api(0, node(state="offline", stateReason="it said goodbye")), [OK, OK, OK, WARN]),
        (lambda: api(0, node(state="offline", stateReason=f"{REFUSED}upgrade")), [OK, OK, OK, FAIL]),
    ],
)
def test_an_installation(made: Callable[[], Any], expected: list[Verdict]) -> None:
    assert verdicts(site.check_installation(made())) == expected


def test_an_api_that_should_be_there_and_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOAI_TOKEN", "x")
    ports = [str(free_port()) for _ in range(4)]
    words = ["--url", f"http://127.0.0.1:{ports[0]}", "--port", ports[1], "--broker-port", ports[2]]
    assert main(["doctor", "--data-dir", str(tmp_path), "--adb-port", ports[3], *words]) == exits.NOT_PASSED
    assert "FAIL  api: the API at http://127.0.0.1" in capsys.readouterr().out


def test_before_anything_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ports = [str(free_port()) for _ in range(3)]
    words = ["--port", ports[0], "--broker-port", ports[1], "--adb-port", ports[2]]
    assert main(["doctor", "--data-dir", str(tmp_path), *words]) == exits.PASSED
    assert "FAIL" not in capsys.readouterr().out
