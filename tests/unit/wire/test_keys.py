"""Key files: private from the first byte, whole or absent, refused when others can read them."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from doai.errors import ConfigError
from doai.wire.keys import (
    KeyTable,
    is_public_key,
    load_or_make_keypair,
    load_public_key,
    make_keypair,
    public_key_file,
)


def test_a_key_is_made_once_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "broker.key"
    made = load_or_make_keypair(path)
    found = load_or_make_keypair(path)
    assert made.public == found.public == load_public_key(public_key_file(path))
    assert made.secret.reveal() == found.secret.reveal() == path.read_text().strip()
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["broker.key", "broker.key.pub"]


def test_the_private_file_is_the_owners_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        load_or_make_keypair(tmp_path / "node.key")
    finally:
        os.umask(before)
    assert (tmp_path / "node.key").stat().st_mode & 0o777 == 0o600


def test_programs_that_start_at_once_use_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        pairs = list(pool.map(load_or_make_keypair, [tmp_path / "node.key"] * 16))
    assert len({pair.public for pair in pairs}) == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["node.key", "node.key.pub"]


def test_a_private_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    load_or_make_keypair(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_or_make_keypair(path)


@pytest.mark.parametrize("content", ["", "short", "ö" * 40, " " * 40, "~" * 40, "a" * 41])
def test_a_damaged_file_is_one_sentence_that_does_not_show_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "node.key"
    path.touch(0o600)
    path.write_text(content)
    with pytest.raises(ConfigError, match="holds no private key") as caught:
        load_or_make_keypair(path)
    assert content.strip() == "" or content not in str(caught.value)
    with pytest.raises(ConfigError, match="holds no public key"):
        load_public_key(path)


def test_a_lost_public_file_is_written_again(tmp_path: Path) -> None:
    pair = load_or_make_keypair(tmp_path / "node.key")
    public_key_file(tmp_path / "node.key").write_text("x" * 40)
    assert load_or_make_keypair(tmp_path / "node.key").public == pair.public
    assert load_public_key(tmp_path / "node.key.pub") == pair.public


def test_a_folder_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used"):
        load_or_make_keypair(tmp_path / "file" / "node.key")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_public_key(tmp_path / "absent.pub")


def test_a_secret_shows_itself_nowhere() -> None:
    pair = make_keypair()
    for text in (repr(pair), str(pair), f"{pair.secret}", repr([pair.secret])):
        assert pair.secret.reveal() not in text
    with pytest.raises(TypeError):
        pickle.dumps(pair.secret)
    assert is_public_key(pair.public)


def test_a_key_table_changes_at_run_time() -> None:
    table = KeyTable({"k1": "node-1"})
    table.add("k2", "node-1")
    assert table.name_of("k2") == "node-1"
    table.revoke("k1")
    table.revoke("never there")
    assert table.name_of("k1") is None
