"""A phone on its port: every fault by its name, as a driver's adb server meets it."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from doai.phone.faults import Fault
from doai.phone.phone import Phone
from doai.phone.protocol import (
    AUTH_PUBLIC_KEY,
    AUTH_SIGNATURE,
    VERSION,
    Command,
    Message,
    MessageParser,
    ProtocolError,
    encode,
)
from doai.phone.shelf import Shelf, open_shelf
from doai.phone.shell_packets import Kind, PacketError, PacketParser

QUIET_S = 0.2
"""How long a test listens before it believes that nothing comes."""


class Host:
    """The other end: what an adb server says, by hand."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.parser = MessageParser()
        self.parser.verify_checksum = False

    async def send(self, command: Command, arg0: int = 0, arg1: int = 0, payload: bytes = b"") -> None:
        await self.stream.send_all(encode(Message(command, arg0, arg1, payload)))

    async def next(self) -> Message:
        while (message := self.parser.next_message()) is None:
            data = await self.stream.receive_some()
            if not data:
                raise EOFError
            self.parser.feed(data)
        return message

    async def hello(self) -> Message:
        await self.send(Command.CNXN, VERSION, 1 << 20, b"host::features=shell_v2,cmd")
        return await self.next()

    async def call(self, service: str) -> bytes:
        """Opens a service and returns all it sends until it closes."""
        await self.send(Command.OPEN, 1, 0, service.encode() + b"\0")
        output = b""
        while (message := await self.next()).command is not Command.CLSE:
            if message.command is Command.WRTE:
                output += message.payload
                await self.send(Command.OKAY, 1, message.arg0)
        return output


@asynccontextmanager
async def rig() -> AsyncIterator[tuple[Shelf, Phone]]:
    with trio.fail_after(90):
        async with open_shelf(count=1, reboot_s=0.05) as shelf:
            yield shelf, shelf.phones[0]


@asynccontextmanager
async def connect(phone: Phone) -> AsyncIterator[Host]:
    async with await trio.open_tcp_stream("127.0.0.1", phone.port) as stream:
        yield Host(stream)


@asynccontextmanager
async def online(phone: Phone) -> AsyncIterator[Host]:
    async with connect(phone) as host:
        assert (await host.hello()).command is Command.CNXN
        yield host


async def assert_quiet(host: Host) -> None:
    with trio.move_on_after(QUIET_S) as scope:
        message = await host.next()
        pytest.fail(f"unexpected {message}")
    assert scope.cancelled_caught


async def test_handshake_and_shell_v2() -> None:
    async with rig() as (_, phone), connect(phone) as host:
        hello = await host.hello()
        assert hello.payload.startswith(b"device::ro.product.name=")
        assert b"delayed_ack" not in hello.payload
        packets = PacketParser().feed(await host.call("shell,v2,raw:echo a; cat /none; exit 3"))
        assert packets == [
            (Kind.STDOUT, b"a\n"),
            (Kind.STDERR, b"cat: /none: No such file or directory\n"),
            (Kind.EXIT, b"\3"),
        ]
        terminal = PacketParser().feed(await host.call("shell,v2,TERM=xterm,pty:echo a; cat /none"))
        assert terminal[:2] == [
            (Kind.STDOUT, b"a\r\n"),
            (Kind.STDOUT, b"cat: /none: No such file or directory\r\n"),
        ]
        assert await host.call("shell:echo plain; cat /none") == b"plain\ncat: /none: No such file or directory\n"
        assert await host.call("nonsense:x") == b""
        assert phone.journal.entries()[0].note == "echo a; cat /none; exit 3"


async def test_after_the_client_goes_v2_dies_and_shell_goes_on() -> None:
    async with rig() as (_, phone), online(phone) as host:
        for number, service in enumerate(("shell,v2,raw:", "shell:"), start=1):
            command = f"{service}sleep 1; echo done > /sdcard/{number}"
            await host.send(Command.OPEN, number, 0, command.encode())
            accepted = await host.next()
            assert accepted.command is Command.OKAY
            await host.send(Command.CLSE, number, accepted.arg0)
            assert (await host.next()).command is Command.CLSE
        while not phone.device.files.stat("/sdcard/2").mode:  # noqa: ASYNC110 - the model has no events
            await trio.sleep(0.01)
        assert not phone.device.files.stat("/sdcard/1").mode


async def test_reset_mid_output() -> None:
    async with rig() as (_, phone), online(phone) as host:
        phone.order(Fault.RESET_MID_OUTPUT, after_bytes=4)
        with pytest.raises((trio.BrokenResourceError, EOFError)):
            await host.call("exec:echo 123456789")
        assert phone.journal.entries()[0].fault == "reset_mid_output"
        assert phone.journal.entries()[0].executed


async def test_reset_on_open() -> None:
    async with rig() as (_, phone), online(phone) as host:
        phone.order(Fault.RESET_ON_OPEN, match="rm ")
        assert await host.call("exec:echo fine") == b"fine\n"
        with pytest.raises((trio.BrokenResourceError, EOFError)):
            await host.call("exec:rm /sdcard/a")
        assert not phone.journal.entries()[-1].executed


