"""The services a phone offers over adb: shell, exec, sync, reverse, framebuffer, reboot (way of a task: 9)."""

import random
from collections.abc import Awaitable, Callable

import msgspec
import trio

from doai.phone import picture
from doai.phone.connection import Channel, ChannelClosed
from doai.phone.device import Device
from doai.phone.effects import STDERR, STDOUT, Output, Read, Reboot, Running, Wait
from doai.phone.faults import Fault, FaultOrder
from doai.phone.grammar import ShellSyntaxError, parse
from doai.phone.journal import split_step
from doai.phone.shell import Finished, Session
from doai.phone.shell_packets import Kind, PacketError, PacketParser, packet
from doai.phone.sync import SyncSession

GARBAGE_BYTES = 512


class ServiceName(msgspec.Struct, frozen=True):
    """A service string taken apart: `shell,v2,TERM=x,raw:ls` is shell, {v2, TERM=x, raw}, `ls`."""

    name: str
    options: frozenset[str]
    argument: str

    @property
    def has_packets(self) -> bool:
        """Whether output, input and exit code travel in shell v2 packets."""
        return self.name == "shell" and "v2" in self.options

    @property
    def has_terminal(self) -> bool:
        """Whether stderr is mixed into stdout and line ends become CR LF (adbd's default for shell v2)."""
        return self.has_packets and "raw" not in self.options

    @property
    def note(self) -> str:
        """For the journal: the programs of a command line, or the service's name."""
        if self.name not in ("shell", "exec"):
            return self.name
        try:
            steps = parse(split_step(self.argument)[1])
        except ShellSyntaxError:
            return "syntax error"
        words = [simple.words[:2] for step in steps for simple in step.pipeline if simple.words]
        return "; ".join(" ".join("".join(part.text for part in word) for word in pair) for pair in words)


def parse_service(service: str) -> ServiceName:
    """Takes a service string apart."""
    head, _, argument = service.partition(":")
    name, *options = head.split(",")
    return ServiceName(name, frozenset(options), argument)


class Host:
    """What a service may ask of its phone."""

    def __init__(self, device: Device, now_s: Callable[[], float], reboot: Callable[[], None]) -> None:
        self.device = device
        self.now_s = now_s
        self.reboot = reboot


class Outlet:
    """The way out of a service: passes bytes to its channel, spoiled as ordered."""

    def __init__(self, host: Host, channel: Channel, fault: FaultOrder | None) -> None:
        self._host = host
        self._channel = channel
        self._fault = fault
        self._left_bytes = fault.after_bytes if fault is not None else 0

    async def send(self, data: bytes) -> None:
        """Sends bytes. Raises ChannelClosed, also when the fault cut the connection."""
        fault = self._fault
        if fault is None:
            await self._channel.send(data)
        elif fault.fault is Fault.DRIBBLE:
            for at in range(len(data)):
                await self._channel.send(data[at : at + 1])
                await trio.sleep(fault.delay_s)
        elif fault.fault is Fault.GARBAGE_OUTPUT:
            await self._channel.send(_noise(len(data) or GARBAGE_BYTES))
        else:
            await self._cut(data, fault.fault)

    async def finish(self) -> None:
        """The service has no more output: a fault that still waits for it strikes now. Raises ChannelClosed."""
        if self._fault is not None and self._fault.fault not in (Fault.DRIBBLE, Fault.GARBAGE_OUTPUT):
            await self._strike(self._fault.fault)
        await self._channel.drained()

    async def _cut(self, data: bytes, fault: Fault) -> None:
        head = data[: self._left_bytes]
        self._left_bytes -= len(head)
        if head:
            await self._channel.send(head)
        if len(head) < len(data):
            await self._strike(fault)

    async def _strike(self, fault: Fault) -> None:
        await self._channel.drained()
        if fault is Fault.OUTPUT_STOPS:
            await self._channel.closed.wait()
        elif fault is Fault.RESET_MID_OUTPUT:
            self._channel.connection.reset()
        elif fault is Fault.REBOOT_MID_TASK:
            self._host.reboot()
        elif fault is Fault.GARBAGE:
            await self._channel.connection.send_raw(_noise(GARBAGE_BYTES))
            await self._channel.closed.wait()
        raise ChannelClosed


