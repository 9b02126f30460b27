"""One simulated phone on a TCP port: its connections, services, power and faults (way of a task: 9)."""

import logging
import socket
from collections.abc import Callable

import trio

from doai.phone import services
from doai.phone.connection import FEATURES, Channel, ChannelClosed, Connection
from doai.phone.device import Device, DeviceState
from doai.phone.faults import LASTING, OUTPUT_FAULTS, Fault, FaultOrder
from doai.phone.journal import Journal
from doai.phone.protocol import banner
from doai.phone.services import Host, ServiceName, parse_service, run_in_time
from doai.phone.shell import Finished

BACKLOG = 16
"""Connections that may wait to be taken; one adb server makes one."""
ACCEPT_AGAIN_S = 0.2
"""After a failed accept (no file descriptor left) the next try comes this much later."""

_log = logging.getLogger(__name__)


class Phone:
    """A phone. `port` stays its own, also while it refuses connections."""

    def __init__(
        self,
        device: Device,
        journal: Journal,
        listener: socket.socket,
        clock: Callable[[], float],
        nursery: trio.Nursery,
        reboot_s: float,
    ) -> None:
        self.device = device
        self.journal = journal
        self.port: int = listener.getsockname()[1]
        self._address: tuple[str, int] = listener.getsockname()
        self._clock = clock
        self._nursery = nursery
        self._reboot_s = reboot_s
        self._host = Host(device, clock, self.reboot)
        self._listener = trio.socket.from_stdlib_socket(listener)
        self._off_for: set[str] = set()
        self._powered = trio.Event()
        self._powered.set()
        self._audible = trio.Event()
        self._audible.set()
        self._connections: set[Connection] = set()
        self._services: set[trio.CancelScope] = set()
        self._connection_count = 0

    @property
    def serial(self) -> str:
        """The phone's own serial (adb's id of it is `127.0.0.1:PORT`)."""
        return self.device.serial

    @property
    def powered(self) -> bool:
        """Whether its port takes connections."""
        return not self._off_for

    @property
    def online_connections(self) -> int:
        """How many adb servers are past the handshake."""
        return sum(connection.online for connection in self._connections)

    def order(
        self,
        fault: Fault,
        *,
        count: int | None = 1,
        match: str = "",
        after_bytes: int = 8,
        delay_s: float = 0.05,
        duration_s: float | None = None,
        text: str = "",
    ) -> None:
        """Orders a fault (doai.phone.faults says what each does, and FaultOrder what the words mean)."""
        self.place(FaultOrder(fault, count, match, after_bytes, delay_s, duration_s, text))

    def place(self, order: FaultOrder) -> None:
        """Orders a fault."""
        self.device.order(order, self._clock())
        if order.fault is Fault.SILENT:
            self._audible = trio.Event()
        elif order.fault in (Fault.AUTH_FOREVER, Fault.NO_CNXN):
            self._drop_connections()
        elif order.fault is Fault.PORT_GONE:
            self.device.faults.take(order.fault)
            self._go_off("fault")
        if order.duration_s is not None and order.fault in LASTING - {Fault.MEDIA_STALLS}:
            self._nursery.start_soon(self._clear_later, order)

    def clear(self, fault: Fault | None = None) -> list[Fault]:
        """Withdraws a fault, or all; a phone that was cut off comes back. Returns what was withdrawn."""
        gone = self.device.clear(fault, self._clock())
        if Fault.SILENT in gone:
            self._audible.set()
        if Fault.AUTH_FOREVER in gone:
            for connection in self._connections:
                self._nursery.start_soon(_admit, connection)
        if Fault.NO_CNXN in gone:
            self._drop_connections()
        if Fault.PORT_GONE in gone:
            self._go_on("fault")
        return gone

    def power_off(self) -> None:
        """Switches the phone off: connections drop, the port refuses."""
        self._go_off("power")

    def power_on(self) -> None:
        """Switches it on again, freshly booted; nothing happens if it is on."""
        if "power" in self._off_for:
            self.device.boot(self._clock())
            self._go_on("power")

    def reboot(self) -> None:
        """Restarts the phone: it is away for the shelf's `reboot_s`."""
        if "reboot" not in self._off_for:
            self._go_off("reboot")
            self._nursery.start_soon(self._boot_later)

    def snapshot(self) -> DeviceState:
        """The device's state now."""
        return self.device.state(self._clock())

    def adjust(
        self,
        battery_percent: float | None = None,
        charging: bool | None = None,
        screen_on: bool | None = None,
    ) -> None:
        """Puts the battery, the charger or the screen as wanted; None leaves it."""
        now_s, power = self._clock(), self.device.power
        if battery_percent is not None:
            power.set_level(min(100.0, max(0.0, battery_percent)), now_s)
        if charging is not None:
            power.set_charging(charging, now_s)
        if screen_on is not None:
            power.set_screen(screen_on, now_s)

    async def serve(self) -> None:
        """Takes connections until cancelled."""
        while True:
            await self._powered.wait()
            listener = self._listener
            try:
                client, _ = await listener.accept()
            except (trio.ClosedResourceError, OSError) as error:
                if listener is self._listener:
                    _log.warning("phone %s cannot take a connection: %s; trying again", self.serial, error)
                    await trio.sleep(ACCEPT_AGAIN_S)
                continue
            if listener is not self._listener:  # taken in the moment the power went
                client.close()
                continue
            self._connection_count += 1
            connection = Connection(trio.SocketStream(client), self, self._connection_count)
            self._connections.add(connection)
            self._nursery.start_soon(self._serve_connection, connection)

    def close(self) -> None:
        """Gives the port back and cuts every connection."""
        self._drop_connections()
        self._listener.close()

    async def wait_audible(self) -> None:
        """Returns when the phone is not silent."""
        if not self._audible.is_set():
            self.device.faults.take(Fault.SILENT)
            await self._audible.wait()

    def has(self, fault: Fault) -> bool:
        """Whether a lasting fault is ordered, and counts that it struck."""
        return self.device.faults.take(fault) is not None

    async def run(self, service: str, command: str, connection: int) -> Finished | None:
        """Runs a command line that came another way than over adb; journals it.

        None when the phone went off meanwhile, or was off; a silent phone takes as long as it is silent.
        """
        if not self.powered:
            return None
        name = ServiceName("shell", frozenset(), command)
        self._journal(connection, service, command, name.note)
        finished: Finished | None = None
        with trio.CancelScope() as scope:
            self._services.add(scope)
            try:
                await self.wait_audible()
                finished = await run_in_time(self._host, command)
            finally:
                self._services.discard(scope)
        return finished

    def receive(self, path: str, data: bytes, service: str, connection: int) -> None:
        """Takes a file that came another way than over adb; journals it. Raises FileError."""
        self._journal(connection, service, f"push {path}", "push")
        files = self.device.files
        files.make_folder(path.rpartition("/")[0] or "/", parents=True)
        files.write(path, data, int(self.device.wall_s(self._clock())))

    def banner(self) -> bytes:
        """What the phone says of itself in CNXN."""
        names = ("ro.product.name", "ro.product.model", "ro.product.device")
        known = self.device.properties(self._clock())
        return banner({name: known[name] for name in names}, FEATURES)

    def opened(self, channel: Channel, service: str) -> None:
        """A service was asked for: journals it and starts it, unless a fault keeps it from running."""
        name = parse_service(service)
        faults = self.device.faults
        if faults.take(Fault.RESET_ON_OPEN, service):
            self._write(channel, name, service, executed=False, fault=Fault.RESET_ON_OPEN)
            channel.connection.reset()
        elif faults.take(Fault.OPEN_UNANSWERED, service):
            self._write(channel, name, service, executed=False, fault=Fault.OPEN_UNANSWERED)
        else:
            struck = next((order for fault in OUTPUT_FAULTS if (order := faults.take(fault, service))), None)
            self._write(channel, name, service, executed=True, fault=struck.fault if struck else None)
            self._nursery.start_soon(self._run_service, channel, name, struck)

    def _write(
        self, channel: Channel, name: ServiceName, service: str, *, executed: bool, fault: Fault | None
    ) -> None:
        head = service.partition(":")[0] + ":"
        self._journal(channel.connection.number, head, name.argument, name.note, executed=executed, fault=fault)

    def _journal(
        self,
        connection: int,
        service: str,
        command: str,
        note: str,
        *,
        executed: bool = True,
        fault: Fault | None = None,
    ) -> None:
        now_s = self._clock()
        self.journal.add(
            monotonic_s=round(now_s, 6),
            wall_ms=int(self.device.wall_s(now_s) * 1000),
            connection=connection,
            service=service,
            command=command,
            note=note,
            executed=executed,
            fault=fault.value if fault is not None else None,
        )

    async def _run_service(self, channel: Channel, name: ServiceName, fault: FaultOrder | None) -> None:
        def requested(text: str) -> None:
            self._journal(channel.connection.number, "sync:", text, text.partition(" ")[0])

        with trio.CancelScope() as scope:
            self._services.add(scope)
            try:
                await services.run(self._host, channel, name, fault, requested)
            finally:
                self._services.discard(scope)

    async def _serve_connection(self, connection: Connection) -> None:
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)

    def _drop_connections(self) -> None:
        for connection in list(self._connections):
            connection.reset()

    def _go_off(self, reason: str) -> None:
        was_on = self.powered
        self._off_for.add(reason)
        if not was_on:
            return
        self._powered = trio.Event()
        # The port is kept by a socket that is bound and does not listen: connecting is refused, nobody takes it.
        old = self._listener
        old.close()
        self._listener = trio.socket.from_stdlib_socket(bound_socket(*self._address))
        self._drop_connections()
        for scope in self._services:
            scope.cancel()

    def _go_on(self, reason: str) -> None:
        self._off_for.discard(reason)
        if self.powered and not self._powered.is_set():
            self._listener.listen(BACKLOG)
            self._powered.set()

    async def _boot_later(self) -> None:
        await trio.sleep(self._reboot_s)
        self.device.boot(self._clock())
        self._go_on("reboot")

    async def _clear_later(self, order: FaultOrder) -> None:
        assert order.duration_s is not None
        await trio.sleep(order.duration_s)
        self.clear(order.fault)


async def _admit(connection: Connection) -> None:
    try:
        await connection.admit()
    except ChannelClosed:
        return  # it hung up while it waited


def bound_socket(host: str, port: int) -> socket.socket:
    """A TCP socket bound to the address and not yet listening. Raises OSError; OverflowError for no port."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except (OSError, OverflowError):
        bound.close()
        raise
    return bound
