"""The path of an artifact: what is made can be read back, and nothing leaves its folder."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.artifact_path import (
    PATH_CHARACTERS_MAX,
    BadArtifactPathError,
    is_content_id,
    label_of,
    make_artifact_path,
    parse_artifact_path,
)

GOOD = {
    "content_id": "-dQw4w9WgX_",
    "node_id": "node-1",
    "device_serial": "127.0.0.1:5601",
    "run_id": "01JD0000000000000000000000",
    "utc_ms": 1_795_250_700_123,
    "label": "shot-1",
    "extension": "png",
}


def test_the_path_has_the_five_parts_and_milliseconds() -> None:
    path = make_artifact_path(**GOOD)  # type: ignore[arg-type]
    assert str(path) == (
        "-dQw4w9WgX_/node-1/127.0.0.1:5601/01JD0000000000000000000000/20261121T084500.123Z-shot-1.png"
    )
    assert parse_artifact_path(str(path)) == path


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("content_id", ""),
        ("content_id", ".."),
        ("content_id", ".hidden"),
        ("content_id", "a/b"),
        ("content_id", "영상"),
        ("content_id", "a" * 129),
        ("content_id", "a\n"),
        ("node_id", "Node"),
        ("node_id", "../x"),
        ("device_serial", ".."),
        ("device_serial", "a b"),
        ("run_id", ".."),
        ("run_id", "a%2e"),
        ("label", "../../etc/passwd"),
        ("label", ""),
        ("extension", "PNG"),
        ("extension", "png/.."),
    ],
)
def test_a_part_that_could_leave_the_folder_is_refused_by_name(part: str, value: str) -> None:
    with pytest.raises(BadArtifactPathError, match=part):
        make_artifact_path(**{**GOOD, part: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "a/b/c/d",
        "a/node-1/s/r/x.png",
        "a/node-1/s/r/20261121T084500.123Z-shot.png/extra",
        "/a/node-1/s/r/20261121T084500.123Z-shot.png",
        "../node-1/s/r/20261121T084500.123Z-shot.png",
        "a/node-1/../r/20261121T084500.123Z-shot.png",
        "a/node-1/s/r/20261121T084500.123Z-shot.png\n",
        "a//s/r/20261121T084500.123Z-shot.png",
        "a" * (PATH_CHARACTERS_MAX + 1),
    ],
)
def test_what_no_node_would_make_is_refused(text: str) -> None:
    with pytest.raises(BadArtifactPathError):
        parse_artifact_path(text)


@given(st.text(max_size=200))
def test_whatever_is_parsed_stays_in_its_folder(text: str) -> None:
    try:
        path = parse_artifact_path(text)
    except BadArtifactPathError:
        return
    assert str(path) == text
    assert ".." not in PurePosixPath(text).parts


@given(st.text(max_size=300), st.integers(0, 4_000_000_000_000))
def test_any_step_id_gives_a_label_that_may_stand_in_a_path(step_id: str, utc_ms: int) -> None:
    path = make_artifact_path(**{**GOOD, "label": label_of(step_id), "utc_ms": utc_ms})  # type: ignore[arg-type]
    assert parse_artifact_path(str(path)) == path


def test_content_ids() -> None:
    assert is_content_id("_a-b.c")
    assert not is_content_id("..")
