"""What can name a stored file, and that no name leaves its folder."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.file_reference import FILE_REFERENCE_PATTERN, BadFileNameError, FileName, parse_file_reference


@pytest.mark.parametrize(
    ("text", "name", "version"),
    [
        ("my-app", "my-app", None),
        ("my-app@1.4", "my-app", "1.4"),
        ("App_2.apk@1.4.0-rc1+7", "App_2.apk", "1.4.0-rc1+7"),
        ("baseline/login/home/Pixel-7-1080x2400", "baseline/login/home/Pixel-7-1080x2400", None),
    ],
)
def test_references(text: str, name: str, version: str | None) -> None:
    assert parse_file_reference(text) == FileName(name, version)
    assert str(parse_file_reference(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "@1", "a@", "a@b@c", "../a", "a/../b", "a//b", "/a", "a/", ".a", "a/.b", "a b", "a\n", "a@1\n", "é"),
        *("a@../1", "a@1/2", "a" * 128, "/".join("a" * 9), "/".join(["a" * 100] * 3), "a@" + "1" * 64),
    ],
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(BadFileNameError, match="can not name"):
        parse_file_reference(text)


@given(st.text(alphabet="ab./@-1\n", max_size=12))
def test_the_pattern_says_the_same_and_no_name_leaves_its_folder(text: str) -> None:
    fits = re.search(FILE_REFERENCE_PATTERN, text) is not None
    try:
        name = parse_file_reference(text).name
    except BadFileNameError:
        assert not fits
    else:
        assert fits
        assert not PurePosixPath(name).is_absolute()
        assert all(not part.startswith(".") for part in PurePosixPath(name).parts)
        assert str(PurePosixPath(name)) == name
