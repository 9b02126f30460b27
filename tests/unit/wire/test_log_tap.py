"""The copy of a log: bounded, numbered, cut to what a frame may have."""

from __future__ import annotations

import logging
import os
import weakref

import pytest

from doai.codec import decode, encode
from doai.limits import FRAME_BYTES_MAX
from doai.messages.logs import MESSAGE_CHARS_MAX, LogLines
from doai.wire import log_tap
from doai.wire.log_tap import tapped

LOG = logging.getLogger("doai.tapped")


@pytest.fixture(autouse=True)
def _all_levels() -> None:
    LOG.setLevel("INFO")


def test_lines_are_taken_once_with_their_numbers_ids_and_exception() -> None:
    with tapped("node", "life") as tap:
        LOG.info("Task %s started", "t1", extra={"run_id": "r1", "node_id": "", "seconds": 1.5})
        try:
            raise ValueError("no")
        except ValueError:
            LOG.exception("it failed")
        LOG.debug("not heard")
        taken = tap.take()
        assert taken is not None
        first, second = taken.lines
        assert (taken.program, taken.life, taken.first_n) == ("node", "life", 1)
        assert (first.level, first.message, first.fields) == (
            20,
            "Task t1 started",
            {"run_id": "r1", "seconds": "1.5"},
        )
        assert second.exception.endswith("ValueError: no")
        assert tap.take() is None
        LOG.warning("more")
        more = tap.take()
        assert more is not None
        assert more.first_n == 3
    LOG.warning("after the block")
    assert tap.take() is None


def test_while_nobody_takes_them_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_tap, "HELD_MAX", 3)
    with tapped("node", "life") as tap:
        for number in range(5):
            LOG.info("%d", number)
        taken = tap.take()
    assert taken is not None
    assert (taken.first_n, [line.message for line in taken.lines]) == (3, ["2", "3", "4"])


def test_what_is_taken_at_once_fits_into_a_frame() -> None:
    taken: list[LogLines] = []
    with tapped("node", "life") as tap:
        for _ in range(60):
            LOG.info("한" * 10_000, extra={f"key{n}": "값" * 1000 for n in range(40)})
        while (lines := tap.take()) is not None:
            taken.append(lines)
    assert sum(len(lines.lines) for lines in taken) == 60
    assert max(len(encode(lines)) for lines in taken) < FRAME_BYTES_MAX
    assert len(taken[0].lines[0].message) == MESSAGE_CHARS_MAX


def test_a_line_that_can_not_be_told_is_left_out_and_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with tapped("node", "life") as tap:
        tap.handle(logging.LogRecord(LOG.name, logging.ERROR, __file__, 1, "%d phones", ("two",), None))
        LOG.info("after it")
        taken = tap.take()
    assert taken is not None
    assert (taken.first_n, [line.message for line in taken.lines]) == (1, ["after it"])
    assert "%d phones" in capsys.readouterr().err


def test_names_that_are_no_text_and_odd_levels_can_be_read_by_the_admin() -> None:
    name = os.fsdecode(b"caf\xe9.png")
    told = logging.LogRecord(name, 1000, __file__, 1, "%s is left", (name,), None)
    told.file = name
    try:
        raise ValueError(name)
    except ValueError as error:
        told.exc_info = (ValueError, error, error.__traceback__)
    with tapped("node", "life") as tap:
        tap.handle(told)
        taken = tap.take()
    assert taken is not None
    [line] = decode(encode(taken), LogLines).lines
    assert (line.level, line.logger, line.message) == (100, r"caf\udce9.png", r"caf\udce9.png is left")
    assert line.fields == {"file": r"caf\udce9.png"}
    assert line.exception.endswith(r"ValueError: caf\udce9.png")


def test_what_waits_to_be_taken_keeps_nothing_else_alive() -> None:
    class Phone:
        pass

    phone = Phone()
    seen = weakref.ref(phone)
    with tapped("node", "life") as tap:
        tap.handle(logging.LogRecord(LOG.name, logging.INFO, __file__, 1, "%s is gone", (phone,), None))
        del phone
        assert seen() is None
        assert tap.take() is not None
