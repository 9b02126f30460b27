"""The fake driver: a fleet in memory that can be scripted (step 9)."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import trio

from doai.drivers import failures
from doai.drivers.base import DeviceChange, DeviceInfo, DriverNotice, Proof, ProofKind
from doai.drivers.fake.device import FakeDevice
from doai.drivers.fake.phone import FakePhone
from doai.drivers.fake.scripts import Script, Scripts
from doai.drivers.feed import Feed
from doai.drivers.watching import PROOF_EVERY_S
from doai.errors import StepError
from doai.phone.profiles import choose
from doai.reasons import reason as because
from doai.states import DeviceState

PROVE_EVERY_S: Final = 10.0
"""How often devices that can work are proven, as the adb driver does."""
JOURNAL_MAX: Final = 100_000
"""Commands kept: ten thousand tasks of ten commands."""
REBOOT_S: Final = 1.0
"""How long a rebooting phone is away, as on a shelf of simulated ones."""


class FakeJournalEntry(msgspec.Struct, frozen=True, gc=False):
    """One command that a fake phone was given."""

    serial: str
    tag: str
    """``task/token/step/try``, empty when the command had none."""
    command: str
    """Without its tag; file transfers as ``push PATH`` and ``pull PATH``."""
    at_s: float
    """Seconds of trio's clock."""


class FakeDriver:
    """Devices in memory; keeps the promises of doai.drivers.base.Driver.

    Either ``count`` phones made from ``seed`` (serials FAKE0001 and on, the models of doai.phone.profiles), or
    those with the given ``serials``. All methods that change a phone may be called at any time.
    """

    name = "fake"

    def __init__(
        self,
        *,
        count: int = 0,
        seed: int = 0,
        serials: Sequence[str] = (),
        latency_s: float = 0.0,
        journal_max: int = JOURNAL_MAX,
    ) -> None:
        self.latency_s = latency_s
        """Every command takes this long on top of its own time, in seconds of trio's clock."""
        self.scripts = Scripts()
        self.journal: deque[FakeJournalEntry] = deque(maxlen=journal_max)
        """Newest last; ``journal_max`` 0 keeps none."""
        self._feed = Feed()
        self._nursery: trio.Nursery | None = None
        names = serials or [f"FAKE{number:04d}" for number in range(1, count + 1)]
        self._phones = {name: _make_phone(name, seed, number) for number, name in enumerate(names, 1)}
        for phone in self._phones.values():
            self._publish(phone)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Prove the devices now and then while entered."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._prove)
            try:
                yield
            finally:
                self._nursery = None
            nursery.cancel_scope.cancel()

    def changes(self) -> AsyncIterator[DeviceChange | Proof | DriverNotice]:
        """Return what happens to devices from now on, beginning with those that are there."""
        return self._feed.read()

    def device(self, serial: str, *, tag: str = "") -> FakeDevice:
        """Return the device; raises StepError that says why it can not be used now."""
        failures.tagged(tag, "")
        phone = self._phones.get(serial)
        if phone is None or phone.state is not DeviceState.UNRESPONSIVE:
            self.usable(serial)
        return FakeDevice(serial, tag, self)

    @property
    def serials(self) -> list[str]:
        """All serials, also of phones that are away."""
        return list(self._phones)

    def phone(self, serial: str) -> FakePhone:
        """Return a phone, e.g. to look at its model; raises KeyError."""
        return self._phones[serial]

    def script(self, script: Script) -> None:
        """Put a script in force before those that are."""
        self.scripts.add(script)

    def set_state(self, serial: str, state: DeviceState, reason: str = "scripted") -> None:
        """Give a phone another state; calls in progress end unless it is ONLINE. Raises KeyError."""
        phone = self._phones[serial]
        phone.state, phone.reason = state, "" if state is DeviceState.ONLINE else reason
        if state is not DeviceState.ONLINE:
            phone.calls.end(_unusable(phone))
        self._publish(phone)

    def vanish(self, serial: str, reason: str = because("disconnected")) -> None:
        """Take a phone away."""
        self.set_state(serial, DeviceState.OFFLINE, reason)

    def appear(self, serial: str) -> None:
        """Bring a phone (back), also one that was never there."""
        if serial not in self._phones:
            self._phones[serial] = _make_phone(serial, 0, len(self._phones) + 1)
        self.set_state(serial, DeviceState.ONLINE)

    def reboot(self, serial: str) -> None:
        """Restart a phone: it is away for REBOOT_S, and comes back with nothing running."""
        phone = self._phones[serial]
        phone.model.boot(trio.current_time())
        self.vanish(serial, because("restarts"))
        if self._nursery is not None:
            self._nursery.start_soon(self._come_back, serial)

    def notice(self, code: str, message: str, serial: str | None = None) -> None:
        """Tell the readers something, as the adb driver does of its server."""
        self._feed.publish(DriverNotice(code=code, message=message, serial=serial))

    def usable(self, serial: str) -> FakePhone:
        """Return a phone that can work; raises StepError that says why it can not."""
        phone = self._phones.get(serial)
        if phone is None:
            raise failures.device_offline(serial, because("never_seen_here"))
        if phone.state is not DeviceState.ONLINE:
            raise _unusable(phone)
        return phone

    def note(self, serial: str, tag: str, command: str) -> None:
        """Write a command into the journal."""
        self.journal.append(FakeJournalEntry(serial, tag, command, trio.current_time()))

    def answered(self, phone: FakePhone) -> None:
        """A phone answered a command: that proves it, told now and then."""
        now_s = trio.current_time()
        if now_s - phone.last_proof_s >= PROOF_EVERY_S:
            phone.last_proof_s = now_s
            self._feed.publish(Proof(phone.serial, ProofKind.ANSWER))

    async def _prove(self) -> None:
        while True:
            await trio.sleep(PROVE_EVERY_S)
            for phone in self._phones.values():
                if phone.state is DeviceState.ONLINE:
                    self._feed.publish(Proof(phone.serial, ProofKind.ADB))
                    self._feed.publish(Proof(phone.serial, ProofKind.ANSWER))

    async def _come_back(self, serial: str) -> None:
        await trio.sleep(REBOOT_S)
        self.appear(serial)

    def _publish(self, phone: FakePhone) -> None:
        online = phone.state is DeviceState.ONLINE
        self._feed.publish(
            DeviceChange(
                serial=phone.serial,
                state=phone.state,
                reason=phone.reason,
                info=phone.info if online else None,
            )
        )


def _make_phone(serial: str, seed: int, number: int) -> FakePhone:
    profile, _ = choose(seed, number)
    info = DeviceInfo(
        serial=serial,
        connection=f"fake:{number}",
        model=profile.model,
        manufacturer=profile.manufacturer,
        sdk=profile.sdk,
        android=profile.release,
        screen=(profile.width_px, profile.height_px),
    )
    return FakePhone(info, seed, number)


def _unusable(phone: FakePhone) -> StepError:
    if phone.state is DeviceState.UNAUTHORIZED:
        return failures.device_unauthorized(phone.serial)
    if phone.state is DeviceState.UNRESPONSIVE:
        return failures.device_unresponsive(phone.serial, phone.reason)
    return failures.device_offline(phone.serial, phone.reason)
