"""Calls in progress end with the error they are given, and a cancelled caller stays cancelled."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from doai.drivers.calls import Calls
from doai.drivers.failures import device_offline
from doai.errors import StepError


async def test_all_calls_end_with_the_error() -> None:
    calls = Calls()
    seen: list[str] = []

    async def call() -> None:
        with pytest.raises(StepError) as caught, calls.call():
            await trio.sleep_forever()
        seen.append(caught.value.failure.code)

    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            calls.end(device_offline("S1"))
    assert seen == ["device_offline"] * 3
    calls.end(device_offline("S1"))


async def test_a_call_that_can_be_cut_is_cut_and_knows_why() -> None:
    calls = Calls()
    cut = trio.Event()
    with trio.fail_after(90), calls.cut_call(cut.set) as call:
        assert call.ended_by is None
        calls.end(device_offline("S1"))
        await cut.wait()
    assert call.ended_by is not None
    assert call.ended_by.failure.code == "device_offline"
    calls.end(device_offline("S1"))


async def test_the_callers_own_cancellation_is_no_error() -> None:
    calls = Calls()
    with trio.move_on_after(0) as scope, calls.call():
        await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_result_that_was_there_first_counts() -> None:
    calls = Calls()
    with calls.call():
        calls.end(device_offline("S1"))
        result = "done"
    assert result == "done"
