"""Events of a handler: in order per subject, tried again, and none lost, whatever ends and breaks off."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from doai.backoff import Backoff
from doai.bots.core.subscription import DONE_KEPT, LOST_WITHIN_S, Policy, Subscription
from doai.bots.core.work import Delivered, Effect, Ended, GaveUp, Handled, Work
from doai.envelope import Envelope

POLICY = Policy(timeout_s=5.0, tries=3, backoff=Backoff(first_s=1.0, jitter=False))
GONE_WRONG = Ended(problem="no")


def event(position: int, subject: str) -> Delivered:
    envelope = Envelope(
        event_id=f"E{position}",
        type="task.failed",
        subject=subject,
        source="broker/main",
        trace_id="0" * 32,
        occurred_at_ms=0,
        payload=msgspec.Raw(b"\x80"),
    )
    return Delivered(position, envelope)


def positions(effects: list[Effect]) -> list[int]:
    return [effect.position for effect in effects if isinstance(effect, Handled)]


def take(subscription: Subscription, now_s: float = 0.0) -> list[Work]:
    """Begin everything that may begin."""
    found: list[Work] = []
    while (work := subscription.take(now_s)) is not None:
        found.append(work)
    return found


def test_one_call_a_subject_at_once_and_the_next_after_its_end() -> None:
    subscription = Subscription("note", POLICY)
    for position, subject in ((1, "a"), (2, "a"), (3, "b")):
        assert subscription.deliver(event(position, subject), 0.0) == []
    first, other = take(subscription)
    assert [work.event.position for work in (first, other) if work.event] == [1, 3]
    assert positions(subscription.ended(first, Ended(), 0.0, 0.0)) == [1]
    [second] = take(subscription)
    assert second.event is not None
    assert second.event.position == 2
    assert subscription.low_water == 2


def test_a_failure_parks_its_subject_until_its_time_and_gives_up_at_the_last_try() -> None:
    subscription = Subscription("note", POLICY)
    subscription.deliver(event(1, "a"), 0.0)
    subscription.deliver(event(2, "a"), 0.0)
    now_s = 0.0
    for tries, delay_s in ((1, 1.0), (2, 2.0)):
        [work] = take(subscription, now_s)
        assert work.attempt == tries
        subscription.ended(work, GONE_WRONG, now_s, 0.5)
        assert subscription.parked == ["a"]
        assert subscription.due_s() == now_s + delay_s
        assert take(subscription, now_s + delay_s - 0.1) == []
        now_s += delay_s
    [work] = take(subscription, now_s)
    [gave_up, _] = subscription.ended(work, GONE_WRONG, now_s, 0.5)
    assert isinstance(gave_up, GaveUp)
    assert (gave_up.position, gave_up.tries) == (1, 3)
    assert len(take(subscription, now_s)) == 1


def test_tries_are_counted_over_connections() -> None:
    subscription = Subscription("note", POLICY)
    subscription.deliver(event(1, "a"), 0.0)
    [work] = take(subscription)
    subscription.ended(work, GONE_WRONG, 0.0, 0.5)
    subscription.forget(0.0)
    subscription.deliver(event(1, "a"), 0.0)
    [again] = take(subscription)
    assert again.attempt == 2


def test_what_is_given_again_is_not_handled_again() -> None:
    subscription = Subscription("note", POLICY)
    subscription.deliver(event(1, "a"), 0.0)
    subscription.deliver(event(2, "b"), 0.0)
    done, running = take(subscription)
    subscription.ended(done, Ended(), 0.0, 0.0)
    subscription.forget(0.0)
    assert positions(subscription.deliver(event(1, "a"), 0.0)) == [1]
    assert subscription.deliver(event(2, "b"), 0.0) == []
    assert take(subscription) == []
    assert positions(subscription.ended(running, Ended(), 0.0, 0.0)) == [2]


def test_a_report_that_is_lost_twice_is_told_once_more() -> None:
    subscription = Subscription("note", POLICY)
    subscription.deliver(event(1, "a"), 0.0)
    [work] = take(subscription)
    subscription.ended(work, Ended(), 0.0, 0.0)
    for now_s in (1.0, 2.0, 3.0):
        subscription.forget(now_s)
        assert positions(subscription.deliver(event(1, "a"), now_s)) == [1]
    assert take(subscription) == []


def test_what_was_given_up_is_told_as_given_up_again() -> None:
    subscription = Subscription("note", POLICY)
    subscription.deliver(event(1, "a"), 0.0)
    [work] = take(subscription)
    [gave_up, _] = subscription.ended(work, Ended(problem="no", permanent=True), 0.0, 0.0)
    assert isinstance(gave_up, GaveUp)
    subscription.forget(1.0)
    assert subscription.deliver(event(1, "a"), 1.0) == [gave_up], "else nobody would hear of it"


def test_what_a_person_gives_again_is_handled_again() -> None:
    subscription = Subscription("note", POLICY)
    for now_s in (0.0, 1.0):
        subscription.deliver(event(1, "a"), 0.0)
        [work] = take(subscription, now_s)
        subscription.ended(work, Ended(), now_s, 0.0)
    subscription.forget(LOST_WITHIN_S + 10.0)
    subscription.deliver(event(1, "a"), 0.0)
    assert len(take(subscription)) == 1, "its report had long arrived when the connection was lost"


def test_what_a_handler_ends_between_connections_is_reported_over_the_next() -> None:
    subscription = Subscription("note", POLICY)
    subscription.deliver(event(1, "a"), 0.0)
    [work] = take(subscription)
    subscription.forget(0.0)
    subscription.ended(work, Ended(), 100.0, 0.0)
    assert positions(subscription.deliver(event(1, "a"), 0.0)) == [1]


def test_what_another_process_left_comes_before_what_is_newer() -> None:
    subscription = Subscription("note", POLICY)
    subscription.deliver(event(5, "a"), 0.0)
    [running] = take(subscription)
    subscription.deliver(event(7, "a"), 0.0)
    subscription.deliver(event(3, "a"), 0.0)
    order = []
    while True:
        assert running.event is not None
        order.append(running.event.position)
        subscription.ended(running, Ended(), 0.0, 0.0)
        following = take(subscription)
        if not following:
            break
        [running] = following
    assert order == [5, 3, 7]


def test_what_is_remembered_is_bounded() -> None:
    subscription = Subscription("note", POLICY)
    for position in range(1, DONE_KEPT + 50):
        subscription.deliver(event(position, "a"), 0.0)
        [work] = take(subscription)
        subscription.ended(work, Ended(), 0.0, 0.0)
    assert len(subscription._done) == DONE_KEPT
    assert subscription.open_count == 0


class Play:
    """A subscription, and a broker that gives again after each break what was not told done."""

    def __init__(self, subjects: list[str]) -> None:
        self.events = {number: event(number, subject) for number, subject in enumerate(subjects, 1)}
        self.subscription = Subscription("note", POLICY)
        self.now_s = 0.0
        self.done: set[int] = set()
        self.given: set[int] = set()
        self.running: list[Work] = []
        self.told: list[tuple[int, float]] = []
        """Positions told done, and when."""
        self.passed: list[int] = []
        """Handled or given up, in this order."""

    def took(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Handled | GaveUp):
                self.done.add(effect.position)
                self.told.append((effect.position, self.now_s))

    def give(self, count: int) -> None:
        for position in [p for p in self.events if p not in self.done | self.given][:count]:
            self.given.add(position)
            self.took(self.subscription.deliver(self.events[position], self.now_s))

    def take(self, number: int) -> None:
        work = self.subscription.take(self.now_s)
        self.running += [work] if work is not None else []

    def end(self, number: int, ended: Ended) -> None:
        if self.running:
            work = self.running.pop(number % len(self.running))
            effects = self.subscription.ended(work, ended, self.now_s, 0.5)
            self.passed += [effect.position for effect in effects if isinstance(effect, Handled | GaveUp)]
            self.took(effects)

    def cut(self, number: int) -> None:
        """What was told last may have been lost."""
        lost = self.told[-number:] if number else []
        self.done -= {position for position, at_s in lost if at_s >= self.now_s - LOST_WITHIN_S}
        self.subscription.forget(self.now_s)
        self.given.clear()

    def wait(self, number: int) -> None:
        self.now_s += number


STEPS: dict[str, Callable[[Play, int], None]] = {
    "give": Play.give,
    "take": Play.take,
    "pass": lambda play, number: play.end(number, Ended()),
    "fail": lambda play, number: play.end(number, GONE_WRONG),
    "back": lambda play, number: play.end(number, Ended(problem="the bot stops", gave_back=True)),
    "cut": Play.cut,
    "wait": Play.wait,
}


@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=12),
    st.lists(st.tuples(st.sampled_from(list(STEPS)), st.integers(0, 7)), max_size=60),
)
def test_nothing_is_lost_repeated_or_out_of_order(subjects: list[str], steps: list[tuple[str, int]]) -> None:
    play = Play(subjects)
    for step, number in steps:
        STEPS[step](play, number)
        assert len({work.subject for work in play.running}) == len(play.running), "one call a subject at once"
        assert play.subscription.open_count >= len(play.running)
    while play.done != set(play.events):
        play.wait(100)
        play.give(100)
        play.running += take(play.subscription, play.now_s)
        while play.running:
            play.end(0, Ended())
    assert sorted(play.passed) == list(play.events), "each is handled to the end once"
    for subject in set(subjects):
        mine = [position for position in play.passed if play.events[position].envelope.subject == subject]
        assert mine == sorted(mine)
    assert play.subscription.open_count == 0
