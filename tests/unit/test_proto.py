"""`proto/` is current, and its golden bytes mean what they say."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from doai.cli.proto import ROOT, differences
from doai.codec import BodyDecoder, Kind, encode, unpack_header
from doai.messages.catalogue import BODIES, COMMANDS, EVENTS
from doai.messages.contract import example

TYPES = {
    **{f"body/{kind.name.lower()}": body for kind, body in BODIES.items() if body},
    **{f"event/{name}": payload for name, payload in EVENTS.items()},
    **{f"command/{name}": payload for name, (payload, _) in COMMANDS.items()},
}


def test_the_files_are_current() -> None:
    assert differences(ROOT) == [], "run bin/proto --write"


def test_what_differs_is_named(tmp_path: Path) -> None:
    (tmp_path / "OLD.md").write_text("")
    (tmp_path / "GRAMMAR.md").write_text("")
    found = differences(tmp_path)
    assert "GRAMMAR.md is stale" in found
    assert "OLD.md is left over" in found
    assert "MESSAGES.md is missing" in found


def test_the_grammar_has_a_place_for_every_kind_of_frame() -> None:
    grammar = (ROOT / "GRAMMAR.md").read_text()
    connection = grammar[grammar.index("connection    =") : grammar.rindex("```")]
    assert {kind.name.replace("_", "-") for kind in Kind} <= set(re.findall(r"[A-Z-]+", connection))


@pytest.mark.parametrize("name", TYPES)
def test_golden_bytes_decode_to_every_field(name: str) -> None:
    vector = json.loads((ROOT / "vectors" / f"{name}.json").read_text())
    value = BodyDecoder(TYPES[name])(bytes.fromhex(vector["msgpack"]))
    assert encode(value).hex() == vector["msgpack"]
    assert encode(example(TYPES[name])) == encode(value)
    assert msgspec.structs.fields(value)


def test_golden_headers() -> None:
    for vector in json.loads((ROOT / "vectors/header.json").read_text()):
        header = unpack_header(bytes.fromhex(vector["bytes"]))
        assert header.ack == vector["meaning"]["ack"]
        assert header.channel == vector["meaning"]["channel"]
