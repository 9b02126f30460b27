"""What an operator sets: the channels of notifications, and when each is quiet (step 14)."""

from __future__ import annotations

import enum
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, Struct

from doai.ids import is_name
from doai.incidents import Severity
from doai.secret_reference import secret_of
from doai.tls import is_http_url
from doai.workflow.duration import DurationError, parse_duration

CHANNELS_MAX: Final = 20
RANK: Final = {severity: rank for rank, severity in enumerate(Severity)}
_HOURS: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")
_DAY_MIN: Final = 24 * 60


class About(enum.Enum):
    """What notifications are about."""

    INCIDENTS = "incidents"
    DEAD_LETTERS = "dead_letters"
    CAMPAIGNS = "campaigns"
    RUNS = "runs"
    TEST = "test"


class Channel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to people, or to another program."""

    name: Annotated[str, Meta(description="how it is called: 1-63 of a-z 0-9 . _ -")]
    kind: Annotated[
        Literal["service", "webhook"],
        Meta(
            description="service = e-mail, Slack and whatever else Apprise knows; webhook = signed JSON over HTTP"
        ),
    ] = "service"
    url: Annotated[
        str,
        Meta(
            description="of a service ${secret.NAME}, whose value is an Apprise URL; of a webhook that or https://"
        ),
    ]
    key: Annotated[str, Meta(description="of a webhook: ${secret.NAME} with which messages are signed")] = ""
    about: Annotated[
        tuple[Literal["incidents", "dead_letters", "campaigns", "runs"], ...],
        Meta(description="what it tells of; runs = the end of every run"),
    ] = ("incidents", "dead_letters", "campaigns")
    severity: Annotated[
        Severity, Meta(description="it tells nothing less grave; ends that passed are low, others medium")
    ] = Severity.LOW
    language: Annotated[Literal["en", "ko"], Meta(description="of its messages")] = "en"
    gather: Annotated[str, Meta(description="so long after the last thing the next may join its message")] = "5s"
    settle: Annotated[str, Meta(description="an incident is told over when it was for so long; 0s = at once")] = (
        "10m"
    )
    per_hour: Annotated[int, Meta(ge=1, le=1000, description="messages; what is more waits and is gathered")] = 30
    quiet: Annotated[str, Meta(description="hours without messages, such as 22:00-07:00; empty = none")] = ""
    zone: Annotated[str, Meta(description="time zone of the quiet hours, such as Asia/Seoul")] = "UTC"
    wakes: Annotated[Severity, Meta(description="what is as grave as this is told in quiet hours too")] = (
        Severity.CRITICAL
    )

    @property
    def gather_s(self) -> float:
        """Seconds of `gather`."""
        return _seconds(self.gather, 5.0)

    @property
    def settle_s(self) -> float:
        """Seconds of `settle`."""
        return _seconds(self.settle, 600.0)

    def wants(self, about: About, severity: Severity) -> bool:
        """Whether it tells of such a thing."""
        return about.value in self.about and RANK[severity] >= RANK[self.severity]

    def problem(self) -> str:
        """Return one sentence on what is wrong with it; empty = nothing that can be seen here."""
        found = (
            _name_problem(self.name)
            or _address_problem(self)
            or _duration_problem("gather", self.gather)
            or _duration_problem("settle", self.settle)
            or _quiet_problem(self)
        )
        return f"channel {self.name[:70]}: {found}" if found else ""

    def quiet_until_ms(self, now_ms: int) -> int | None:
        """Return when the quiet hours end in which a time is; None = it is in none. UTC, ms since 1970."""
        hours = _HOURS.fullmatch(self.quiet)
        if hours is None:
            return None
        try:
            zone = ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return None  # `problem` says so; a message at night is better than none
        begin, end = (int(hours[n]) * 60 + int(hours[n + 1]) for n in (1, 3))
        local = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone)
        minute = local.hour * 60 + local.minute
        since_begin = (minute - begin) % _DAY_MIN
        if since_begin >= (end - begin) % _DAY_MIN:
            return None
        ends = local.replace(hour=end // 60, minute=end % 60, second=0, microsecond=0, fold=1)
        if end <= minute:
            ends += timedelta(days=1)
        # Where the clock is put back in between, an end that has passed already is that of the second time.
        return max(round(ends.timestamp() * 1000), now_ms + 1)


class NotifyConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration of notify-bot."""

    channels: Annotated[list[Channel], Meta(max_length=CHANNELS_MAX)] = []
    dashboard_url: Annotated[str, Meta(description="address of the dashboard for links; empty = no links")] = ""
    interval: Annotated[str, Meta(description="so often it looks whether a message is due")] = "1s"
    max_concurrent: Annotated[int, Meta(ge=8, le=200)] = 40
    """Handlers at once: a channel that hangs holds one."""


def channels_of(config: NotifyConfig) -> dict[str, Channel]:
    """Return the channels that can be used, by name: of several with one name the first."""
    found: dict[str, Channel] = {}
    for channel in config.channels:
        if not channel.problem():
            found.setdefault(channel.name, channel)
    return found


def problems_of(config: NotifyConfig) -> list[str]:
    """Return a sentence for everything in a configuration that can not be used."""
    names = [channel.name for channel in config.channels]
    found = [problem for channel in config.channels if (problem := channel.problem())]
    found += [
        f"channel {name[:70]}: there are {names.count(name)} of this name, the first is used"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    return found


def _seconds(text: str, otherwise: float) -> float:
    try:
        return parse_duration(text)
    except DurationError:
        return otherwise


def _name_problem(name: str) -> str:
    return "" if is_name(name) else "its name must be 1-63 of a-z 0-9 . _ -"


def _address_problem(channel: Channel) -> str:
    named = secret_of(channel.url)
    if channel.kind == "service":
        return "" if named else "the url of a service is a secret: write ${secret.NAME}, and set it"
    if not named and not is_http_url(channel.url):
        return "the url of a webhook is https://HOST/PATH, or ${secret.NAME} with one"
    return "" if secret_of(channel.key) else "a webhook is signed: its key must be ${secret.NAME}"


def _duration_problem(name: str, text: str) -> str:
    try:
        parse_duration(text)
    except DurationError as error:
        return f"{name}: {error}"
    return ""


def _quiet_problem(channel: Channel) -> str:
    if channel.quiet and _HOURS.fullmatch(channel.quiet) is None:
        return f"quiet hours can not be {channel.quiet[:40]!r}: write them as 22:00-07:00"
    try:
        ZoneInfo(channel.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"there is no time zone {channel.zone[:60]!r} on this host: write one such as Asia/Seoul"
    return ""
