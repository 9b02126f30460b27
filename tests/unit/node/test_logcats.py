"""The logs of phones from a node: bounded, in order, with how many are missing, while the admin wants them."""

from __future__ import annotations

import json

import trio
from hypothesis import given
from hypothesis import strategies as st

from doai.drivers.base import CommandOutput
from doai.drivers.failures import device_offline
from doai.drivers.fake.driver import FakeDriver
from doai.drivers.fake.scripts import Script
from doai.node.logcats import FIRST_LINES, LINE_CHARACTERS_MAX, LINES_MAX, PIECE_CHARACTERS_MAX, Lines, LogcatFeed
from doai.node.watching import Watching
from tests.unit.node.looking_admin import looking_admin

WITHIN_S = 90.0


def line(n: int, text: str = "x") -> str:
    return f"11-22 10:00:{n // 1000:02d}.{n % 1000:03d}  1  1 I Tag: {text}"


def test_lines_come_whole_whatever_the_pieces() -> None:
    lines = Lines()
    data = f"--------- beginning of main\n{line(1)}\r\n{line(2, '한글')}\nunfini".encode()
    for byte in data:
        lines.take(bytes([byte]))
    assert lines.piece() == (0, [line(1), line(2, "한글")])
    assert not lines
    lines.take(b"shed\n")
    assert lines.piece() == (0, ["unfinished"])


def test_a_flood_keeps_the_newest_and_counts_the_others() -> None:
    lines = Lines()
    lines.take("".join(f"{line(n)}\n" for n in range(LINES_MAX + 50)).encode())
    missing, told = lines.piece()
    assert (missing, told[0], told[-1]) == (50, line(50), line(LINES_MAX + 49))
    assert lines.piece() == (0, []), "they are told of once"


@given(st.lists(st.integers(min_value=0, max_value=5000), max_size=60))
def test_no_piece_is_longer_than_it_may_be(lengths: list[int]) -> None:
    lines = Lines()
    lines.take(b"".join(b"a" * length + b"\n" for length in lengths))
    missing, told = lines.piece()
    assert missing + len(told) == len(lengths)
    assert sum(map(len, told)) <= PIECE_CHARACTERS_MAX
    assert all(len(text) <= LINE_CHARACTERS_MAX for text in told)


def test_a_line_without_end_takes_no_memory() -> None:
    lines = Lines()
    for _ in range(100):
        lines.take(b"a" * 1024)
    assert all(len(text) <= LINE_CHARACTERS_MAX for text in lines.piece()[1])


def test_a_log_that_is_followed_again_goes_on_behind_what_is_known() -> None:
    lines = Lines()
    assert lines.command == f"logcat -v threadtime -T {FIRST_LINES}"
    lines.begin()
    cut = line(7, "cut off")
    lines.take(f"{line(1)}\n{line(7, 'a')}\n{line(7, 'b')}\n{cut[:-2]}".encode())
    assert len(lines.piece()[1]) == 3
    assert lines.command == "logcat -v threadtime -T '11-22 10:00:00.007'"
    lines.begin()
    lines.take(f"--------- beginning of main\n{line(7, 'a')}\n{line(7, 'b')}\n{cut}\n".encode())
    assert lines.piece() == (0, [cut])


async def test_a_log_is_brought_until_nobody_looks_and_a_reason_where_there_is_none() -> None:
    driver = FakeDriver(serials=["F0001", "F0002"], seed=1, latency_s=0.0)
    refusal = CommandOutput(b"", b"logcat: Unable to open log device", 1)
    driver.scripts.add(Script(serial="F0002", pattern="logcat", answer=refusal))

    def driver_of(serial: str) -> FakeDriver:
        if serial == "broken":
            raise KeyError(serial)
        if serial == "gone":
            raise device_offline(serial)
        return driver

    with trio.fail_after(WITHIN_S):
        async with (
            driver.run(),
            looking_admin(["F0001", "F0002", "gone", "broken"], lambda _, brought: len(brought) < 1) as admin,
        ):
            watching = Watching(admin.url, "n1", "secret", LogcatFeed(driver_of, period_s=0.01))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watching.run)
                await admin.served.wait()
                nursery.cancel_scope.cancel()
    media_type, body = admin.brought["F0001"][0]
    assert media_type == "application/json"
    assert "SystemServer: Entered the Android system server!" in json.loads(body)["lines"][0]
    assert [
        (admin.brought[serial][0][0], fragment in admin.brought[serial][0][1])
        for serial, fragment in (
            ("F0002", b"Unable to open log device"),
            ("gone", b"gone"),
            ("broken", b"raised KeyError: see the node's log"),
        )
    ] == [("text/plain", True)] * 3
    assert {entry.tag for entry in driver.journal} == {"logcat"}
