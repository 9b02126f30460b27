"""A port that is picked first and used later is not given to another program in between."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest

from doai import ports


def range_file(folder: Path, text: str) -> Path:
    (folder / "range").write_text(text)
    return folder / "range"


def test_it_is_none_of_those_that_the_kernel_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "RANGE_FILE", range_file(tmp_path, "20000\t60999\n"))
    assert all(10_000 <= ports.free_port() < 20_000 for _ in range(20))


def test_one_that_is_in_use_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", ports.free_port()))
        used = other.getsockname()[1]
        found = ports.free_port()
        monkeypatch.setattr(random, "sample", lambda *_: [used, found])
        assert ports.free_port() == found


@pytest.mark.parametrize("text", ["1024\t60999\n", "nonsense", ""])
def test_a_kernel_that_gives_all_of_them_is_asked_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(ports, "RANGE_FILE", range_file(tmp_path, text))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", ports.free_port()))
