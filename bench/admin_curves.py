"""What the charts of a filled store show: what ended in each minute and hour, and how a device was for a day."""

from __future__ import annotations

import math
from collections.abc import Iterator

from doai.changes import ops
from doai.changes.samples import DeviceSampleRow, PutDeviceSample, sample_body
from doai.changes.statistics import PERIOD_MS, Period, StatisticsRow
from doai.histogram import Histogram
from doai.messages.samples import DeviceHealth

SAMPLE_EVERY_MIN = 5
"""A day of them is what the page of a device reads."""
_COUNTS = {Period.MINUTE: 60, Period.HOUR: 24}


def curves(serial: str, now_ms: int) -> Iterator[ops.Op]:
    """Yield the ops of a busy hour, a busy day, and a day of one device's battery, a gap in each."""
    for period, count in _COUNTS.items():
        step_ms = PERIOD_MS[period]
        end_ms = now_ms - now_ms % step_ms
        for n in range(count):
            if n % 20 != 13:
                yield ops.InsertStatistics(_statistics(period, end_ms - n * step_ms, n))
    for minute in range(0, 24 * 60, SAMPLE_EVERY_MIN):
        if minute // 60 != 7:
            yield PutDeviceSample(_sample(serial, now_ms // 60_000 - minute, minute))


def _sample(serial: str, minute: int, n: int) -> DeviceSampleRow:
    charge = round(60 + 38 * math.cos(n / 170))
    health = DeviceHealth(serial=serial, sampled_at_ms=minute * 60_000, took_ms=120, battery_percent=charge,
                          battery_temp_c=31 + 6 * math.sin(n / 110), charging=charge > 80)  # fmt: skip
    return DeviceSampleRow(serial=serial, minute=minute, body=sample_body(health))


def _statistics(period: Period, at_ms: int, n: int) -> StatisticsRow:
    wait, duration = Histogram(), Histogram()
    passed, failed = 90 + (n * 37) % 41, (n * 7) % 11
    for k in range(40):
        wait.add(0.4 + (n * 13 + k * 7) % 50 / 20)
        duration.add(20 + 8 * math.sin(n / 6) + k % 9)
    return StatisticsRow(
        row_id=f"{period.value}-{at_ms}",
        queue="default",
        period=period,
        at_ms=at_ms,
        position=0,
        observed_ms=PERIOD_MS[period],
        waiting=40,
        running=20,
        delayed=1,
        unproven=0,
        nodes_online=1,
        nodes_total=1,
        passed=passed,
        failed=failed,
        cancelled=0,
        expired=0,
        unknown=0,
        wait=wait.encoded(),
        duration=duration.encoded(),
    )
