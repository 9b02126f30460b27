"""The benchmark of other queues without any of them: what is missing is told, lines are made. Nothing is timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import peers
from bench.peers import PEERS, PeersMissing
from bench.programs import Fleet
from bench.task import measure_window
from doai.cli import bench, exits


def test_without_them_it_says_how_to_have_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "HOME", tmp_path / "none")
    assert peers.installed() == []
    assert bench.main(["peers", "--no-history"]) == exits.UNAVAILABLE
    assert "bin/bench peers --install" in capsys.readouterr().err


def test_a_registry_that_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "HOME", tmp_path / "file" / "below")
    monkeypatch.setattr(peers.sys, "executable", "/bin/false")
    with pytest.raises(PeersMissing, match="`false -m` failed"):
        peers.install()


def test_each_peer_has_its_module() -> None:
    for peer in PEERS:
        assert (peers.JOBS_FOLDER / peer.producer[1]).is_file()
    assert len({peer.name for peer in PEERS}) == len(PEERS)


def test_lines_compare_at_the_same_window() -> None:
    streams, *_, in_turn = PEERS
    rates = {streams.name: [100.0], in_turn.name: [10.0]}
    found = list(peers.lines([streams, in_turn], rates, {1: [5.0], 200: [150.0]}))
    assert [line.ratio for line in found] == [1.5, 0.5]
    assert [line.goal for line in found] == [streams.goal, in_turn.goal]
    assert "200 in flight" in found[0].against


def test_the_fastest_queue_in_python_has_a_goal() -> None:
    slow, fast = [peer for peer in PEERS if peer.durable_python][:2]
    found = list(peers.lines([slow, fast], {slow.name: [10.0], fast.name: [20.0]}, {200: [100.0]}))
    assert (found[-1].name, found[-1].ratio, found[-1].goal) == ("peers.fastest_python", 5.0, peers.GOAL_PYTHON)
    assert fast.name in found[-1].against


def test_what_is_not_measured_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "HOME", tmp_path / "none")
    assert "redis_streams (not installed)" in peers.missing()
    assert "JetStream" in peers.missing()


@pytest.mark.slow
async def test_a_window_of_tasks_is_kept_and_counted() -> None:
    assert await measure_window(40, 20, Fleet(devices=10, nodes=2, bare=True)) > 0
