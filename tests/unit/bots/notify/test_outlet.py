"""What a channel tells of what happens to it: one message for many things, one for one incident, in time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doai.bots.notify import outlet as o
from doai.bots.notify.channels import About, Channel
from doai.bots.notify.notices import Notice, Phase
from doai.incidents import Severity

CHANNEL = Channel(name="ops", url="${secret.ops}", gather="5s", settle="10m", per_hour=3)
MINUTE_MS = 60_000
NOW_MS = int(datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp() * 1000)


def incident(
    phase: Phase, *, name: str = "i1", about: str = "node/n1", severity: Severity = Severity.HIGH
) -> Notice:
    return Notice(
        about=About.INCIDENTS,
        phase=phase,
        severity=severity,
        thing=f"incident/NODE_DOWN/{about}",
        subject=about,
        kind="NODE_DOWN",
        text="it is not heard",
        at_ms=NOW_MS,
        id=name,
    )


class Told:
    """One channel, driven as the bot drives it, and what it was told."""

    def __init__(self, channel: Channel = CHANNEL) -> None:
        self.channel = channel
        self.outlet = o.Outlet()
        self.rows: dict[str, o.Told] = {}
        self.messages: list[o.Message] = []
        self.now_ms = NOW_MS

    def happens(self, notice: Notice) -> None:
        self.outlet, row = o.take_incident(
            self.outlet, self.rows.get(notice.thing), notice, self.channel.settle_s, self.now_ms
        )
        self.rows.pop(notice.thing, None)
        if row is not None:
            self.rows[notice.thing] = row

    def passes(self, ms: int) -> None:
        """Let time pass, in steps of a second while something may be due."""
        ends_ms = self.now_ms + ms
        while self.now_ms < ends_ms:
            self.now_ms = min(ends_ms, self._next_ms(ends_ms))
            self.looks()

    def _next_ms(self, ends_ms: int) -> int:
        dues = [o.ready_ms(self.outlet, self.channel, self.now_ms), self.outlet.settles_at_ms]
        return min([max(due_ms, self.now_ms + 1) for due_ms in dues if due_ms is not None], default=ends_ms)

    def looks(self) -> None:
        if self.outlet.settles_at_ms is not None and self.outlet.settles_at_ms <= self.now_ms:
            self.outlet, dropped = o.settle(self.outlet, self.rows, self.channel.settle_s, self.now_ms)
            for key in dropped:
                del self.rows[key]
        ready_at_ms = o.ready_ms(self.outlet, self.channel, self.now_ms)
        if ready_at_ms is not None and ready_at_ms <= self.now_ms:
            self.outlet = o.make(self.outlet, f"m{len(self.messages)}", self.now_ms)
            assert self.outlet.message is not None
            self.messages.append(self.outlet.message)
            self.outlet = o.delivered(self.outlet)


def test_five_hundred_at_once_are_one_message_with_their_number() -> None:
    told = Told()
    for number in range(500):
        told.happens(incident(Phase.OPENED, name=f"i{number}", about=f"node/n{number}"))
    told.passes(MINUTE_MS)
    [message] = told.messages
    assert (message.count, message.numbers) == (500, {"incidents/opened": 500})
    assert len(message.notices) == o.NOTICES_SHOWN


def test_an_incident_that_comes_and_goes_is_told_once_open_and_once_over() -> None:
    told = Told()
    for number in range(5):
        told.happens(incident(Phase.OPENED, name=f"i{number}"))
        told.passes(MINUTE_MS)
        told.happens(incident(Phase.CLOSED, name=f"i{number}"))
        told.passes(2 * MINUTE_MS)
    assert [message.notices[0].phase for message in told.messages] == [Phase.OPENED]
    told.passes(20 * MINUTE_MS)
    over = told.messages[1]
    assert (over.notices[0].phase, over.notices[0].returns) == (Phase.CLOSED, 4)
    assert told.rows == {}
    told.happens(incident(Phase.OPENED, name="later"))
    told.passes(MINUTE_MS)
    assert told.messages[2].notices[0].phase is Phase.OPENED


def test_events_of_one_incident_may_come_in_another_order_or_twice() -> None:
    told = Told()
    told.happens(incident(Phase.OPENED, name="i1"))
    told.happens(incident(Phase.OPENED, name="i1"))
    told.happens(incident(Phase.OPENED, name="i2"))
    told.happens(incident(Phase.CLOSED, name="i1"))
    told.passes(30 * MINUTE_MS)
    assert [message.count for message in told.messages] == [1]  # i2 is open
    told.happens(incident(Phase.CLOSED, name="i2"))
    told.happens(incident(Phase.CLOSED, name="i2"))
    told.passes(30 * MINUTE_MS)
    assert [message.numbers for message in told.messages] == [{"incidents/opened": 1}, {"incidents/closed": 1}]


def test_one_that_was_never_told_open_is_not_told_over() -> None:
    told = Told()
    told.happens(incident(Phase.CLOSED))
    told.passes(30 * MINUTE_MS)
    assert told.messages == []


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["node/a", "node/b", "node/c"]),
        st.integers(1, 2),  # so often the event is given
        st.sampled_from([0, 1000, MINUTE_MS, 11 * MINUTE_MS, 90 * MINUTE_MS]),
    ),
    max_size=30,
)


@given(_STEPS, st.sampled_from(["0s", "10m"]), st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_whatever_happens_what_was_told_last_is_how_it_is(
    steps: list[tuple[str, int, int]], settle: str, per_hour: int
) -> None:
    told = Told(Channel(name="ops", url="${secret.ops}", settle=settle, per_hour=per_hour))
    is_open: dict[str, bool] = {}
    ids: dict[str, str] = {}
    for number, (about, times, wait_ms) in enumerate(steps):
        opens = not is_open.get(about, False)
        if opens:
            ids[about] = f"{about}#{number}"
        is_open[about] = opens
        phase = Phase.OPENED if opens else Phase.CLOSED
        for _ in range(times):
            told.happens(incident(phase, about=about, name=ids[about]))
        told.passes(wait_ms)
    told.passes(100 * 60 * MINUTE_MS)
    for about in ("node/a", "node/b", "node/c"):
        phases = [n.phase for m in told.messages for n in m.notices if n.subject == about]
        assert phases == [Phase.OPENED, Phase.CLOSED] * (len(phases) // 2) + [Phase.OPENED] * (len(phases) % 2)
        assert (phases[-1:] == [Phase.OPENED]) == bool(is_open.get(about, False))
    made = [message.made_at_ms for message in told.messages]
    for first, after in zip(made, made[per_hour:], strict=False):
        assert after - first >= o.HOUR_MS, "more messages in an hour than the channel takes"
    assert all(sum(message.numbers.values()) == message.count for message in told.messages)


def test_what_keeps_coming_is_told_after_a_while() -> None:
    told = Told()
    for number in range(40):
        told.happens(incident(Phase.OPENED, name=f"i{number}", about=f"node/n{number}"))
        told.passes(1000)
    assert told.messages[0].made_at_ms == NOW_MS + 30_000


def test_what_is_more_than_the_channel_takes_waits_and_is_gathered() -> None:
    told = Told()
    for number in range(60):
        told.happens(incident(Phase.OPENED, name=f"i{number}", about=f"node/n{number}"))
        told.passes(MINUTE_MS)
    told.passes(60 * MINUTE_MS)
    assert [message.count for message in told.messages] == [1, 1, 1, 57]


def test_in_quiet_hours_it_waits_unless_it_is_grave() -> None:
    quiet = Channel(name="ops", url="${secret.ops}", quiet="11:00-13:30", zone="UTC")
    told = Told(quiet)
    told.happens(incident(Phase.OPENED, severity=Severity.HIGH))
    told.passes(60 * MINUTE_MS)
    assert told.messages == []
    told.passes(31 * MINUTE_MS)
    assert [message.made_at_ms for message in told.messages] == [NOW_MS + 90 * MINUTE_MS]
    grave = Told(quiet)
    grave.happens(incident(Phase.OPENED, severity=Severity.CRITICAL))
    grave.passes(MINUTE_MS)
    assert len(grave.messages) == 1


def test_quiet_hours_go_over_midnight_in_their_own_zone() -> None:
    channel = Channel(name="ops", url="${secret.ops}", quiet="22:00-07:00", zone="Asia/Seoul")
    at = datetime(2026, 1, 1, 14, 30, tzinfo=UTC)  # 23:30 in Seoul
    assert channel.quiet_until_ms(round(at.timestamp() * 1000)) == round(
        datetime(2026, 1, 1, 22, 0, tzinfo=UTC).timestamp() * 1000
    )
    assert channel.quiet_until_ms(NOW_MS) is None  # 21:00 in Seoul


@given(st.integers(0, 366 * 24 * 60), st.sampled_from(["22:00-07:00", "01:30-02:30", "00:00-00:00", "02:30-02:00"]))
@settings(max_examples=100, deadline=None)
def test_quiet_hours_end_also_where_clocks_are_changed(minutes: int, quiet: str) -> None:
    channel = Channel(name="ops", url="${secret.ops}", quiet=quiet, zone="Europe/Berlin")
    now_ms = NOW_MS + minutes * MINUTE_MS
    until_ms = channel.quiet_until_ms(now_ms)
    assert until_ms is None or now_ms < until_ms <= now_ms + 26 * 60 * MINUTE_MS


def test_a_message_that_does_not_arrive_is_tried_less_and_less_often_and_given_up_after_a_day() -> None:
    outlet = o.make(o.take(o.Outlet(), incident(Phase.OPENED), NOW_MS), "m1", NOW_MS)
    now_ms, tries = NOW_MS, 0
    given_up: o.Message | None = None
    while given_up is None:
        outlet, given_up = o.failed(outlet, "no answer", now_ms, 0.5)
        tries += 1
        if given_up is None:
            assert outlet.message is not None
            assert outlet.message.message_id == "m1"
            now_ms = outlet.message.next_try_ms
    assert now_ms - NOW_MS >= 24 * o.HOUR_MS
    assert 90 < tries < 200
    assert (outlet.message, given_up.problem) == (None, "no answer")


@pytest.mark.parametrize(("after_s", "waits_s"), [(120.0, 120.0), (1e9, 3600.0), (0.0, 3.75)])
def test_a_receiver_may_ask_for_a_pause(after_s: float, waits_s: float) -> None:
    outlet = o.make(o.take(o.Outlet(), incident(Phase.OPENED), NOW_MS), "m1", NOW_MS)
    outlet, _ = o.failed(outlet, "HTTP 429", NOW_MS, 0.5, after_s=after_s)
    assert outlet.message is not None
    assert outlet.message.next_try_ms == NOW_MS + waits_s * 1000