def _noise(size: int) -> bytes:
    """Bytes that are the same each time and neither an ADB header nor a shell packet."""
    return bytes(byte | 0x80 for byte in random.Random(size).randbytes(size))


async def shell(host: Host, channel: Channel, name: ServiceName, outlet: Outlet) -> None:
    """`shell:` and `exec:`. When the client goes, a shell v2 command dies; the others run on unheard."""
    session = Session(host.device, host.now_s())
    if name.has_packets:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when_closed, channel, nursery.cancel_scope)
            try:
                await _PacketShell(host, channel, name, outlet, session).run()
            except ChannelClosed:
                await channel.closed.wait()
            nursery.cancel_scope.cancel()
    else:
        await _PlainShell(host, channel, name, outlet, session).run()


async def _cancel_when_closed(channel: Channel, scope: trio.CancelScope) -> None:
    await channel.closed.wait()
    scope.cancel()


class _PlainShell:
    """Performs a session's effects on a bare stream: stdout and stderr are one, there is no exit code."""

    def __init__(self, host: Host, channel: Channel, name: ServiceName, outlet: Outlet, session: Session) -> None:
        self._host = host
        self._channel = channel
        self._name = name
        self._outlet = outlet
        self._session = session

    async def run(self) -> None:
        """Runs the command, or what comes as input if there is none."""
        if self._name.argument:
            code = await self.perform(self._session.run(self._name.argument))
        else:
            code = await self._interactive()
        await self.end(code)

    async def perform(self, running: Running) -> int:
        """Drives a command to its end and returns its exit code."""
        answer = b""
        while True:
            self._session.now_s = self._host.now_s()
            try:
                effect = running.send(answer) if answer else next(running)
            except StopIteration as end:
                return int(end.value)
            answer = b""
            if isinstance(effect, Output):
                await self.output(effect)
            elif isinstance(effect, Wait):
                await trio.sleep(effect.duration_s)
            elif isinstance(effect, Read):
                answer = await self.input()
            elif isinstance(effect, Reboot):
                self._host.reboot()
                return 0

    async def _interactive(self) -> int:
        buffer = bytearray()
        code = 0
        while data := await self.input():
            buffer += data
            while b"\n" in buffer:
                line, _, rest = bytes(buffer).partition(b"\n")
                buffer = bytearray(rest)
                text = line.decode("utf-8", "replace").strip()
                code = await self.perform(self._session.run(text))
                if text.split()[:1] == ["exit"]:
                    return code
        return code

    async def output(self, effect: Output) -> None:
        """One piece of output; after the client has gone it goes nowhere."""
        try:
            await self._outlet.send(effect.data)
        except ChannelClosed:
            return

    async def input(self) -> bytes:
        """More of the client's input; b"" at its end."""
        return await self._channel.receive()

    async def end(self, code: int) -> None:
        """The command is over."""
        try:
            await self._outlet.finish()
        except ChannelClosed:
            return


class _PacketShell(_PlainShell):
    """The same in shell v2 packets."""

    def __init__(self, host: Host, channel: Channel, name: ServiceName, outlet: Outlet, session: Session) -> None:
        super().__init__(host, channel, name, outlet, session)
        self._packets = PacketParser()
        self._pending: list[bytes] = []
        self._input_closed = False

    async def output(self, effect: Output) -> None:
        kind, data = (Kind.STDERR if effect.fd == STDERR else Kind.STDOUT), effect.data
        if self._name.has_terminal:
            kind, data = Kind.STDOUT, data.replace(b"\n", b"\r\n")
        await self._outlet.send(packet(kind, data))

    async def input(self) -> bytes:
        while not self._pending and not self._input_closed:
            data = await self._channel.receive()
            if not data:
                return b""
            for kind, text in self._packets.feed(data):
                if kind is Kind.STDIN and text:
                    self._pending.append(text)
                elif kind is Kind.CLOSE_STDIN:
                    self._input_closed = True
        return self._pending.pop(0) if self._pending else b""

    async def end(self, code: int) -> None:
        await self._outlet.send(packet(Kind.EXIT, bytes([code & 255])))
        await self._outlet.finish()


