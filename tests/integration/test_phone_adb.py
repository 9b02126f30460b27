"""The simulated phone behind a real adb server, driven with the real adb client."""

import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import adbutils
import pytest
import trio
from PIL import Image

from doai.phone.control import request_control
from doai.phone.faults import Fault
from doai.phone.journal import read_journal
from doai.phone.phone import Phone
from doai.phone.shelf import Shelf, open_shelf
from tests.apk.builder import make_apk

DEADLINE_S = 90.0


class Adb:
    """A real adb server of this test's own, and its client."""

    def __init__(self, program: str, port: int, environment: dict[str, str]) -> None:
        self.program = program
        self.port = port
        self.environment = environment

    async def run(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return await trio.run_process(
            [self.program, "-P", str(self.port), *words],
            env=self.environment,
            stdin=stdin,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )

    async def on(self, phone: Phone, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return await self.run("-s", f"127.0.0.1:{phone.port}", *words, stdin=stdin)

    async def smart(self, request: str) -> bytes:
        """One request of the smart-socket protocol; the whole answer."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        async with stream:
            await stream.send_all(f"{len(request):04x}{request}".encode())
            answer = b""
            while data := await stream.receive_some():
                answer += data
            return answer

    async def service(self, phone: Phone, service: str) -> bytes:
        """What a service of the phone sends until it closes."""
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            for request in (f"host:transport:127.0.0.1:{phone.port}", service):
                await stream.send_all(f"{len(request):04x}{request}".encode())
                # The server forgets what comes before its OKAY: requests can not be sent in one go.
                assert await stream.receive_some(4) == b"OKAY"
            answer = b""
            while data := await stream.receive_some():
                answer += data
            return answer

    async def state(self, phone: Phone) -> str:
        answer = (await self.smart("host:devices"))[8:].decode()
        states = dict(line.split("\t") for line in answer.splitlines())
        return states.get(f"127.0.0.1:{phone.port}", "absent")

    async def wait_state(self, phone: Phone, *wanted: str) -> None:
        while await self.state(phone) not in wanted:  # noqa: ASYNC110 - the server is another process
            await trio.sleep(0.05)

    async def connect(self, phone: Phone) -> None:
        await self.smart(f"host:connect:127.0.0.1:{phone.port}")


@asynccontextmanager
async def adb_server(home: Path) -> AsyncIterator[Adb]:
    program = str(Path(adbutils.__file__).parent / "binaries" / "adb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "HOME": str(home),
        "ANDROID_USER_HOME": str(home),
        "TMPDIR": str(home),
        "ADB_USB": "0",
        "ADB_MDNS": "0",
        "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553",
    }
    serve = partial(
        trio.run_process,
        [program, "-P", str(port), "nodaemon", "server"],
        env=environment,
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(serve)
        adb = Adb(program, port, environment)
        while True:
            try:
                await adb.smart("host:version")
                break
            except OSError:
                await trio.sleep(0.05)
        try:
            yield adb
        finally:
            process.kill()


@asynccontextmanager
async def rig(tmp_path: Path, count: int = 1) -> AsyncIterator[tuple[Adb, Shelf]]:
    with trio.fail_after(DEADLINE_S):
        async with (
            open_shelf(count=count, seed=1, journal_dir=tmp_path / "journal", reboot_s=0.3) as shelf,
            adb_server(tmp_path) as adb,
        ):
            for phone in shelf.phones:
                await adb.connect(phone)
                await adb.wait_state(phone, "device")
            yield adb, shelf


@pytest.mark.slow
async def test_shell_keeps_streams_and_exit_code_apart(tmp_path: Path) -> None:
    async with rig(tmp_path) as (adb, shelf):
        phone = shelf.phones[0]
        found = await adb.on(phone, "shell", "echo out; cat /nope; exit 7")
        assert (found.stdout, found.returncode) == (b"out\n", 7)
        assert found.stderr == b"cat: /nope: No such file or directory\n"
        missing = await adb.on(phone, "shell", "frobnicate")
        assert missing.returncode == 127
        assert b"frobnicate: inaccessible or not found" in missing.stderr
        assert (await adb.on(phone, "shell", "getprop ro.serialno")).stdout == b"SIM0001\n"
        assert (await adb.on(phone, "shell", stdin=b"echo one\nexit 3\n")).returncode == 3


@pytest.mark.slow
async def test_screenshot_through_exec_is_a_picture_of_the_state(tmp_path: Path) -> None:
    async with rig(tmp_path) as (adb, shelf):
        phone = shelf.phones[0]
        home = (await adb.on(phone, "exec-out", "screencap -p")).stdout
        await adb.on(phone, "shell", "am start -n com.example.login/.LoginActivity")
        login = (await adb.on(phone, "exec-out", "screencap -p")).stdout
        for data in (home, login):
            with Image.open(io.BytesIO(data)) as picture:
                picture.load()
                assert picture.size == (phone.device.frame.width_px, phone.device.frame.height_px)
        assert home != login


@pytest.mark.slow
async def test_framebuffer_gives_rgba_rows(tmp_path: Path) -> None:
    async with rig(tmp_path) as (adb, shelf):
        phone = shelf.phones[0]
        answer = await adb.service(phone, "framebuffer:")
        version, depth, size, width, height = struct.unpack_from("<5I", answer)
        assert (version, depth, size) == (1, 32, width * height * 4)
        assert len(answer) == 52 + size


@pytest.mark.slow
async def test_push_pull_and_list(tmp_path: Path) -> None:
    async with rig(tmp_path) as (adb, shelf):
        phone = shelf.phones[0]
        data = os.urandom(300_000)
        (tmp_path / "in.bin").write_bytes(data)
        pushed = await adb.on(phone, "push", str(tmp_path / "in.bin"), "/sdcard/deep/in.bin")
        assert pushed.returncode == 0, pushed.stderr
        pulled = await adb.on(phone, "pull", "/sdcard/deep/in.bin", str(tmp_path / "out.bin"))
        assert pulled.returncode == 0, pulled.stderr
        assert (tmp_path / "out.bin").read_bytes() == data
        assert (await adb.on(phone, "pull", "/sdcard/none", str(tmp_path / "x"))).returncode != 0
        requests = [entry.command for entry in phone.journal.entries() if entry.note == "SEND"]
        assert requests == ["SEND /sdcard/deep/in.bin,33188"]
        phone.order(Fault.STORAGE_FULL)
        full = await adb.on(phone, "push", str(tmp_path / "in.bin"), "/sdcard/more.bin")
        assert full.returncode != 0
        assert b"No space left on device" in full.stderr + full.stdout


@pytest.mark.slow
async def test_install_streamed_and_its_failures(tmp_path: Path) -> None:
    async with rig(tmp_path) as (adb, shelf):
        phone = shelf.phones[0]
        apk = tmp_path / "demo.apk"
        apk.write_bytes(make_apk("com.example.demo", version_code=5, padding_bytes=400_000))
        good = await adb.on(phone, "install", str(apk))
        assert (good.returncode, b"Success" in good.stdout) == (0, True), good
        assert b"package:com.example.demo\n" in (await adb.on(phone, "shell", "pm list packages -3")).stdout
        phone.order(Fault.INSTALL_FAILS, text="INSTALL_FAILED_UPDATE_INCOMPATIBLE: signatures do not match")
        bad = await adb.on(phone, "install", str(apk))
        assert bad.returncode != 0
        assert b"INSTALL_FAILED_UPDATE_INCOMPATIBLE" in bad.stdout + bad.stderr
        apk.write_bytes(b"no apk")
        assert b"INSTALL_PARSE_FAILED_NOT_APK" in (await adb.on(phone, "install", str(apk))).stderr
        gone = await adb.on(phone, "uninstall", "com.example.demo")
        assert b"Success" in gone.stdout


@pytest.mark.slow
async def test_reboot_and_reconnect(tmp_path: Path) -> None:
    async with rig(tmp_path) as (adb, shelf):
        phone = shelf.phones[0]
        await adb.on(phone, "reboot")
        while phone.snapshot().boots < 2:  # noqa: ASYNC110 - the model has no events
            await trio.sleep(0.02)
        # That it is a device may be of before: the server sees the end of a connection when it gets to it.
        while (await adb.on(phone, "shell", "echo back")).stdout != b"back\n":  # noqa: ASYNC110
            await trio.sleep(0.05)


@pytest.mark.slow
async def test_reverse_forwards(tmp_path: Path) -> None:
    async with rig(tmp_path) as (adb, shelf):
        phone = shelf.phones[0]
        assert (await adb.on(phone, "reverse", "tcp:7000", "tcp:8000")).returncode == 0
        assert b"tcp:7000 tcp:8000" in (await adb.on(phone, "reverse", "--list")).stdout
        assert (await adb.on(phone, "reverse", "--remove-all")).returncode == 0
        assert phone.device.reverse_forwards == {}


@pytest.mark.slow
async def test_unauthorized_until_cleared(tmp_path: Path) -> None:
    async with rig(tmp_path) as (adb, shelf):
        phone = shelf.phones[0]
        phone.order(Fault.AUTH_FOREVER)
        await adb.wait_state(phone, "unauthorized")
        phone.clear(Fault.AUTH_FOREVER)
        await adb.wait_state(phone, "device")


@pytest.mark.slow
async def test_port_gone_and_back(tmp_path: Path) -> None:
    async with rig(tmp_path) as (adb, shelf):
        phone = shelf.phones[0]
        phone.order(Fault.PORT_GONE)
        await adb.wait_state(phone, "offline", "absent")
        phone.clear(Fault.PORT_GONE)
        await adb.wait_state(phone, "device")
        assert (await adb.on(phone, "shell", "echo back")).stdout == b"back\n"


@pytest.mark.slow
async def test_silent_phone_stays_a_device_and_reads_late(tmp_path: Path) -> None:
    async with rig(tmp_path) as (adb, shelf):
        phone = shelf.phones[0]
        phone.order(Fault.SILENT)
        with trio.move_on_after(0.5) as scope:
            await adb.on(phone, "shell", "echo never")
        assert scope.cancelled_caught
        assert await adb.state(phone) == "device"
        assert phone.journal.entries() == []
        phone.clear(Fault.SILENT)
        assert (await adb.on(phone, "shell", "echo now")).stdout == b"now\n"


@pytest.mark.slow
async def test_reset_in_the_middle_of_output_ends_the_client_and_the_phone_returns(tmp_path: Path) -> None:
    async with rig(tmp_path) as (adb, shelf):
        phone = shelf.phones[0]
        phone.order(Fault.RESET_MID_OUTPUT, match="dumpsys")
        found = await adb.on(phone, "shell", "dumpsys battery")
        assert found.returncode != 0
        await adb.wait_state(phone, "device")
        assert b"level" in (await adb.on(phone, "shell", "dumpsys battery")).stdout
        assert [entry.fault for entry in phone.journal.entries()] == ["reset_mid_output", None]


@pytest.mark.slow
async def test_journal_file_holds_tagged_steps(tmp_path: Path) -> None:
    async with rig(tmp_path, count=3) as (adb, shelf):
        for number, phone in enumerate(shelf.phones):
            await adb.on(phone, "shell", f"DOAI_STEP=task{number}/7/open/1; input tap 1 1")
            entry = phone.journal.entries()[-1]
            assert entry.step is not None
            assert (entry.step.task_id, entry.step.step_id, entry.command) == (
                f"task{number}",
                "open",
                "input tap 1 1",
            )
        assert shelf.journal_path is not None
        assert len(shelf.journal_path.read_bytes().splitlines()) == 3


@asynccontextmanager
async def program(*options: str) -> AsyncIterator[tuple[trio.Process, dict[str, Any]]]:
    """`bin/phones` as a process of its own, and what it printed when it was ready."""
    words = [sys.executable, "-m", "doai.cli.phones", "--json", *options]
    process = await trio.lowlevel.open_process(words, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            data = await process.stdout.receive_some()
            assert data, "it ended before it was ready"
            line += data
        yield process, json.loads(line)
    finally:
        if process.poll() is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            assert process.stdout is not None
            await process.stdout.aclose()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_program_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    with trio.fail_after(DEADLINE_S):
        async with program("--count", "3") as (process, ready):
            assert [phone["serial"] for phone in ready["phones"]] == ["SIM0001", "SIM0002", "SIM0003"]
            process.send_signal(number)
            assert await process.wait() == 0


@pytest.mark.slow
async def test_journal_survives_a_killed_program(tmp_path: Path) -> None:
    with trio.fail_after(DEADLINE_S):
        options = ("--count", "1", "--journal", str(tmp_path / "journal"))
        async with adb_server(tmp_path) as adb, program(*options) as (process, ready):
            name = f"127.0.0.1:{ready['phones'][0]['port']}"
            await adb.smart(f"host:connect:{name}")
            while b"device" not in await adb.smart("host:devices"):  # noqa: ASYNC110 - another process
                await trio.sleep(0.05)
            await request_control(ready["control_port"], op="fault", serial="*", fault="dribble", match="tap")
            await adb.run("-s", name, "shell", "DOAI_STEP=t/1/tap/1; input tap 1 2")
            process.kill()
            await process.wait()
        entries = read_journal(Path(ready["journal"]))
        assert [(entry.command, entry.fault) for entry in entries] == [("input tap 1 2", "dribble")]


async def test_a_shelf_that_can_not_open_says_why() -> None:
    found = await trio.run_process(
        [sys.executable, "-m", "doai.cli.phones", "--count", "0"], check=False, capture_stderr=True
    )
    assert found.returncode == 78
    assert found.stderr.decode() == "phones: cannot open a shelf of 0 phones: ask for 1 to 2000\n"
