"""A shelf: serials, seeds, ports, and errors with a face."""

import socket
from pathlib import Path
from typing import Any

import pytest
import trio

from doai.phone.shelf import ShelfError, open_shelf


async def test_the_seed_decides_the_phones() -> None:
    seen = []
    for seed in (1, 1, 2):
        async with open_shelf(count=8, seed=seed) as shelf:
            seen.append([(phone.serial, phone.device.profile.model) for phone in shelf.phones])
    assert seen[0] == seen[1] != seen[2]
    assert seen[0][0][0] == "SIM0001"


async def test_ports_are_given_back() -> None:
    async with open_shelf(count=2, control_port=0) as shelf:
        ports = [phone.port for phone in shelf.phones]
        assert shelf.phone("SIM0002") is shelf.phones[1]
    for port in ports:
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream("127.0.0.1", port)


async def test_a_port_in_use_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ShelfError, match=r"cannot listen on 127.0.0.1 port \d+: .*choose another"):
            async with open_shelf(count=1, base_port=taken.getsockname()[1]):
                pass


async def test_a_wrong_count() -> None:
    with pytest.raises(ShelfError, match="ask for 1 to"):
        async with open_shelf(count=0):
            pass


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"base_port": 70_000}, "there is no port 70000: choose a first one"),
        ({"reboot_s": -1.0}, r"phones that reboot for -1 s .*can not be: give 0 or more"),
        ({"reboot_s": float("nan")}, r"phones that reboot for nan s .*can not be: give 0 or more"),
        ({"serial_from": -1}, "from number -1 can not be: give 0 or more"),
    ],
)
async def test_what_can_not_be_is_one_sentence(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ShelfError, match=sentence):
        async with open_shelf(count=1, **wrong):
            pass


async def test_a_journal_that_can_not_be_kept_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ShelfError, match=r"cannot keep a journal in .*/file/here: Not a directory: choose another"):
        async with open_shelf(count=1, journal_dir=tmp_path / "file" / "here"):
            pass


async def test_the_journal_folder_is_made(tmp_path: Path) -> None:
    async with open_shelf(count=1, journal_dir=tmp_path / "a" / "b") as shelf:
        assert shelf.journal_path == tmp_path / "a" / "b" / "journal.jsonl"