async def test_open_unanswered() -> None:
    async with rig() as (_, phone), online(phone) as host:
        phone.order(Fault.OPEN_UNANSWERED)
        await host.send(Command.OPEN, 9, 0, b"exec:echo a")
        await assert_quiet(host)
        assert not phone.journal.entries()[0].executed
        assert await host.call("exec:echo b") == b"b\n"


async def test_silent() -> None:
    async with rig() as (_, phone), online(phone) as host:
        phone.order(Fault.SILENT)
        await host.send(Command.OPEN, 1, 0, b"exec:echo late")
        await assert_quiet(host)
        assert phone.journal.entries() == []
        phone.clear(Fault.SILENT)
        assert (await host.next()).command is Command.OKAY


async def test_dribble() -> None:
    async with rig() as (_, phone), online(phone) as host:
        phone.order(Fault.DRIBBLE, delay_s=0.001)
        await host.send(Command.OPEN, 1, 0, b"exec:echo drip")
        sizes = []
        while (message := await host.next()).command is not Command.CLSE:
            if message.command is Command.WRTE:
                sizes.append(len(message.payload))
                await host.send(Command.OKAY, 1, message.arg0)
        assert sizes == [1] * 5


async def test_output_stops() -> None:
    async with rig() as (_, phone), online(phone) as host:
        phone.order(Fault.OUTPUT_STOPS, after_bytes=3)
        await host.send(Command.OPEN, 1, 0, b"exec:echo abcdef")
        assert (await host.next()).command is Command.OKAY
        piece = await host.next()
        assert piece.payload == b"abc"
        await host.send(Command.OKAY, 1, piece.arg0)
        await assert_quiet(host)


async def test_garbage() -> None:
    async with rig() as (_, phone), online(phone) as host:
        phone.order(Fault.GARBAGE)
        with pytest.raises(ProtocolError):
            await host.call("exec:echo abcdefghijklmn")


async def test_garbage_output() -> None:
    async with rig() as (_, phone), online(phone) as host:
        phone.order(Fault.GARBAGE_OUTPUT)
        output = await host.call("shell,v2,raw:echo abc")
        assert b"abc" not in output
        with pytest.raises(PacketError):
            PacketParser().feed(output)


async def test_auth_forever() -> None:
    async with rig() as (_, phone):
        phone.order(Fault.AUTH_FOREVER)
        async with connect(phone) as host:
            assert (await host.hello()).command is Command.AUTH
            await host.send(Command.AUTH, AUTH_SIGNATURE, 0, b"s" * 256)
            assert (await host.next()).command is Command.AUTH
            await host.send(Command.AUTH, AUTH_PUBLIC_KEY, 0, b"key")
            await assert_quiet(host)
            phone.clear(Fault.AUTH_FOREVER)
            assert (await host.next()).command is Command.CNXN


async def test_no_cnxn() -> None:
    async with rig() as (_, phone):
        phone.order(Fault.NO_CNXN)
        async with connect(phone) as host:
            await host.send(Command.CNXN, VERSION, 4096, b"host::")
            await assert_quiet(host)
        phone.clear()
        async with online(phone):
            pass


async def test_port_gone_and_back() -> None:
    async with rig() as (_, phone):
        port = phone.port
        async with online(phone) as host:
            phone.order(Fault.PORT_GONE)
            with pytest.raises((trio.BrokenResourceError, EOFError)):
                await host.next()
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream("127.0.0.1", port)
        phone.clear(Fault.PORT_GONE)
        async with online(phone):
            assert phone.port == port


async def test_port_gone_comes_back_by_itself() -> None:
    async with rig() as (_, phone):
        phone.order(Fault.PORT_GONE, duration_s=0.05)
        assert not phone.powered
        while not phone.powered:  # noqa: ASYNC110 - power has no events
            await trio.sleep(0.01)
        async with online(phone):
            pass


async def test_phone_reboots_mid_task() -> None:
    async with rig() as (_, phone):
        phone.order(Fault.REBOOT_MID_TASK, match="echo")
        async with online(phone) as host:
            with pytest.raises((trio.BrokenResourceError, EOFError)):
                await host.call("shell,v2,raw:echo one; echo two")
        while not phone.powered:  # noqa: ASYNC110 - power has no events
            await trio.sleep(0.01)
        assert phone.snapshot().boots == 2
        async with online(phone) as host:
            assert await host.call("exec:echo back") == b"back\n"


async def test_power_off_and_on() -> None:
    async with rig() as (_, phone):
        phone.power_off()
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream("127.0.0.1", phone.port)
        phone.power_on()
        async with online(phone):
            assert phone.snapshot().boots == 2


async def test_nonsense_from_the_host_ends_only_its_connection() -> None:
    async with rig() as (_, phone):
        for nonsense in (b"\xff" * 64, struct.pack("<6I", Command.OPEN, 1, 0, 0, 0, Command.OPEN ^ 0xFFFFFFFF)):
            async with connect(phone) as host:
                await host.stream.send_all(nonsense)
                with pytest.raises((trio.BrokenResourceError, EOFError)):
                    await host.next()
        async with online(phone) as host:
            assert await host.call("exec:echo fine") == b"fine\n"
