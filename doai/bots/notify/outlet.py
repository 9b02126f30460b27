"""What one channel has to tell and has told: gathers notices, makes messages, knows when each is due (step 14).

Pure. One message is under way at a time, and the next is made when it has ended: they arrive in order.
"""

from __future__ import annotations

from typing import Final

import msgspec

from doai.backoff import Backoff
from doai.bots.notify.channels import RANK, Channel
from doai.bots.notify.notices import Notice, Phase
from doai.incidents import Severity

NOTICES_SHOWN: Final = 20
"""A message names so many, of the rest the numbers: nobody reads more, and a channel's state stays below 64 KiB."""
TEXT_CHARS: Final = 300
GATHERS_MAX: Final = 6
"""What keeps coming is told after so many times the gathering time."""
HOUR_MS: Final = 3_600_000
GIVE_UP_S: Final = 24 * 3600.0
AGAIN: Final = Backoff(first_s=5.0, longest_s=900.0)
RETRY_AFTER_S_MAX: Final = 3600.0


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message: what is in it does not change, however often it is sent."""

    message_id: str
    made_at_ms: int
    count: int
    notices: list[Notice]
    """The first of them."""
    numbers: dict[str, int]
    """``incidents/opened`` -> how many, of all."""
    worst: Severity
    tries: int = 0
    next_try_ms: int = 0
    problem: str = ""
    """Of the last try."""


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """What waits to become a message."""

    count: int
    notices: list[Notice]
    numbers: dict[str, int]
    worst: Severity
    first_at_ms: int
    last_at_ms: int


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An incident that the channel has told of as open."""

    incident_id: str
    opened_at_ms: int
    returns: int = 0
    closed: Notice | None = None
    """It is over, and that is told when it stays so."""
    closed_at_ms: int = 0


class Outlet(msgspec.Struct, frozen=True, kw_only=True):
    """One channel as it is kept."""

    gathered: Gathered | None = None
    message: Message | None = None
    sent_at_ms: list[int] = []
    """When the messages of the last hour were made."""
    settles_at_ms: int | None = None
    """The next closed incident may be told over then; None = none is closed."""


def take(outlet: Outlet, notice: Notice, now_ms: int) -> Outlet:
    """Add a notice to what is told next."""
    if len(notice.text) > TEXT_CHARS:
        notice = msgspec.structs.replace(notice, text=notice.text[: TEXT_CHARS - 1] + "…")
    number = f"{notice.about.value}/{notice.phase.value}"
    old = outlet.gathered
    if old is None:
        old = Gathered(
            count=0, notices=[], numbers={}, worst=notice.severity, first_at_ms=now_ms, last_at_ms=now_ms
        )
    gathered = Gathered(
        count=old.count + 1,
        notices=[*old.notices, notice] if len(old.notices) < NOTICES_SHOWN else old.notices,
        numbers={**old.numbers, number: old.numbers.get(number, 0) + 1},
        worst=max(old.worst, notice.severity, key=RANK.__getitem__),
        first_at_ms=old.first_at_ms,
        last_at_ms=now_ms,
    )
    return msgspec.structs.replace(outlet, gathered=gathered)


def take_incident(
    outlet: Outlet, told: Told | None, notice: Notice, settle_s: float, now_ms: int
) -> tuple[Outlet, Told | None]:
    """Add what is new about an incident; return what is kept of it, None = nothing.

    It is told open once, and over once it stays over: one that comes and goes makes no message each time.
    """
    if notice.phase is Phase.OPENED:
        if told is None:
            return take(outlet, notice, now_ms), Told(incident_id=notice.id, opened_at_ms=notice.at_ms)
        if told.incident_id == notice.id:
            return outlet, told  # told already
        again = Told(incident_id=notice.id, opened_at_ms=told.opened_at_ms, returns=told.returns + 1)
        return outlet, again
    if told is None or told.incident_id != notice.id or told.closed is not None:
        return outlet, told  # of one that was never told, or that another has followed
    over = msgspec.structs.replace(told, closed=notice, closed_at_ms=now_ms)
    settles_at_ms = now_ms + round(settle_s * 1000)
    if outlet.settles_at_ms is not None:
        settles_at_ms = min(settles_at_ms, outlet.settles_at_ms)
    return msgspec.structs.replace(outlet, settles_at_ms=settles_at_ms), over


