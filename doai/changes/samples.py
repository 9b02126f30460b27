"""Samples of devices as the store keeps them: one a minute, and what an hour of them comes to (steps 3, 14)."""

from __future__ import annotations

from typing import Final

import msgspec

from doai.changes.store_op import StoreOp
from doai.codec import decode, encode
from doai.messages.samples import THERMAL_LEVELS, DeviceHealth

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
MINUTES_AN_HOUR: Final = 60
MEASURES: Final = (
    "battery_percent",
    "battery_temp_c",
    "thermal_level",
    "cpu_percent",
    "cpu_load",
    "memory_free_mb",
    "storage_free_mb",
)
"""What of a sample is a number that has a mean."""
_NAMES: Final = tuple(field.encode_name for field in msgspec.structs.fields(DeviceHealth))


class DeviceSampleRow(msgspec.Struct, frozen=True, kw_only=True):
    """The first sample of a device within a minute of the broker's time."""

    serial: str
    minute: int
    """Since 1970-01-01 (UTC)."""
    body: bytes
    """msgpack of the values of a DeviceHealth, in the order of its fields: a third of what names would make it."""


class PutDeviceSample(StoreOp, frozen=True):
    """A sample of a minute, which is added to its hour; one of a minute that has a sample is not kept."""

    row: DeviceSampleRow


class PruneSamples(StoreOp, frozen=True):
    """Removes what is too old of some devices' samples."""

    serials: list[str]
    minute_before: int
    hour_before: int


SampleOp = PutDeviceSample | PruneSamples


class Spread(msgspec.Struct, frozen=True, array_like=True):
    """What several numbers come to."""

    count: int
    low: float
    total: float
    high: float

    @property
    def mean(self) -> float:
        return self.total / self.count

    def plus(self, other: Spread) -> Spread:
        """Return both together."""
        return Spread(
            self.count + other.count,
            min(self.low, other.low),
            self.total + other.total,
            max(self.high, other.high),
        )


class SampleSum(msgspec.Struct, frozen=True, kw_only=True):
    """What the samples of a while come to."""

    samples: int = 0
    unanswered: int = 0
    """Of them: those of times when the device did not answer."""
    spreads: dict[str, Spread] = {}
    """By MEASURES; those that were told at least once."""

    def plus(self, other: SampleSum) -> SampleSum:
        """Return both together."""
        spreads = dict(self.spreads)
        for name, spread in other.spreads.items():
            spreads[name] = spreads[name].plus(spread) if name in spreads else spread
        return SampleSum(
            samples=self.samples + other.samples, unanswered=self.unanswered + other.unanswered, spreads=spreads
        )


def sample_body(health: DeviceHealth) -> bytes:
    """Return a sample as rows have it."""
    return encode(list(msgspec.structs.astuple(health)))


def health_of(body: bytes) -> DeviceHealth:
    """Return the sample of a row; of one that a newer program wrote what is known here."""
    values = decode(body, list[object])
    return msgspec.convert(dict(zip(_NAMES, values, strict=False)), DeviceHealth)


def sum_of(health: DeviceHealth) -> SampleSum:
    """Return what one sample comes to."""
    values: dict[str, float | None] = {name: getattr(health, name, None) for name in MEASURES}
    if health.thermal_status in THERMAL_LEVELS:
        values["thermal_level"] = THERMAL_LEVELS.index(health.thermal_status)
    spreads = {name: Spread(1, value, value, value) for name, value in values.items() if value is not None}
    return SampleSum(samples=1, unanswered=int(bool(health.problem)), spreads=spreads)


def added(sum_body: bytes | None, sample: bytes) -> bytes:
    """Return the row of an hour with one sample more; both are bodies of rows."""
    before = SampleSum() if sum_body is None else msgspec.json.decode(sum_body, type=SampleSum)
    return msgspec.json.encode(before.plus(sum_of(health_of(sample))))
