"""Samples of one device for charts: by the minute for a day, by the hour for 90 (step 14)."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import get
from litestar.params import FromPath, QueryParameter

from doai.admin import examples
from doai.admin.access import VIEWER
from doai.admin.routes.fleet import known_serials
from doai.admin.routes.parameters import Given, not_found, now_ms
from doai.admin.views import View
from doai.changes.samples import HOUR_MS, MINUTE_MS, SampleSum, Spread
from doai.errors import UserError
from doai.messages.samples import DeviceHealth
from doai.store.device_reader import DeviceFilter

POINTS_MAX: Final = 2200
"""Hours of 90 days, or minutes of a day and a half."""
DAY_MS: Final = 24 * HOUR_MS
STEP_FINE_MS: Final = 36 * HOUR_MS
"""Of a longer time hours are shown unless another step is asked for: minutes are not kept that long."""


class SpreadJson(View, frozen=True, kw_only=True):
    """What one measure came to."""

    min: float
    mean: float
    max: float


class SamplePointJson(View, frozen=True, kw_only=True):
    """One step; null = the device did not tell it. Steps without a sample are left out."""

    at_ms: int
    """Its beginning, ms since 1970 (UTC)."""
    samples: int
    """One a minute at most."""
    unanswered: int
    """Of them: times when the device did not answer."""
    battery_percent: SpreadJson | None
    battery_temp_c: SpreadJson | None
    thermal_level: SpreadJson | None
    """0 none, 1 light, 2 moderate, 3 severe, 4 critical, 5 emergency, 6 shutdown."""
    cpu_percent: SpreadJson | None
    cpu_load: SpreadJson | None
    memory_free_mb: SpreadJson | None
    storage_free_mb: SpreadJson | None


class HealthJson(View, frozen=True, kw_only=True):
    """The newest sample as a whole; what the device does not tell is null, empty or `unknown`."""

    sampled_at_ms: int
    took_ms: int
    problem: str
    """Why there is nothing else: it did not answer; empty = it did."""
    battery_percent: int | None
    battery_temp_c: float | None
    battery_health: str
    charging: bool | None
    thermal_status: str
    storage_free_mb: int | None
    storage_total_mb: int | None
    memory_free_mb: int | None
    memory_total_mb: int | None
    cpu_percent: float | None
    cpu_load: float | None
    network: str
    screen_on: bool | None
    foreground_app: str
    uptime_s: int | None


class SamplesJson(View, frozen=True, kw_only=True):
    """How a device was; oldest first."""

    serial: str
    from_ms: int
    to_ms: int
    step_s: int
    newest: HealthJson | None
    """null = none is kept: no bot asks for samples, or its node is of an older release."""
    points: list[SamplePointJson]


_HEALTH: Final = HealthJson(
    sampled_at_ms=examples.AT_MS,
    took_ms=140,
    problem="",
    battery_percent=84,
    battery_temp_c=31.5,
    battery_health="good",
    charging=True,
    thermal_status="none",
    storage_free_mb=51_200,
    storage_total_mb=112_640,
    memory_free_mb=2_048,
    memory_total_mb=5_632,
    cpu_percent=9.0,
    cpu_load=1.2,
    network="wifi",
    screen_on=True,
    foreground_app="com.example.login",
    uptime_s=86_400,
)
_EXAMPLE: Final = SamplesJson(
    serial="R58M12ABCDE",
    from_ms=examples.AT_MS - HOUR_MS,
    to_ms=examples.AT_MS,
    step_s=60,
    newest=_HEALTH,
    points=[
        SamplePointJson(
            at_ms=examples.AT_MS - MINUTE_MS,
            samples=1,
            unanswered=0,
            battery_percent=SpreadJson(min=84, mean=84, max=84),
            battery_temp_c=SpreadJson(min=31.5, mean=31.5, max=31.5),
            thermal_level=SpreadJson(min=0, mean=0, max=0),
            cpu_percent=SpreadJson(min=9, mean=9, max=9),
            cpu_load=SpreadJson(min=1.2, mean=1.2, max=1.2),
            memory_free_mb=SpreadJson(min=2_048, mean=2_048, max=2_048),
            storage_free_mb=None,
        )
    ],
)


@get(
    "/devices/{serial:str}/samples",
    opt={"needs": VIEWER},
    tags=["fleet"],
    summary="How a device was, for charts",
    responses=examples.answer(200, SamplesJson, _EXAMPLE, "By time, with the newest sample.", problems=(404, 422)),
)
async def list_samples(
    serial: FromPath[str],
    services: Given,
    begin: Annotated[
        int | None,
        QueryParameter(name="from", ge=0, le=2**53, description="ms since 1970; not given = a day before"),
    ] = None,
    end: Annotated[
        int | None, QueryParameter(name="to", ge=0, le=2**53, description="ms since 1970; not given = now")
    ] = None,
    step: Annotated[
        int | None,
        QueryParameter(
            ge=60,
            le=86_400,
            description="seconds: whole minutes, from 3600 on whole hours; not given = one that fits",
        ),
    ] = None,
) -> SamplesJson:
    """Minutes are kept for a day and hours for 90 days unless an admin says otherwise."""
    to_ms = now_ms() if end is None else end
    from_ms = max(0, to_ms - DAY_MS) if begin is None else begin
    step_ms = _step_ms(from_ms, to_ms, step)
    if not await services.reader.fleet.count(DeviceFilter(serials=(serial,)), to_ms):
        raise not_found("device", serial, "devices", await known_serials(services.reader))
    newest = await services.reader.device_samples.newest(serial)
    sums = await services.reader.device_samples.sums(serial, from_ms, to_ms, step_ms)
    return SamplesJson(
        serial=serial,
        from_ms=from_ms,
        to_ms=to_ms,
        step_s=step_ms // 1000,
        newest=None if newest is None else _health_json(newest),
        points=[_point_json(at_ms, found) for at_ms, found in sums],
    )


def _step_ms(from_ms: int, to_ms: int, step: int | None) -> int:
    span_ms = to_ms - from_ms
    if span_ms <= 0:
        raise UserError("`from` must be before `to`", code="bad_span")
    step_ms = 1000 * step if step is not None else MINUTE_MS if span_ms <= STEP_FINE_MS else HOUR_MS
    unit_ms = HOUR_MS if step_ms >= HOUR_MS else MINUTE_MS
    if step_ms % unit_ms:
        raise UserError(f"a step of {step} s can not be: whole minutes, from 3600 on whole hours", code="bad_step")
    if span_ms // step_ms > POINTS_MAX:
        raise UserError(
            f"that is {span_ms // step_ms} steps, {POINTS_MAX} are the most: ask for less time or a longer step",
            code="too_many_points",
        )
    return step_ms


def _health_json(health: DeviceHealth) -> HealthJson:
    fields = msgspec.structs.asdict(health)
    del fields["serial"]
    return HealthJson(**fields)


def _point_json(at_ms: int, found: SampleSum) -> SamplePointJson:
    return SamplePointJson(
        at_ms=at_ms,
        samples=found.samples,
        unanswered=found.unanswered,
        battery_percent=_spread(found, "battery_percent"),
        battery_temp_c=_spread(found, "battery_temp_c"),
        thermal_level=_spread(found, "thermal_level"),
        cpu_percent=_spread(found, "cpu_percent"),
        cpu_load=_spread(found, "cpu_load"),
        memory_free_mb=_spread(found, "memory_free_mb"),
        storage_free_mb=_spread(found, "storage_free_mb"),
    )


def _spread(found: SampleSum, name: str) -> SpreadJson | None:
    spread: Spread | None = found.spreads.get(name)
    return None if spread is None else SpreadJson(min=spread.low, mean=round(spread.mean, 2), max=spread.high)
