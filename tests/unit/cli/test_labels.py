"""Files that say which phone is which: written and read back, every mistake with its line."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.cli.device_flags import with_default_action
from doai.cli.labels import ImportRefused, from_csv, to_csv

TEXT = st.text(st.characters(exclude_categories=("C", "Z")), max_size=20)
NAMES = st.lists(st.from_regex(r"\w{1,8}", fullmatch=True), max_size=3)


def device(serial: str, **said: Any) -> dict[str, Any]:
    nothing = {"label": "", "shelf": "", "notes": "", "tags": [], "groups": []}
    return {"serial": serial, "nodeId": "n1", "usbPath": "1-2", "model": "m", "description": nothing | said}


@given(st.lists(st.tuples(TEXT, TEXT, TEXT, NAMES, NAMES), max_size=4))
def test_what_is_written_is_read_back(all_said: list[tuple[str, str, str, list[str], list[str]]]) -> None:
    names = ("label", "shelf", "notes", "tags", "groups")
    devices = [device(f"S{n}", **dict(zip(names, said, strict=True))) for n, said in enumerate(all_said)]
    text = to_csv(iter(devices))
    if not devices:
        with pytest.raises(ImportRefused, match="is not imported") as empty:
            from_csv(text, "f.csv")
        assert empty.value.details == ["f.csv:1: there is no device in it"]
        return
    rows = from_csv(text, "f.csv")
    assert [row.said for row in rows] == [{"serial": each["serial"], **each["description"]} for each in devices]
    assert [row.line for row in rows] == list(range(2, len(devices) + 2))


def test_a_column_that_is_left_out_is_not_said_and_semicolons_separate_too() -> None:
    [row] = from_csv("serial;label\nS1;폰 7\n", "f.csv")
    assert row.said == {"serial": "S1", "label": "폰 7"}


@pytest.mark.parametrize(
    ("text", "details"),
    [
        ("", ["f.csv:1: the column serial is missing"]),
        ("serial,colour,label,label\n", ["no column 'colour'", "column label is there twice"]),
        (
            "serial,label\nS1,a,b\nS2\n,x\nS3,y\n\nS3,z\n",
            [":2: it has 3", ":3: it has 1", ":4: the serial", ":7: S3 is in line 5"],
        ),
        ('serial,label\nS1,"a\n', [":2: unexpected end of data"]),
    ],
)  # fmt: skip
def test_every_mistake_has_its_line(text: str, details: list[str]) -> None:
    with pytest.raises(ImportRefused) as caught:
        from_csv(text, "f.csv")
    assert len(caught.value.details) == len(details), caught.value.details
    for found, expected in zip(caught.value.details, details, strict=True):
        assert expected in found


@pytest.mark.parametrize(
    ("given_words", "words"),
    [
        ("devices", "devices list"),
        ("devices SIM0001 --json", "devices list SIM0001 --json"),
        ("devices --state online", "devices list --state online"),
        ("devices set S --label x", "devices set S --label x"),
        ("devices --help", "devices --help"),
        ("runs", "runs"),
    ],
)
def test_a_list_is_what_devices_means(given_words: str, words: str) -> None:
    assert with_default_action(given_words.split()) == words.split()
