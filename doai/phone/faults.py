"""The faults that can be ordered on a phone, by name, and the book of those ordered (way of a task: 9)."""

import enum

import msgspec


class Fault(enum.StrEnum):
    """What a driver must survive. The value is the name used by the control port."""

    RESET_MID_OUTPUT = "reset_mid_output"
    """The TCP connection is reset after some bytes of a command's output."""
    RESET_ON_OPEN = "reset_on_open"
    """The TCP connection is reset when a service is opened; the command does not run."""
    OPEN_UNANSWERED = "open_unanswered"
    """A service is opened and neither OKAY nor CLSE ever comes; the command does not run."""
    SILENT = "silent"
    """The phone reads and answers nothing; TCP is up and adb's state stays `device`; late, all is read."""
    DRIBBLE = "dribble"
    """A command's output comes one byte at a time, `delay_s` apart."""
    OUTPUT_STOPS = "output_stops"
    """A command's output stops after some bytes; the stream stays open and never ends."""
    GARBAGE = "garbage"
    """In the middle of a command, bytes come that are no ADB message."""
    GARBAGE_OUTPUT = "garbage_output"
    """A command's output is replaced by random bytes, in valid ADB messages (no valid shell v2 packets)."""
    AUTH_FOREVER = "auth_forever"
    """The phone asks for authorization and no key is ever accepted: adb's state is `unauthorized`."""
    NO_CNXN = "no_cnxn"
    """TCP opens and CNXN is never answered: adb's state is `offline`."""
    PORT_GONE = "port_gone"
    """Connections drop and the port refuses, for `duration_s` or until cleared."""
    STORAGE_FULL = "storage_full"
    """No file can be written and no package installed."""
    INSTALL_FAILS = "install_fails"
    """An installation fails with the reason in `text`, such as INSTALL_FAILED_VERSION_DOWNGRADE."""
    SCREEN_OFF = "screen_off"
    """The screen goes off now; touches do nothing until it is woken."""
    REBOOT_MID_TASK = "reboot_mid_task"
    """The phone reboots after some bytes of a command's output: nobody can know how far the command got."""
    SAME_SERIAL = "same_serial"
    """`getprop ro.serialno` says `text`, the serial of another phone."""
    MEDIA_STALLS = "media_stalls"
    """What plays stops to buffer, for `duration_s` or until cleared; every video at `at_media_s`, if given."""


LASTING = frozenset(
    {
        Fault.SILENT,
        Fault.AUTH_FOREVER,
        Fault.NO_CNXN,
        Fault.PORT_GONE,
        Fault.STORAGE_FULL,
        Fault.SCREEN_OFF,
        Fault.SAME_SERIAL,
        Fault.MEDIA_STALLS,
    }
)
"""Faults that are a condition until cleared; the others strike `count` times."""

OUTPUT_FAULTS = (
    Fault.RESET_MID_OUTPUT,
    Fault.DRIBBLE,
    Fault.OUTPUT_STOPS,
    Fault.GARBAGE,
    Fault.GARBAGE_OUTPUT,
    Fault.REBOOT_MID_TASK,
)
"""Faults that a service's output passes through."""


class FaultOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fault as ordered.

    `count` is how often it strikes (None: until cleared); `match` is a part of the service string it
    waits for ("" = any service); `after_bytes` of output come first; `delay_s` is the time between
    dribbled bytes; `duration_s` ends a lasting fault by itself; `text` is a reason or a serial; `at_media_s` is the
    position in a video at which it stalls (None: at once).
    """

    fault: Fault
    count: int | None = 1
    match: str = ""
    after_bytes: int = 8
    delay_s: float = 0.05
    duration_s: float | None = None
    text: str = ""
    at_media_s: float | None = None


class FaultBook:
    """The faults ordered on one phone and how often each struck. Pure: it only keeps accounts."""

    def __init__(self) -> None:
        self._open: list[tuple[FaultOrder, int | None]] = []
        self.struck: dict[Fault, int] = {}

    def order(self, order: FaultOrder) -> None:
        """Adds an order; a lasting fault stays until `clear`, whatever its count says."""
        left = None if order.fault in LASTING else order.count
        self._open.append((order, left))

    def take(self, fault: Fault, subject: str = "") -> FaultOrder | None:
        """The first order of this fault that matches the subject; counts it as struck and uses it up."""
        for index, (order, left) in enumerate(self._open):
            if order.fault is fault and order.match in subject:
                if left is not None and left <= 1:
                    del self._open[index]
                elif left is not None:
                    self._open[index] = (order, left - 1)
                self.struck[fault] = self.struck.get(fault, 0) + 1
                return order
        return None

    def take_all(self, fault: Fault) -> list[FaultOrder]:
        """Every order of a lasting fault, oldest first; counts each as struck."""
        orders = [order for order, _ in self._open if order.fault is fault]
        if orders:
            self.struck[fault] = self.struck.get(fault, 0) + len(orders)
        return orders

    def waiting_for(self, fault: Fault) -> FaultOrder | None:
        """The first order of this fault that waits or lasts; uses nothing up."""
        return next((order for order, _ in self._open if order.fault is fault), None)

    def active(self, fault: Fault) -> bool:
        """Whether an order of this fault waits or lasts; uses nothing up."""
        return self.waiting_for(fault) is not None

    def clear(self, fault: Fault | None = None) -> list[Fault]:
        """Withdraws the orders of one fault, or of all (None); returns the faults that were withdrawn."""
        gone = [order.fault for order, _ in self._open if fault is None or order.fault is fault]
        self._open = [kept for kept in self._open if kept[0].fault not in gone]
        return gone

    def waiting(self) -> list[FaultOrder]:
        """The orders not yet used up, oldest first."""
        return [order for order, _ in self._open]