async def run_in_time(host: Host, line: str) -> Finished:
    """Runs a command line without input, in the time it takes; a restart of the phone ends it like a command."""
    session = Session(host.device, host.now_s())
    out: dict[int, bytearray] = {STDOUT: bytearray(), STDERR: bytearray()}
    running = session.run(line)
    while True:
        session.now_s = host.now_s()
        try:
            effect = next(running)
        except StopIteration as end:
            return Finished(bytes(out[STDOUT]), bytes(out[STDERR]), int(end.value))
        if isinstance(effect, Output):
            out[effect.fd] += effect.data
        elif isinstance(effect, Wait):
            await trio.sleep(effect.duration_s)
        elif isinstance(effect, Reboot):
            host.reboot()
            await trio.lowlevel.checkpoint()


async def sync(host: Host, channel: Channel, outlet: Outlet, requested: Callable[[str], None]) -> None:
    """`sync:`; each request is journaled before it is answered."""
    session = SyncSession(host.device.files)
    while not session.finished:
        data = await channel.receive()
        if not data:
            return
        answer = session.feed(data, int(host.device.wall_s(host.now_s())))
        while session.requests:
            requested(session.requests.pop(0))
        if answer:
            await outlet.send(answer)
    await outlet.finish()


async def reverse(host: Host, channel: Channel, name: ServiceName, outlet: Outlet) -> None:
    """`reverse:forward:A;B`, `reverse:killforward:A`, `reverse:killforward-all`, `reverse:list-forward`."""
    verb, _, rest = name.argument.partition(":")
    forwards = host.device.reverse_forwards
    if verb == "list-forward":
        text = "".join(f"UsbFfs {remote} {local}\n" for remote, local in forwards.items())
        answer = f"{len(text):04x}{text}"
    elif verb == "killforward-all":
        forwards.clear()
        answer = "OKAY"
    elif verb == "killforward":
        gone = forwards.pop(rest, None)
        answer = "OKAY" if gone is not None else _failure(f"listener '{rest}' not found")
    elif verb == "forward" and ";" in rest:
        remote, _, local = rest.removeprefix("norebind:").partition(";")
        if rest.startswith("norebind:") and remote in forwards:
            answer = _failure("cannot rebind existing socket")
        else:
            forwards[remote] = local
            answer = "OKAY"
    else:
        answer = _failure(f"not a reverse service: {verb}")
    await outlet.send(answer.encode())
    await outlet.finish()


def _failure(text: str) -> str:
    return f"FAIL{len(text):04x}{text}"


async def framebuffer(host: Host, outlet: Outlet) -> None:
    """`framebuffer:`: one picture."""
    await outlet.send(picture.framebuffer(host.device, host.now_s()))
    await outlet.finish()


async def run(
    host: Host, channel: Channel, name: ServiceName, fault: FaultOrder | None, requested: Callable[[str], None]
) -> None:
    """Accepts and serves one stream to its end, then closes it. Unknown services are refused by CLSE."""
    outlet = Outlet(host, channel, fault)
    table: dict[str, Callable[[], Awaitable[None]]] = {
        "shell": lambda: shell(host, channel, name, outlet),
        "exec": lambda: shell(host, channel, name, outlet),
        "sync": lambda: sync(host, channel, outlet, requested),
        "reverse": lambda: reverse(host, channel, name, outlet),
        "framebuffer": lambda: framebuffer(host, outlet),
    }
    serve = table.get(name.name)
    try:
        if name.name == "reboot":
            await channel.accept()
            host.reboot()
        elif serve is not None:
            await channel.accept()
            await serve()
        await channel.close()
    except (ChannelClosed, PacketError):
        return  # the client went away or spoke nonsense; its stream is over either way
