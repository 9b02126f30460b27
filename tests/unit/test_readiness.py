"""A program says that it is ready to whoever listens, and to nobody else."""

import os
import socket
from pathlib import Path

import pytest
import trio
import trio.testing

from doai.readiness import keep_watchdog, notify, watchdog_every_s


def test_the_supervisor_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        assert notify({"NOTIFY_SOCKET": path}, READY="1", X_DOAI_ENDPOINT="tcp://127.0.0.1:1")
        assert listener.recv(1000) == b"READY=1\nX_DOAI_ENDPOINT=tcp://127.0.0.1:1"
    assert not notify({"NOTIFY_SOCKET": path}, READY="1"), "it went away"


def test_nobody_asked() -> None:
    assert not notify({}, READY="1")


def test_a_supervisor_that_does_not_read_stops_nobody(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        sent = 0
        while notify({"NOTIFY_SOCKET": path}, WATCHDOG="1"):
            sent += 1
            assert sent < 10_000, "its queue is bounded"
        listener.recv(100)
        assert notify({"NOTIFY_SOCKET": path}, STOPPING="1"), "once there is room it is told again"


def test_a_sign_of_life_is_sent_well_within_the_time() -> None:
    assert watchdog_every_s({"WATCHDOG_USEC": "60000000"}) == 20.0
    assert watchdog_every_s({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}) == 20.0


@pytest.mark.parametrize(
    "environ", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}]
)
async def test_no_sign_of_life_is_sent_when_nobody_waits_for_ours(environ: dict[str, str]) -> None:
    async def never() -> None:
        raise AssertionError("nobody asked")

    assert watchdog_every_s(environ) is None
    await keep_watchdog(never, trio.sleep, environ)


async def test_signs_of_life_stop_while_no_turn_is_proven(tmp_path: Path, autojump_clock: object) -> None:
    turning = trio.Event()
    turns = 0

    async def prove_turn() -> None:
        nonlocal turns
        turns += 1
        if turns > 3:
            await turning.wait()

    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(environ["NOTIFY_SOCKET"])
        listener.setblocking(False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_watchdog, prove_turn, trio.sleep, environ)
            await trio.sleep(3600)
            assert [listener.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            with pytest.raises(BlockingIOError):
                listener.recv(100)
            turning.set()
            await trio.testing.wait_all_tasks_blocked()
            assert listener.recv(100) == b"WATCHDOG=1"
            nursery.cancel_scope.cancel()
