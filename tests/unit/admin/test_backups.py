"""When a backup is due: after so many hours, or by the clock on the wall."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from doai.admin.backups import due_in_s
from doai.admin.settings import Settings, checked
from doai.errors import ConfigError
from doai.schedule import Schedule

NIGHTLY = Schedule(cron="30 3 * * *", zone="Asia/Seoul")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Asia/Seoul")).timestamp()


def test_so_many_hours_after_the_newest() -> None:
    assert due_in_s(1000.0, 1600.0, every_s=3600.0, schedule=None) == 3000.0
    assert due_in_s(1000.0, 9000.0, every_s=3600.0, schedule=None) == 0.0
    assert due_in_s(9000.0, 1000.0, every_s=3600.0, schedule=None) == 3600.0, "the clock was set back"


@pytest.mark.parametrize(
    ("newest", "now", "wait_s"),
    [
        ("2026-03-01T03:30", "2026-03-01T12:00", 15.5 * 3600),
        ("2026-03-01T03:30", "2026-03-02T03:29", 60.0),
        # The admin was away at half past three: as soon as it is there.
        ("2026-03-01T03:30", "2026-03-03T12:00", 0.0),
        # The clock was a year ahead once: it goes on all the same.
        ("2027-03-01T03:30", "2026-03-01T03:00", 1800.0),
    ],
)
def test_by_the_clock_on_the_wall(newest: str, now: str, wait_s: float) -> None:
    assert due_in_s(at(newest), at(now), every_s=0.0, schedule=NIGHTLY) == pytest.approx(wait_s)


@pytest.mark.parametrize(
    ("cron", "zone", "sentence"),
    [
        ("0 0 30 2 *", "UTC", "backup_cron: the cron expression '0 0 30 2 \\*' never comes"),
        ("0 3 * * *", "Asia/Soul", "backup_zone: there is no time zone 'Asia/Soul': did you mean 'Asia/Seoul'"),
    ],
)
def test_a_wrong_schedule_is_told_at_the_start(cron: str, zone: str, sentence: str) -> None:
    settings = Settings(data_dir=Path("/nowhere"), backup_cron=cron, backup_zone=zone)
    with pytest.raises(ConfigError, match=sentence):
        checked(settings)
    assert checked(msgspec.structs.replace(settings, backup_cron="", backup_zone="UTC")) is not None
    with pytest.raises(ConfigError, match="there is no time zone 'Asia/Soul'"):
        checked(msgspec.structs.replace(settings, backup_cron="", backup_zone="Asia/Soul"))
