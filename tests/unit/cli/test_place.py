"""Where the API is: flags, then variables, then what `doai up` left."""

import argparse
from pathlib import Path

import pytest

from doai.cli.place import Place, add_place_flags, default_data_dir, find_place, read_place, write_place
from doai.configuration import Secret
from doai.errors import ConfigError


def options(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_place_flags(parser)
    return parser.parse_args(argv)


def test_what_up_left_is_used_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    write_place(tmp_path, Place("http://127.0.0.1:7700", Secret("t0ken")))
    assert (tmp_path / "cli.json").stat().st_mode & 0o777 == 0o600
    found = find_place(options("--data-dir", str(tmp_path)), {})
    assert (found.url, found.token.reveal()) == ("http://127.0.0.1:7700", "t0ken")
    found = find_place(options(), {"DOAI_DATA_DIR": str(tmp_path), "DOAI_URL": "http://other/"})
    assert (found.url, found.token.reveal()) == ("http://other", "t0ken")


def test_flags_win_over_variables(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("from-file\n")
    environ = {"DOAI_URL": "http://variable", "DOAI_TOKEN": "from-variable"}
    found = find_place(options("--url", "http://flag", "--token-file", str(token)), environ)
    assert (found.url, found.token.reveal()) == ("http://flag", "from-file")
    assert find_place(options(), environ).token.reveal() == "from-variable"


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    nowhere = {"DOAI_DATA_DIR": str(tmp_path)}
    with pytest.raises(ConfigError, match="no API is known here"):
        find_place(options(), nowhere)
    with pytest.raises(ConfigError, match="no token for http://x"):
        find_place(options("--url", "http://x"), nowhere)
    with pytest.raises(ConfigError, match="can not be at 'ftp://x': ftp:// is not spoken here: write http://"):
        find_place(options("--url", "ftp://x"), nowhere)
    with pytest.raises(ConfigError, match="can not be at 'localhost:7700': write http://"):
        find_place(options("--url", "localhost:7700"), nowhere)
    with pytest.raises(ConfigError, match="cannot read the token file"):
        find_place(options("--token-file", str(tmp_path / "none")), nowhere)
    (tmp_path / "cli.json").write_text("{")
    with pytest.raises(ConfigError, match="can not be used"):
        read_place(tmp_path)


def test_the_folder_follows_the_xdg_directories() -> None:
    assert default_data_dir({"HOME": "/home/me"}) == Path("/home/me/.local/share/doai")
    assert default_data_dir({"HOME": "/home/me", "XDG_DATA_HOME": "/data"}) == Path("/data/doai")