def settle(outlet: Outlet, told: dict[str, Told], settle_s: float, now_ms: int) -> tuple[Outlet, list[str]]:
    """Tell incidents over that stayed so; ``told`` has all of the channel. Return what is kept no more."""
    settle_ms = round(settle_s * 1000)
    dropped: list[str] = []
    next_ms: int | None = None
    for key, row in told.items():
        if row.closed is None:
            continue
        settles_at_ms = row.closed_at_ms + settle_ms
        if settles_at_ms <= now_ms:
            outlet = take(outlet, msgspec.structs.replace(row.closed, returns=row.returns), now_ms)
            dropped.append(key)
        else:
            next_ms = settles_at_ms if next_ms is None else min(next_ms, settles_at_ms)
    return msgspec.structs.replace(outlet, settles_at_ms=next_ms), dropped


def ready_ms(outlet: Outlet, channel: Channel, now_ms: int) -> int | None:
    """Return when what is gathered becomes a message; None = nothing is, or one is under way."""
    gathered = outlet.gathered
    if gathered is None or outlet.message is not None:
        return None
    gather_ms = round(channel.gather_s * 1000)
    at_ms = min(gathered.last_at_ms + gather_ms, gathered.first_at_ms + GATHERS_MAX * gather_ms)
    recent = [sent_ms for sent_ms in outlet.sent_at_ms if sent_ms > now_ms - HOUR_MS]
    if len(recent) >= channel.per_hour:
        at_ms = max(at_ms, recent[-channel.per_hour] + HOUR_MS)
    if RANK[gathered.worst] < RANK[channel.wakes]:
        at_ms = max(at_ms, channel.quiet_until_ms(now_ms) or 0)
    return at_ms


def make(outlet: Outlet, message_id: str, now_ms: int) -> Outlet:
    """Make a message of all that is gathered."""
    gathered = outlet.gathered
    assert gathered is not None
    assert outlet.message is None
    message = Message(
        message_id=message_id,
        made_at_ms=now_ms,
        count=gathered.count,
        notices=gathered.notices,
        numbers=gathered.numbers,
        worst=gathered.worst,
        next_try_ms=now_ms,
    )
    recent = [sent_ms for sent_ms in outlet.sent_at_ms if sent_ms > now_ms - HOUR_MS]
    return msgspec.structs.replace(outlet, gathered=None, message=message, sent_at_ms=[*recent, now_ms])


def delivered(outlet: Outlet) -> Outlet:
    """The message has arrived."""
    return msgspec.structs.replace(outlet, message=None)


def failed(
    outlet: Outlet,
    problem: str,
    now_ms: int,
    random01: float,
    *,
    after_s: float = 0.0,
    permanent: bool = False,
    give_up_s: float = GIVE_UP_S,
) -> tuple[Outlet, Message | None]:
    """The message did not arrive; return the one that is given up, None = it is tried again.

    ``after_s``: the receiver asked for so long a pause. ``permanent``: it wants none.
    """
    message = outlet.message
    assert message is not None
    tried = msgspec.structs.replace(message, tries=message.tries + 1, problem=problem)
    if permanent or now_ms - message.made_at_ms >= give_up_s * 1000:
        return msgspec.structs.replace(outlet, message=None), tried
    # Half of it at least: full jitter would try at once now and then, and there is one sender a channel.
    pause_s = AGAIN.delay_s(tried.tries, 0.5 + random01 / 2)
    pause_s = max(pause_s, min(after_s, RETRY_AFTER_S_MAX))
    waits = msgspec.structs.replace(tried, next_try_ms=now_ms + round(pause_s * 1000))
    return msgspec.structs.replace(outlet, message=waits), None
