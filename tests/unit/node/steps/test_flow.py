"""wait and report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from doai.errors import ErrorClass
from doai.limits import OUTPUTS_BYTES_MAX

Make = Callable[[dict[str, Any]], Any]


async def test_wait_takes_as_long_as_it_says_and_no_device(scripted: Make, autojump_clock: MockClock) -> None:
    bench = scripted({})
    began = trio.current_time()
    await bench.do("wait", **{"for": "1.5m"})
    assert trio.current_time() - began == pytest.approx(90, abs=0.1)
    assert bench.device.commands == []


async def test_report_gives_back_its_values(scripted: Make) -> None:
    values = {"a": 1, "b": [None, "x"]}
    assert (await scripted({}).do("report", values=values)).values == values


async def test_values_that_are_too_large_are_refused(scripted: Make) -> None:
    error = await scripted({}).fail("report", values={"a": "x" * OUTPUTS_BYTES_MAX})
    assert (error.failure.error_class, error.code) == (ErrorClass.USER, "outputs_too_large")
