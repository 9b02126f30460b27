"""What this installation tells its people of how it is set; no secret and no path of its host (before step 1).

What a person prefers (language, theme, time zone of the pages) is kept by each browser, and so it is not here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
from litestar import get

from doai import __version__
from doai.admin import examples
from doai.admin.access import VIEWER
from doai.admin.routes.notifications import channels_of
from doai.admin.routes.parameters import Given, Who
from doai.admin.routes.retention import POLICY, PolicyJson
from doai.admin.services import Services
from doai.admin.sessions import SESSION_S
from doai.admin.views import View
from doai.limits import (
    ARTIFACT_BYTES_MAX,
    DESCRIBED_DEVICES_MAX,
    EVENTS_PAGE_MAX,
    REQUEST_BYTES_MAX,
    TARGETS_PER_RUN_MAX,
)
from doai.store.schemas import newest_schemas
from doai.story.voice import LANGUAGES
from doai.wire_versions import SPOKEN


class CallerJson(View, frozen=True, kw_only=True):
    """Who asks; `GET /me` tells what the role may do."""

    name: str
    role: str
    is_token: bool
    """An API token; false = a person with a session."""


class ClockJson(View, frozen=True, kw_only=True):
    """The host's local time: of commands and pages that name no other."""

    zone: str
    """As the host calls it, such as KST."""
    utc_offset_min: int
    """Minutes ahead of UTC, now."""


class LimitsJson(View, frozen=True, kw_only=True):
    """What a request may ask for and bring."""

    page_items: int
    """Of a list at once."""
    run_targets: int
    """Devices of one run."""
    described_devices: int
    """Devices of one `POST /devices/descriptions`."""
    request_bytes: int
    """Of a body that is no file."""
    artifact_bytes: int
    file_bytes: int
    """Of a file for phones."""
    session_s: float
    """After which a person signs in again."""


class BackupPlanJson(View, frozen=True, kw_only=True):
    """When backups are made by themselves, and how many stay."""

    every_h: float
    """0 = not by hours."""
    cron: str
    """Empty = by hours, or on demand only."""
    zone: str
    """Of cron."""
    keep: int


class ChannelsJson(View, frozen=True, kw_only=True):
    """Who is told of incidents and dead letters; `GET /notifications` lists them."""

    is_bot_known: bool
    """notify-bot was there at least once."""
    names: list[str]


class SettingsJson(View, frozen=True, kw_only=True):
    """Settings as they hold since the admin was started."""

    version: str
    """Of the admin."""
    broker_version: str
    """Empty = it does not answer."""
    wire_lowest: int
    wire_highest: int
    """The admin speaks these wire versions and those between."""
    schema_version: int
    """Of the broker's store."""
    public_url: str
    """Of this API as nodes elsewhere reach it; empty = as it was asked."""
    fingerprint: str
    """SHA-256 of its certificate; empty = it has none."""
    broker_endpoint: str
    """As nodes reach the broker."""
    clock: ClockJson
    languages: list[str]
    """Of pages, stories and reasons."""
    limits: LimitsJson
    backups: BackupPlanJson
    retention: PolicyJson
    """`GET /retention` tells what would go."""
    logs_days: float
    """Log lines of all processes stay so long; 0 = none are kept."""
    notifications: ChannelsJson
    caller: CallerJson


_EXAMPLE: Final = SettingsJson(
    version="0.1.0",
    broker_version="0.1.0",
    wire_lowest=1,
    wire_highest=1,
    schema_version=17,
    public_url="https://doai.example:7700",
    fingerprint="",
    broker_endpoint="tcp://doai.example:7701",
    clock=ClockJson(zone="KST", utc_offset_min=540),
    languages=["ko", "en"],
    limits=LimitsJson(
        page_items=EVENTS_PAGE_MAX,
        run_targets=TARGETS_PER_RUN_MAX,
        described_devices=DESCRIBED_DEVICES_MAX,
        request_bytes=REQUEST_BYTES_MAX,
        artifact_bytes=ARTIFACT_BYTES_MAX,
        file_bytes=2_147_483_648,
        session_s=SESSION_S,
    ),
    backups=BackupPlanJson(every_h=0.0, cron="30 3 * * *", zone="Asia/Seoul", keep=7),
    retention=POLICY,
    logs_days=7.0,
    notifications=ChannelsJson(is_bot_known=True, names=["ops"]),
    caller=CallerJson(name="ann", role="operator", is_token=False),
)


@get(
    "/settings",
    opt={"needs": VIEWER},
    tags=["settings"],
    summary="Show how this installation is set",
    responses=examples.answer(200, SettingsJson, _EXAMPLE, "Addresses, clock, limits, what is kept, who asks."),
)
async def show_settings(services: Given, caller: Who) -> SettingsJson:
    """Settings are changed where the programs are started: see docs/reference/config.md."""
    channels = await channels_of(services)
    return SettingsJson(
        version=__version__,
        broker_version=services.mesh.broker_version,
        wire_lowest=SPOKEN.lowest,
        wire_highest=SPOKEN.highest,
        schema_version=newest_schemas()["broker"],
        public_url=services.public_url,
        fingerprint=services.fingerprint,
        broker_endpoint=services.broker_endpoint,
        clock=_clock(datetime.now().astimezone()),
        languages=list(LANGUAGES),
        limits=_limits(services),
        backups=_backup_plan(services),
        retention=PolicyJson(every_h=services.janitor.every_h, **msgspec.structs.asdict(services.janitor.policy)),
        logs_days=services.logs.days,
        notifications=ChannelsJson(
            is_bot_known=channels is not None, names=[channel.name for channel in channels or ()]
        ),
        caller=CallerJson(name=caller.name, role=caller.role, is_token=bool(caller.token)),
    )


def _clock(here: datetime) -> ClockJson:
    offset = here.utcoffset()
    return ClockJson(
        zone=here.tzname() or "UTC", utc_offset_min=round(offset.total_seconds() / 60) if offset is not None else 0
    )


def _limits(services: Services) -> LimitsJson:
    return LimitsJson(
        page_items=EVENTS_PAGE_MAX,
        run_targets=TARGETS_PER_RUN_MAX,
        described_devices=DESCRIBED_DEVICES_MAX,
        request_bytes=REQUEST_BYTES_MAX,
        artifact_bytes=ARTIFACT_BYTES_MAX,
        file_bytes=services.files.size_max_bytes,
        session_s=SESSION_S,
    )


def _backup_plan(services: Services) -> BackupPlanJson:
    backups = services.backups
    schedule = backups.schedule
    return BackupPlanJson(
        every_h=0.0 if schedule is not None else backups.every_h,
        cron=schedule.cron if schedule is not None else "",
        zone=schedule.zone if schedule is not None else "",
        keep=backups.keep,
    )
