"""Deeds that ask first: what is refused is told, what is left is asked for, what changed is asked again."""

from __future__ import annotations

import types
from typing import Any

import pytest
from litestar.response import Redirect

from doai.admin.dashboard import acting, settling
from doai.admin.problems import CommandRefused
from doai.errors import Fault, NotFoundError
from doai.messages.commands import ActivateWorkflow, ArchiveWorkflow, Problem
from doai.messages.dead_letters import (
    DeadLettersDiscarded,
    DeadLettersRetried,
    DiscardDeadLetters,
    LetterFilter,
    RetryDeadLetters,
)
from doai.messages.queues import DiscardQueue
from tests.unit.admin.pressing import Site, press

OF_RUN = {"run_id": "R1"}
SURE = OF_RUN | {"sure": "yes"}


def refused(code: str) -> CommandRefused:
    return CommandRefused(Problem(code=code, message="it is refused", fault=Fault.USER))


async def three(which: LetterFilter) -> int:
    assert which == LetterFilter(run_id="R1")
    return 3


def test_letters_are_tried_again_after_their_number_was_told_and_the_new_run_is_shown() -> None:
    letters = types.SimpleNamespace(count_open=three)
    site = Site(lambda _: DeadLettersRetried(retried=3, run_ids=["R2"]), dead_letters=letters)
    asks = press(settling.retry_letters, site, OF_RUN).content
    assert (site.commands, "doai dead retry --run R1" in asks, 'data-number="3"' in asks) == ([], True, True)
    done = press(settling.retry_letters, site, SURE)
    assert isinstance(done, Redirect)
    assert done.url.startswith("/runs/R2?")
    assert site.commands == [RetryDeadLetters(which=LetterFilter(run_id="R1"))]


def test_what_can_not_be_tried_again_is_told() -> None:
    answer = DeadLettersRetried(retried=0, run_ids=[], refused=["run R1 (a@1) can not be made again: archived"])
    said = press(settling.retry_letters, Site(lambda _: answer), SURE).content
    assert "run R1 (a@1) can not be made again: archived" in said
    assert "They are tried again" not in said


def test_what_is_left_of_many_is_offered() -> None:
    answer = DeadLettersRetried(retried=5000, run_ids=["R2"], left=700)
    said = press(settling.retry_letters, Site(lambda _: answer), SURE).content
    assert "The 700 others" in said
    assert "/runs/R2" in said


def test_what_is_left_of_many_that_are_discarded_is_asked_for() -> None:
    def answer(wish: DiscardDeadLetters) -> DeadLettersDiscarded:
        if wish.confirm:
            return DeadLettersDiscarded(discarded=5000, left=700)
        return DeadLettersDiscarded(discarded=0, left=700, confirm="second")

    said = press(settling.discard_letters, Site(answer), OF_RUN | {"confirm": "first"}).content
    assert "700 dead letters are discarded" in said
    assert 'value="second"' in said


@pytest.mark.parametrize("code", sorted(settling.VOID))
def test_a_confirmation_that_does_not_hold_any_more_is_asked_for_again(code: str) -> None:
    def answer(wish: DiscardDeadLetters) -> DeadLettersDiscarded:
        if wish.confirm:
            raise refused(code)
        return DeadLettersDiscarded(discarded=0, left=4, confirm="new")

    said = press(settling.discard_letters, Site(answer), OF_RUN | {"confirm": "old"}).content
    assert "The list has changed meanwhile" in said
    assert 'value="new"' in said


def test_another_refusal_is_not_asked_again() -> None:
    def answer(wish: DiscardDeadLetters | DiscardQueue) -> Any:
        raise refused("confirmation_of_another")

    with pytest.raises(CommandRefused):
        press(settling.discard_letters, Site(answer), OF_RUN | {"confirm": "old"})


@pytest.mark.parametrize(("deed", "command"), [("activate", ActivateWorkflow), ("archive", ArchiveWorkflow)])
def test_a_version_is_taken_into_use_and_out_of_it(
    deed: str, command: type[ActivateWorkflow | ArchiveWorkflow]
) -> None:
    site = Site()
    done = press(acting.set_version, site, {}, {"deed": deed, "name": "look", "version": 2})
    assert isinstance(done, Redirect)
    assert done.url == f"/workflows/look?version=2&done=workflows_{deed}"
    assert site.commands == [command(name="look", version=2)]
    with pytest.raises(NotFoundError, match="'burn'"):
        press(acting.set_version, site, {}, {"deed": "burn", "name": "look", "version": 2})
