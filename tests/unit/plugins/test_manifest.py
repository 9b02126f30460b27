"""Manifests of plug-ins: what is read, and that every mistake has its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from doai.plugins.manifest import (
    FILE,
    MANIFEST_BYTES_MAX,
    ManifestError,
    read_manifest,
    unmet_needs,
    version_key,
)

GOOD = """\
name: acme
version: "1.2"
title: What ACME's phones need
steps:
  - {name: acme.reset, module: acme_steps}
  - {name: acme.lock, module: acme_steps}
drivers:
  - {name: acme-bridge, module: bridge.driver}
bots:
  - {name: acme-guard, module: guard}
needs: {doai: ">=0.0", python: ">=3.11,<4", modules: [msgspec]}
"""


def write(folder: Path, manifest: str, *modules: str) -> Path:
    (folder / FILE).write_text(manifest)
    for module in modules:
        (folder / module).parent.mkdir(exist_ok=True, parents=True)
        (folder / module).write_text("")
    return folder


def test_a_manifest_says_what_a_plug_in_brings(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "acme_steps.py", "bridge/driver.py", "guard/__init__.py")
    manifest = read_manifest(tmp_path)
    assert (manifest.name, manifest.version) == ("acme", "1.2")
    assert [step.name for step in manifest.steps] == ["acme.reset", "acme.lock"]
    assert manifest.drivers[0].module == "bridge.driver"
    assert manifest.bots[0].name == "acme-guard"
    assert unmet_needs(manifest) == []


@pytest.mark.parametrize(
    ("change", "place", "sentence"),
    [
        (("name: acme\n", "nmae: acme\n"), "line 1, column 1: nmae", "did you mean 'name'?"),
        (('version: "1.2"', "version: 1.2"), "line 2, column 10: version", "must be text (put quotes around it)"),
        (('"1.2"', '"new"'), "line 2, column 10: version", "does not have the right form"),
        (("acme.lock", "acme.reset"), "line 6, column 12: steps[1].name", "acme.reset is named twice"),
        (("acme.lock", "other.lock"), "line 6, column 12: steps[1].name", "write acme.lock"),
        (("module: guard", "module: no_guard"), "line 10, column 32: bots[0].module", "put no_guard.py beside"),
        (("acme-bridge", "adb"), "line 8, column 12: drivers[0].name", "doai has a driver adb"),
        (("name: acme\n", "name: device\n"), "line 1, column 7: name", "take another name"),
        (('">=0.0"', '"new"'), "line 11, column 15: needs.doai", "does not have the right form"),
        (("steps:", "steps: ["), "line 11, column", ""),
    ],
)
def test_a_mistake_has_its_line_and_what_to_do(
    tmp_path: Path, change: tuple[str, str], place: str, sentence: str
) -> None:
    write(tmp_path, GOOD.replace(*change), "acme_steps.py", "bridge/driver.py", "guard.py")
    with pytest.raises(ManifestError) as caught:
        read_manifest(tmp_path)
    if sentence:
        assert any(place in str(mistake) and sentence in str(mistake) for mistake in caught.value.mistakes), (
            caught.value.details
        )
    assert str(caught.value).startswith(str(tmp_path / FILE))


def test_what_is_no_manifest_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="there is no such file; a plug-in is a folder with a"):
        read_manifest(tmp_path)
    write(tmp_path, "#" * (MANIFEST_BYTES_MAX + 1))
    with pytest.raises(ManifestError, match="larger than 64 KiB"):
        read_manifest(tmp_path)
    (tmp_path / FILE).write_bytes(b"name: \xff")
    with pytest.raises(ManifestError, match="no UTF-8"):
        read_manifest(tmp_path)
    write(tmp_path, "- a list")
    with pytest.raises(ManifestError, match="must be fields"):
        read_manifest(tmp_path)
    write(tmp_path, 'name: acme\nversion: "1"')
    with pytest.raises(ManifestError, match="it brings nothing"):
        read_manifest(tmp_path)


def test_needs_that_are_not_met_are_told(tmp_path: Path) -> None:
    text = GOOD.replace(">=0.0", ">=900").replace("<4", "<3.12, <3").replace("[msgspec]", "[no_such_module]")
    write(tmp_path, text, "acme_steps.py", "bridge/driver.py", "guard.py")
    unmet = unmet_needs(read_manifest(tmp_path))
    assert unmet[0].partition(" and ")[0] == "it needs doai >=900"
    assert "it needs the module no_such_module, which is not installed" in unmet
    assert len(unmet) == 3


def test_versions_are_compared_by_their_numbers() -> None:
    assert version_key("1.10") > version_key("1.9")
    assert version_key("1") == version_key("1.0")
